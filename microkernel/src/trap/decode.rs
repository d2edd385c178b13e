//! A trap as a value. What the registers claim is typed here and checked where it is used.

use abi::names::Name;
use abi::trap::{self, swtch};

use super::semaphore::SemaphoreTrap;
use super::switch::SwitchTrap;
use crate::ipc::notify::Request;
use crate::machine::{Frame, Time};
use crate::vm::Which;

/// What a thread asks for, unless it is `mach_msg`, which is decoded as a
/// [`Call`](crate::ipc::send::Call).
#[derive(Clone, Copy, Debug)]
#[allow(
    missing_docs,
    reason = "`abi::trap` says what each trap and argument is"
)]
pub enum Trap {
    Null,
    Clock,
    ThreadSelf,
    TaskSelf,
    HostSelf,
    Switch(SwitchTrap),
    WaitUntil {
        deadline: Time,
    },
    ClockSleep {
        clock: Name,
        kind: u32,
        time: [u64; 2],
    },
    FutexWait {
        address: u64,
        expected: u32,
        deadline: Time,
    },
    FutexWake {
        address: u64,
        count: u64,
    },
    FutexRequeue {
        address: u64,
        expected: u32,
        wakes: u64,
        to: u64,
        moves: u64,
    },
    MessageBuffer {
        address: u64,
        size: u64,
    },
    ReplySlotTake,
    TaskExit,
    ThreadExit,
    SetFsBase {
        address: u64,
    },
    InterruptAcknowledge {
        name: Name,
    },
    IoRead {
        name: Name,
        offset: u64,
        width: u64,
    },
    IoWrite {
        name: Name,
        offset: u64,
        width: u64,
        value: u32,
    },
    Port(PortTrap),
    Memory(MemoryTrap),
    Semaphore(SemaphoreTrap),
    Refused,
    Unknown,
}

/// A trap on the caller's names.
#[derive(Clone, Copy, Debug)]
#[allow(
    missing_docs,
    reason = "`abi::trap` says what each trap and argument is"
)]
pub enum PortTrap {
    Allocate {
        kind: u32,
    },
    AllocateName {
        kind: u32,
        name: Name,
    },
    Construct {
        arguments: [u64; 4],
    },
    Destruct {
        name: Name,
        delta: i32,
        guard: u64,
    },
    Guard {
        name: Name,
        value: u64,
        strict: u64,
    },
    Unguard {
        name: Name,
        value: u64,
    },
    SwapGuard {
        name: Name,
        old: u64,
        new: u64,
    },
    Destroy {
        name: Name,
    },
    Deallocate {
        name: Name,
    },
    ModRefs {
        name: Name,
        right: u32,
        delta: i32,
    },
    GetRefs {
        name: Name,
        right: u32,
    },
    MoveMember {
        member: Name,
        set: Name,
    },
    InsertMember {
        member: Name,
        set: Name,
    },
    ExtractMember {
        member: Name,
        set: Name,
    },
    InsertRight {
        name: Name,
        from: Name,
        disposition: u8,
    },
    Type {
        name: Name,
    },
    GetAttribute {
        name: Name,
        attribute: u64,
    },
    SetAttribute {
        name: Name,
        attribute: u64,
        value: u64,
    },
    RequestNotification(Request),
    ArmTimer {
        name: Name,
        deadline: Time,
    },
    Timer(TimerTrap),
}

/// A trap on a timer that is nothing else.
#[derive(Clone, Copy, Debug)]
#[allow(
    missing_docs,
    reason = "`abi::trap` says what each trap and argument is"
)]
pub enum TimerTrap {
    Create,
    Destroy(Name),
    Arm(Name, Time),
    Cancel(Name),
}

/// A trap on the caller's memory.
#[derive(Clone, Copy, Debug)]
#[allow(
    missing_docs,
    reason = "`abi::trap` says what each trap and argument is"
)]
pub enum MemoryTrap {
    Allocate {
        address: u64,
        size: u64,
        flags: u64,
    },
    Deallocate {
        address: u64,
        size: u64,
    },
    Protect {
        address: u64,
        size: u64,
        which: Which,
        protection: u32,
    },
    Map {
        entry: Name,
        address: u64,
        size: u64,
        offset: u64,
        flags: u64,
    },
}

impl Trap {
    /// Reads the registers of a trap.
    #[inline(always)]
    pub fn decode(frame: &Frame) -> Self {
        let [r8, r9, ..] = frame.words;
        let (a, b, c, d) = (frame.rdi, frame.rsi, frame.rdx, frame.r10);
        let name = |register: u64| Name(register as u32);
        match frame.rax as i64 {
            trap::NULL => Self::Null,
            trap::CLOCK => Self::Clock,
            trap::THREAD_SELF => Self::ThreadSelf,
            trap::TASK_SELF => Self::TaskSelf,
            trap::HOST_SELF => Self::HostSelf,
            trap::THREAD_SWITCH => Self::Switch(SwitchTrap::To {
                thread: name(a),
                option: b,
                deadline: c,
            }),
            trap::SWTCH if c == swtch::BACK => Self::Switch(SwitchTrap::Back),
            trap::SWTCH => Self::Switch(SwitchTrap::Give),
            trap::SWTCH_PRI if c == swtch::BACK => Self::Switch(SwitchTrap::Raise),
            trap::SWTCH_PRI => Self::Switch(SwitchTrap::Lower),
            trap::WAIT_UNTIL => Self::WaitUntil { deadline: a },
            trap::CLOCK_SLEEP => Self::ClockSleep {
                clock: name(a),
                kind: small(b),
                time: [c, d],
            },
            trap::FUTEX_WAIT => Self::FutexWait {
                address: a,
                expected: b as u32,
                deadline: c,
            },
            trap::FUTEX_WAKE => Self::FutexWake {
                address: a,
                count: b,
            },
            trap::FUTEX_REQUEUE => Self::FutexRequeue {
                address: a,
                expected: b as u32,
                wakes: c,
                to: d,
                moves: r8,
            },
            trap::MESSAGE_BUFFER => Self::MessageBuffer {
                address: a,
                size: b,
            },
            trap::REPLY_SLOT_TAKE => Self::ReplySlotTake,
            trap::TASK_EXIT => Self::TaskExit,
            trap::THREAD_EXIT => Self::ThreadExit,
            trap::SET_FS_BASE => Self::SetFsBase { address: a },
            trap::INTERRUPT_ACKNOWLEDGE => Self::InterruptAcknowledge { name: name(a) },
            trap::IO_READ => Self::IoRead {
                name: name(a),
                offset: b,
                width: c,
            },
            trap::IO_WRITE => Self::IoWrite {
                name: name(a),
                offset: b,
                width: c,
                value: d as u32,
            },
            number => {
                let arguments = [a, b, c, d, r8, r9];
                let memory = MemoryTrap::decode(number, arguments).map(Self::Memory);
                memory
                    .or_else(|| PortTrap::decode(number, arguments).map(Self::Port))
                    .or_else(|| SemaphoreTrap::decode(number, arguments).map(Self::Semaphore))
                    .or_else(|| trap::REFUSED.contains(&number).then_some(Self::Refused))
                    .unwrap_or(Self::Unknown)
            }
        }
    }
}

impl MemoryTrap {
    fn decode(number: i64, arguments: [u64; 6]) -> Option<Self> {
        let [a, b, c, d, e, _] = arguments;
        Some(match number {
            trap::VM_ALLOCATE => Self::Allocate {
                address: a,
                size: b,
                flags: c,
            },
            trap::VM_DEALLOCATE => Self::Deallocate {
                address: a,
                size: b,
            },
            trap::VM_PROTECT => {
                let which = if c == 0 {
                    Which::Current
                } else {
                    Which::Maximum
                };
                let protection = u32::try_from(d).unwrap_or(u32::MAX);
                Self::Protect {
                    address: a,
                    size: b,
                    which,
                    protection,
                }
            }
            trap::VM_MAP => Self::Map {
                entry: Name(a as u32),
                address: b,
                size: c,
                offset: d,
                flags: e,
            },
            _ => return None,
        })
    }
}

impl PortTrap {
    fn decode(number: i64, arguments: [u64; 6]) -> Option<Self> {
        let [a, b, c, d, ..] = arguments;
        let name = Name(a as u32);
        let second = Name(b as u32);
        Some(match number {
            // A kind that does not fit in 32 bits is no kind at all.
            trap::PORT_ALLOCATE => Self::Allocate {
                kind: u32::try_from(a).unwrap_or(u32::MAX),
            },
            trap::PORT_CONSTRUCT => Self::Construct {
                arguments: [a, b, c, d],
            },
            trap::PORT_DESTRUCT => Self::Destruct {
                name,
                delta: b as i32,
                guard: c,
            },
            trap::PORT_DESTROY => Self::Destroy { name },
            trap::PORT_DEALLOCATE => Self::Deallocate { name },
            trap::PORT_MOD_REFS => Self::ModRefs {
                name,
                right: small(b),
                delta: c as i32,
            },
            trap::PORT_GET_REFS => Self::GetRefs {
                name,
                right: small(b),
            },
            trap::PORT_MOVE_MEMBER => Self::MoveMember {
                member: name,
                set: second,
            },
            trap::PORT_INSERT_MEMBER => Self::InsertMember {
                member: name,
                set: second,
            },
            trap::PORT_EXTRACT_MEMBER => Self::ExtractMember {
                member: name,
                set: second,
            },
            trap::PORT_INSERT_RIGHT => Self::InsertRight {
                name,
                from: second,
                disposition: u8::try_from(c).unwrap_or(u8::MAX),
            },
            trap::PORT_TYPE => Self::Type { name },
            trap::PORT_GET_ATTRIBUTE => Self::GetAttribute { name, attribute: b },
            trap::PORT_SET_ATTRIBUTE => Self::SetAttribute {
                name,
                attribute: b,
                value: c,
            },
            trap::PORT_SET_LABEL => Self::SetAttribute {
                name,
                attribute: trap::attribute::LABEL,
                value: b,
            },
            trap::PORT_REQUEST_NOTIFICATION => Self::RequestNotification(Request {
                name,
                id: b as i32,
                sync: c as u32,
                notify: Name(d as u32),
            }),
            trap::TIMER_ARM => Self::ArmTimer { name, deadline: b },
            _ => return Self::decode_rare(number, arguments),
        })
    }

    fn decode_rare(number: i64, arguments: [u64; 6]) -> Option<Self> {
        let [a, b, c, ..] = arguments;
        let name = Name(a as u32);
        Some(match number {
            trap::PORT_ALLOCATE_NAME => Self::AllocateName {
                kind: small(a),
                name: Name(b as u32),
            },
            trap::MK_TIMER_CREATE => Self::Timer(TimerTrap::Create),
            trap::MK_TIMER_DESTROY => Self::Timer(TimerTrap::Destroy(name)),
            trap::MK_TIMER_ARM => Self::Timer(TimerTrap::Arm(name, b)),
            trap::MK_TIMER_CANCEL => Self::Timer(TimerTrap::Cancel(name)),
            trap::PORT_GUARD => Self::Guard {
                name,
                value: b,
                strict: c,
            },
            trap::PORT_UNGUARD => Self::Unguard { name, value: b },
            trap::PORT_SWAP_GUARD => Self::SwapGuard {
                name,
                old: b,
                new: c,
            },
            _ => return None,
        })
    }
}

/// A value of 32 bits; one that is larger is none that any call knows.
fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
