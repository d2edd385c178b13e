//! Random programs of traps, judged by the model.
//!
//! `MODEL_PROGRAMS` says how many programs each test runs (default 40), `MODEL_SEED` where they begin.

use std::collections::BTreeSet;

use sim::program::{self, Outcome, Run, Setup, Tally, Theme};
use sim::surface::{Part, Surface};
use sim::{Config, Path};

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("MODEL_SEED", 1);
    first..first + number("MODEL_PROGRAMS", 40)
}

fn setup(seed: u64, path: Path, cpus: u32, (tasks, threads): (usize, usize)) -> Setup {
    let config = Config {
        seed,
        path,
        ..Config::with_cpus(cpus)
    };
    Setup {
        config,
        tasks,
        threads,
        theme: Theme::Everything,
    }
}

/// Outcomes that a call cannot have, or must not while the model judges it.
const NEVER: &[(&str, Outcome)] = &[
    // There are none.
    ("Foreign", Outcome::Done),
    // There is no such notification.
    ("Notify103", Outcome::Done),
    // Handlers refuse by letting the next one be asked, and at last the task ends.
    ("RaiseAccess", Outcome::Refused),
    ("RaiseDenied", Outcome::Refused),
    ("RaiseGuard", Outcome::Refused),
    ("RaiseSyscall", Outcome::Refused),
    ("RaiseVector", Outcome::Refused),
    // Programs send these to names that they fit only: other ports would get a message that nobody made.
    ("SemaphoreDestroy", Outcome::Refused),
    ("SemaphoreCallSignalAll", Outcome::Refused),
    ("Terminate", Outcome::Refused),
    // Whoever holds the port may list.
    ("PortsNames", Outcome::Refused),
    ("PortsRights", Outcome::Refused),
    // They come with a message, or there is none.
    ("ReceiveInterrupt", Outcome::Refused),
    ("ReceiveCalendarChanged", Outcome::Refused),
    ("ReceiveCalendarSet", Outcome::Refused),
    ("ReceiveDataRequest", Outcome::Refused),
    ("ReceiveDataReturn", Outcome::Refused),
    ("ReceiveDataUnlock", Outcome::Refused),
    ("ReceiveInit", Outcome::Refused),
    ("ReceiveTerminate", Outcome::Refused),
    ("ReceiveMemories", Outcome::Refused),
    ("ReceiveMemory", Outcome::Refused),
    ("ReceivePages", Outcome::Refused),
    ("ReceiveRight", Outcome::Refused),
    ("ReceiveRights", Outcome::Refused),
    // Deadlines that came; and what the fast path does not pass on takes the general path.
    ("LateOperationTimedOut", Outcome::Refused),
    ("LateCallReceiveTimedOut", Outcome::Refused),
    ("LateCallSendTimedOut", Outcome::Refused),
    ("LateReceiveTimedOut", Outcome::Refused),
    ("LateSendTimedOut", Outcome::Refused),
    ("PassCallLetter", Outcome::Refused),
    ("PassCallRight", Outcome::Refused),
    ("PassCallShort", Outcome::Refused),
    ("PassReplyLetter", Outcome::Refused),
    ("PassReplyRight", Outcome::Refused),
    ("PassReplyShort", Outcome::Refused),
    ("PassSendShort", Outcome::Refused),
    // Only more stops than there are numbers for are refused, and only threads that have ended cannot be called back.
    ("TaskSuspend", Outcome::Refused),
    ("ThreadSuspend", Outcome::Refused),
    ("ThreadAbort", Outcome::Refused),
    // Nobody is told of them.
    ("ExitTask", Outcome::Done),
    ("ExitTask", Outcome::Refused),
    ("ExitThread", Outcome::Done),
    ("ExitThread", Outcome::Refused),
    // Nothing speaks against them.
    ("FutexStore", Outcome::Refused),
    ("TimerCreate", Outcome::Refused),
    ("HostDefaultSet", Outcome::Refused),
    ("MachineArenas", Outcome::Refused),
    ("MachineInfo", Outcome::Refused),
    ("MachineLog", Outcome::Refused),
    ("MachineTrace", Outcome::Refused),
    ("MachineStatistics", Outcome::Refused),
    ("MachineTasks", Outcome::Refused),
    ("MachineThreads", Outcome::Refused),
    ("MachineMark", Outcome::Refused),
    ("MachinePageSize", Outcome::Refused),
    ("MachineVersion", Outcome::Refused),
    ("ProcessorAssignment", Outcome::Refused),
    // Programs call them of what they fit.
    ("LineUnbind", Outcome::Refused),
    ("LineRaise", Outcome::Refused),
    ("RangeBounds", Outcome::Refused),
    ("EntryBounds", Outcome::Refused),
    // Programs call these to be refused.
    ("MachineShutdown", Outcome::Done),
    ("MachineReboot", Outcome::Done),
    ("TaskAssignment", Outcome::Refused),
    ("TaskInfo", Outcome::Refused),
    ("TaskThreads", Outcome::Refused),
    ("TaskLedger", Outcome::Refused),
    ("TaskThreadRights", Outcome::Refused),
    ("TaskSetName", Outcome::Refused),
    ("ThreadInfo", Outcome::Refused),
    ("ThreadAssignment", Outcome::Refused),
    ("ThreadAssignDefault", Outcome::Refused),
    ("ClockGetTime", Outcome::Refused),
    ("GiveWay", Outcome::Refused),
    ("Now", Outcome::Refused),
    ("Null", Outcome::Refused),
    // Threads use what they may use; what they may not use is an exception.
    ("VmLoad", Outcome::Refused),
    // Whoever holds the port may ask.
    ("VmCallSizeLimit", Outcome::Refused),
    ("VmCallStatistics", Outcome::Refused),
    ("TaskVmRegions", Outcome::Refused),
    // Programs call it with what is no memory entry.
    ("TaskVmMap", Outcome::Done),
    // It is refused whatever it is.
    ("VmCallTight", Outcome::Done),
    ("VmStore", Outcome::Refused),
    ("ObjectLoad", Outcome::Refused),
    ("ObjectStore", Outcome::Refused),
    ("ObjectUnmap", Outcome::Refused),
    ("Pass", Outcome::Refused),
    ("Swtch", Outcome::Refused),
    ("SwtchPri", Outcome::Refused),
    ("BufferCrooked", Outcome::Done),
    ("BufferDrop", Outcome::Refused),
    ("BufferMake", Outcome::Refused),
    ("BufferNowhere", Outcome::Done),
    ("ThreadSelf", Outcome::Refused),
    ("TaskSelf", Outcome::Refused),
    ("HostSelf", Outcome::Refused),
];

/// How many calls a [`Tally`] tells apart.
const CALLS: usize = 280;

/// How many more programs may reach what those before have not.
const MORE: u64 = 400;

/// Codes that calls must have failed with.
const CODES: &str = "
    Allocate: InvalidValue
    AllocateName: InvalidValue
    Attribute: InvalidName InvalidRight
    BufferCrooked: InvalidArgument
    ClockAlarm: Failure InvalidCapability MigTypeError
    ClockAttributes: Failure InvalidValue
    ClockSetTime: Failure InvalidValue NoAccess
    Construct: InvalidValue
    Deallocate: InvalidName InvalidRight
    Destroy: InvalidName InvalidRight
    Destruct: InvalidArgument InvalidRight InvalidValue
    ExtractMember: InvalidName InvalidRight NotInSet
    Foreign: NotSupported
    EntryDerive: InvalidArgument InvalidCapability InvalidRight ProtectionFailure
    EntryMake: InvalidAddress InvalidArgument ProtectionFailure
    EntryMap: InvalidAddress InvalidArgument InvalidCapability InvalidRight NoSpace ProtectionFailure
    EntryMapOwn: InvalidAddress InvalidArgument InvalidName InvalidRight NoSpace ProtectionFailure
    EntryPart: InvalidArgument ProtectionFailure
    EntryPlace: InvalidAddress InvalidArgument InvalidCapability InvalidRight NoSpace ProtectionFailure
    EntryProxy: InvalidArgument InvalidCapability InvalidRight ProtectionFailure
    EntryShare: InvalidAddress InvalidArgument ProtectionFailure
    EntryWindow: InvalidArgument
    FutexRequeue: InvalidAddress InvalidArgument
    FutexWait: Aborted Failure InvalidAddress InvalidArgument OperationTimedOut
    FutexWake: InvalidAddress InvalidArgument
    Guard: InvalidArgument InvalidName InvalidRight
    HandlerClear: InvalidArgument
    HandlerGet: Failure InvalidArgument
    HandlerSet: InvalidArgument InvalidCapability
    HandlerSetFatal: InvalidCapability
    HandlerSwap: Failure InvalidArgument
    HostRequestChange: InvalidArgument InvalidCapability MigTypeError
    HostClockControl: InvalidArgument NoAccess
    HostClockService: InvalidArgument
    HostSetControl: InvalidArgument NoAccess
    HostSetSpecial: InvalidArgument NoAccess
    HostSpecial: Failure InvalidArgument NoAccess
    InsertMember: AlreadyInSet InvalidName InvalidRight
    InsertMoved: InvalidCapability InvalidName InvalidRight NameExists RightExists
    InsertOnce: InvalidCapability InvalidName InvalidRight InvalidValue NameExists
    InsertReceive: InvalidRight NameExists RightExists
    InsertRight: InvalidCapability InvalidName InvalidRight InvalidValue NameExists
    KeptClear: NotSupported
    KeptGet: Failure InvalidArgument NotSupported
    KeptSet: InvalidArgument NotSupported
    LineAcknowledge: InvalidName InvalidRight
    LineBind: InvalidCapability
    LineGet: InvalidArgument ResourceShortage
    MachineDefaultPager: InvalidCapability InvalidRight NameExists NoAccess
    MachineFastPath: InvalidArgument NoAccess
    MachineFreeTarget: InvalidArgument NoAccess
    MachineMachInfo: Failure InvalidArgument
    MachineMachStatistics: Failure InvalidArgument
    MachineProcessorInfo: InvalidArgument
    MachineReboot: NoAccess
    MachineSetLimit: InvalidArgument InvalidTask NoAccess
    MachineShutdown: NoAccess
    MachineTask: InvalidTask NoAccess
    MachineTraceEnable: InvalidArgument NoAccess
    ModRefs: InvalidName InvalidRight InvalidValue
    MoveMember: InvalidName InvalidRight NotInSet
    Notify102: InvalidArgument InvalidCapability
    Notify103: InvalidValue
    Notify105: InvalidCapability InvalidRight InvalidValue
    Notify106: InvalidCapability InvalidRight
    Notify110: InvalidArgument InvalidCapability
    ObjectMap: InvalidArgument InvalidName InvalidRight NoSpace
    ObjectMapIn: InvalidArgument InvalidCapability InvalidRight NoSpace
    ObjectProxy: InvalidArgument
    ObjectSync: InvalidAddress InvalidArgument
    PagerLock: Failure InvalidArgument MigBadId
    PagerSetAttributes: InvalidArgument MigBadId NotSupported
    PagerSupply: InvalidArgument MigBadId
    PagerUnavailable: InvalidArgument MigBadId
    Peek: ReceiveInterrupted ReceiveInvalidName ReceivePortChanged ReceiveTimedOut
    Personality: InvalidArgument
    PortsAllocate: InvalidValue
    PortsAllocateName: InvalidValue
    PortsExtract: InvalidCapability InvalidName InvalidRight
    PortsGuard: InvalidArgument InvalidName
    PortsInsert: InvalidCapability InvalidValue NameExists RightExists
    PortsPeek: Failure InvalidName InvalidValue
    PortsSwapGuard: InvalidArgument InvalidName
    PortsUnguard: InvalidArgument
    ProcessorInfo: Failure InvalidArgument
    ProcessorStatistics: Failure InvalidArgument
    ProcessorTasks: NoAccess
    RangeGet: InvalidArgument MigBadArguments
    RangeRead: InvalidArgument InvalidName InvalidRight
    RangeWrite: InvalidArgument InvalidName InvalidRight
    Receive: ReceiveInterrupted ReceiveInvalidName ReceivePortChanged ReceiveTimedOut ReceiveTooLarge
    ReceiveLarge: ReceiveInterrupted ReceiveInvalidName ReceivePortChanged ReceiveTimedOut ReceiveTooLarge
    Refs: InvalidName InvalidValue
    Rest: Aborted
    SemaphoreCallSignal: Failure
    SemaphoreCallSignalThread: NotWaiting
    SemaphoreCreate: InvalidArgument
    SemaphoreSignal: Failure InvalidName InvalidRight
    SemaphoreSignalAll: InvalidName InvalidRight
    SemaphoreSignalThread: InvalidRight NotWaiting
    SemaphoreWait: Aborted InvalidName InvalidRight OperationTimedOut Terminated
    Send: SendInvalidDest SendInvalidReply
    SendBody: SendTooLarge SendInvalidDest SendInvalidMemory SendInvalidReply SendInvalidRight SendInvalidType
    SendReceive: ReceiveTimedOut SendInvalidDest
    SetAttribute1: InvalidRight InvalidValue
    SetAttribute4: InvalidRight
    SetFsBase: InvalidArgument
    SetLabel: InvalidRight
    Sleep: Failure InvalidArgument
    SwapGuard: InvalidArgument InvalidRight
    TakeSlot: InvalidRight
    TaskAssign: InvalidArgument
    TaskCreateThread: InvalidArgument
    TaskInfoOf: InvalidArgument
    TaskAssignDefault: InvalidArgument
    TaskResume: Failure
    TaskSetLimit: InvalidArgument NoAccess
    TaskVmAllocate: InvalidAddress InvalidArgument NoSpace
    TaskVmDeallocate: InvalidArgument
    TaskVmMap: InvalidCapability InvalidRight
    TaskVmProtect: InvalidAddress InvalidArgument MigBadArguments ProtectionFailure
    TaskVmWrite: InvalidAddress InvalidArgument ProtectionFailure
    ThreadAbortSafely: Failure
    ThreadAssign: InvalidArgument
    ThreadDepressAbort: NotDepressed
    ThreadGetPlain: Failure
    ThreadGetDebug: Failure
    ThreadGetVectors: Failure InvalidArgument
    ThreadInfoOf: InvalidArgument
    ThreadLastMessage: Failure
    ThreadSetDebug: Failure InvalidArgument
    ThreadSetPlain: Failure InvalidArgument
    ThreadSetVectors: Failure InvalidArgument
    ThreadGetState: Failure InvalidArgument
    ThreadPolicy: Failure InvalidArgument
    ThreadResume: Failure
    ThreadSetPolicy: InvalidArgument
    ThreadSetPriority: InvalidArgument
    ThreadSetState: Failure InvalidArgument
    ThreadSwitch: InvalidArgument
    TimerArm: InvalidArgument InvalidRight
    TimerCancel: InvalidArgument InvalidRight
    TimerDestroy: InvalidArgument
    TimerPortArm: InvalidRight
    Type: InvalidName
    Unguard: InvalidArgument InvalidName
    VmAllocate: InvalidAddress InvalidArgument NoSpace
    VmCallBehaviorSet: InvalidAddress InvalidArgument ProtectionFailure
    VmCallCopy: InvalidAddress InvalidArgument ProtectionFailure
    VmCallInherit: InvalidAddress InvalidArgument
    VmCallMachineAttribute: InvalidAddress InvalidArgument NotSupported
    VmCallMapAnonymous: InvalidAddress InvalidArgument NoSpace ProtectionFailure
    VmCallMsync: InvalidAddress InvalidArgument ProtectionFailure
    VmCallPageQuery: InvalidAddress
    VmCallRead: InvalidAddress InvalidArgument ProtectionFailure
    VmCallReadOverwrite: InvalidAddress InvalidArgument ProtectionFailure
    VmCallRegion: InvalidAddress InvalidArgument
    VmCallRegionRecurse: InvalidAddress InvalidArgument
    VmCallRemap: InvalidAddress InvalidArgument NoSpace
    VmCallSetSizeLimit: InvalidArgument NoAccess
    VmCallTight: NoSpace
    VmCallWire: InvalidAddress InvalidArgument ProtectionFailure
    VmCallWrite: InvalidAddress ProtectionFailure
    VmDeallocate: InvalidArgument
    VmMap: InvalidAddress InvalidArgument NoSpace ProtectionFailure
    VmProtect: InvalidAddress InvalidArgument ProtectionFailure
    WaitUntil: Aborted
";

/// The ABI's items, one a line.
const ABI: &str = include_str!("../../libmach/abi/tests/table.txt");

/// Traps and methods of the kernel's ports that programs do not get done, and why.
const UNDONE: &[(&[&str], &str)] = &[
    (
        &["host.shutdown", "host.reboot"],
        "they would end the machine",
    ),
    (
        &["task.vm_read"],
        "programs look at others' buffers with it, which is not judged: tests/objects",
    ),
];

/// All traps, by name.
fn traps() -> impl Iterator<Item = (String, Part)> {
    let items = ABI.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("trap: const ")?.split_once(": i64 = ")?;
        let number = number.strip_suffix(';')?.parse().ok()?;
        Some((name.to_owned(), Part::Trap(number)))
    });
    assert!(items.clone().count() > 50, "the table is another one");
    items
}

/// All methods of the kernel's ports, by interface and name.
fn methods() -> impl Iterator<Item = (String, Part)> {
    let all = interfaces::KERNEL.iter().flat_map(|interface| {
        let methods = interface.methods.iter();
        methods.map(|method| (interface.name, method))
    });
    all.map(|(interface, method)| {
        let interface = interface.trim_start_matches("org.mello.");
        let name = format!("{interface}.{}", method.name);
        (name, Part::Method(method.id))
    })
}

/// What came of many programs.
#[derive(Default)]
struct Reach {
    tally: Tally,
    codes: BTreeSet<(String, String)>,
    surface: Surface,
}

impl Reach {
    fn add(&mut self, run: Run) {
        for (row, count) in run.tally {
            *self.tally.entry(row).or_default() += count;
        }
        self.codes.extend(run.codes);
        self.surface.add(&run.surface);
    }

    fn calls(&self) -> BTreeSet<&String> {
        self.tally.keys().map(|(call, _)| call).collect()
    }

    /// What must come of some program, or of none, and has not or has.
    fn wrong(&self) -> Vec<(String, Outcome)> {
        let outcomes = [Outcome::Done, Outcome::Refused];
        let all = self.calls().into_iter();
        let all = all.flat_map(|call| outcomes.map(|outcome| (call.clone(), outcome)));
        let reached = |row: &_| self.tally.contains_key(row);
        all.filter(|row| reached(row) == NEVER.contains(&(row.0.as_str(), row.1)))
            .collect()
    }

    /// Calls that have not failed with a code.
    fn missing(&self) -> Vec<(String, String)> {
        let lines = CODES
            .lines()
            .filter_map(|line| line.trim().split_once(": "));
        let rows = lines.flat_map(|(call, codes)| {
            let codes = codes.split_whitespace();
            codes.map(|code| (call.to_owned(), code.to_owned()))
        });
        rows.filter(|row| !self.codes.contains(row)).collect()
    }

    /// Traps and methods of the kernel's ports that no program got done, and those that one did though they are excepted.
    fn undone(&self) -> Vec<String> {
        let excepted = |name: &str| UNDONE.iter().any(|(names, _)| names.contains(&name));
        let parts = traps().chain(methods());
        let undone = parts.filter(|(name, part)| self.surface.has(*part) == excepted(name));
        undone.map(|(name, _)| name).collect()
    }

    fn is_whole(&self) -> bool {
        self.wrong().is_empty()
            && self.undone().is_empty()
            && self.missing().is_empty()
            && self.calls().len() == CALLS
    }
}

/// A rule that no program touches holds for no reason: each call succeeds, and fails, at least once, with each of its codes.
/// `more` is what comes of the program of a further seed.
fn assert_reach(reach: &mut Reach, mut more: impl FnMut(u64) -> Run) {
    let mut seeds = seeds().end..seeds().end + MORE;
    while !reach.is_whole()
        && let Some(seed) = seeds.next()
    {
        reach.add(more(seed));
    }
    assert_eq!(reach.undone(), [""; 0]);
    assert_eq!(reach.wrong(), []);
    assert_eq!(reach.missing(), []);
    assert_eq!(reach.calls().len(), CALLS, "{:?}", reach.calls());
}

// covers: P-01 P-02 P-03 P-04 P-05 P-07 P-08 P-09 P-10 P-11 P-12 P-13 P-19 P-30 P-31 P-33 M-37 F-06
#[test]
fn one_thread_follows_the_rules() {
    for seed in seeds() {
        let setup = setup(seed, Path::Fast, 1, (1, 1));
        program::check(&setup, &program::random(seed, 120));
    }
}

// covers: X-01 X-02 X-03 X-04 X-05 X-07 X-08 P-03 P-04 P-20 N-02 N-03 N-04 N-05 N-06 N-07 M-03 M-04 M-05 M-06 M-07 M-08 M-22 M-24 M-25 M-26 M-37 T-02 T-06
#[test]
fn tasks_that_share_ports_follow_the_rules() {
    for seed in seeds() {
        let setup = setup(seed, Path::Fast, 1, (3, 1));
        program::check(&setup, &program::random(seed, 150));
    }
}

// covers: X-01 X-04 X-07 X-08 M-06 M-09 M-14 M-30 M-32 M-38 P-20 P-34 P-36 T-01 T-02 T-03 T-04 T-07 T-08 T-09 T-10 T-11 T-12 F-01 H-02 K-01 K-02 K-03 K-05
#[test]
fn threads_that_wait_follow_the_rules() {
    let mut reach = Reach::default();
    let run = |seed| {
        let mut setup = setup(seed, Path::Fast, 1, (2, 3));
        setup.theme = match seed % 20 {
            0 | 5 | 10 | 15 => Theme::Memory,
            13 => Theme::Pager,
            _ => Theme::Everything,
        };
        program::check(&setup, &program::random(seed, 300))
    };
    for seed in seeds() {
        reach.add(run(seed));
    }
    assert_reach(&mut reach, run);
}

// covers: V-01 V-02 V-03 V-04 V-05 V-06 V-07 V-08 V-09 V-11 V-12 V-13 V-14 V-15 O-09
#[test]
fn memory_follows_the_rules() {
    for seed in seeds() {
        let setup = Setup {
            theme: Theme::Memory,
            ..setup(seed, Path::Fast, 1, (3, 2))
        };
        program::check(&setup, &program::random(seed, 200));
    }
}

// covers: O-01 O-02 O-03 O-04 O-05 O-06 O-07 O-08 V-11
#[test]
fn memory_objects_follow_the_rules() {
    for seed in seeds() {
        let setup = Setup {
            theme: Theme::Pager,
            ..setup(seed, Path::Fast, 1, (3, 3))
        };
        program::check(&setup, &program::random(seed, 250));
    }
}

// covers: M-37 F-02
#[test]
fn neither_the_fast_path_nor_the_number_of_cpus_changes_what_programs_see() {
    for seed in seeds() {
        let steps = program::random(seed, 150);
        let theme = match seed % 8 {
            3 => Theme::Pager,
            _ => Theme::Everything,
        };
        let on = |path, cpus| Setup {
            theme,
            ..setup(seed, path, cpus, (2, 3))
        };
        let expected = program::check(&on(Path::Fast, 1), &steps).transcript;
        for (path, cpus) in [
            (Path::Slow, 1),
            (Path::Fast, 2),
            (Path::Slow, 3),
            (Path::Fast, 4),
        ] {
            let seen = program::check(&on(path, cpus), &steps).transcript;
            assert_eq!(seen, expected, "seed {seed}, {path:?} path, {cpus} CPUs");
        }
    }
}
