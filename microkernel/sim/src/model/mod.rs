//! [`Model`]: what Mach's rules of names, rights and messages say, in the simplest form that says it.
//!
//! It is an acceptor. The kernel chooses names, and which of several threads or ports goes first; the
//! model is shown what the kernel answered and judges whether the rules (MACH.md P, N and M) allow it.
//! [`Model::step`] takes a trap and its answer (`None`: the thread waits now), [`Model::complete`] the
//! answer of a thread that waited. Both fail with a sentence that says what was expected.
//!
//! Where the kernel keeps counts, the model counts: the send rights of a port are all the places that
//! hold one, looked up anew each time. Nothing here is shared with the kernel.
//!
//! Deliberately absent: time within an era (a deadline is past, in the next era, or never), memory in messages, messages to the kernel's own ports but
//! for those that an operation stands for, or that say nothing, and what order the messages of one trap come in: they share a *batch* and may
//! come in any.

mod asks;
mod body;
mod clock;
mod control;
mod count;
mod death;
mod device;
mod ends;
mod entries;
mod entry;
mod exceptions;
mod futex;
mod guard;
mod host;
mod kept;
mod kernel;
mod look;
mod machine;
mod made;
mod members;
mod message;
mod names;
mod notify;
mod objects;
mod pager;
mod policy;
mod ports;
mod proxies;
mod raise;
mod receive;
mod records;
mod semaphore;
mod state;
mod store;
mod sync;
mod task_vm;
mod tasks;
mod time;
mod timer;
mod turns;
mod urefs;
mod vm;
mod vm_calls;
mod waits;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, queue_limit};
use abi::task::{DEFAULT_PRIORITY, MAX_PRIORITY};

use crate::message::{Reply, Request};
use crate::spawn::LIMITS;
pub use asks::AskOp;
use body::Part;
pub use clock::{ClockOp, Taken, Timespec};
pub use control::ControlOp;
use device::Device;
pub use device::{Drive, LineOp, RangeOp, register};
pub use ends::Subject;
pub use entries::{EntryOp, Extent, Target};
pub(crate) use entry::{Ask, Entry, Wish};
pub use exceptions::{Form, HandlerOp, Level};
use exceptions::{Handler, Owner};
pub use futex::{FutexOp, Word};
pub use host::{Hand, HostOp};
pub use kept::{Kept, KeptOp};
pub use kernel::REQUEST;
pub use look::BufferOp;
use look::Want;
pub use machine::{FEW_PAGES, MachineOp, ProcessorOp};
pub use made::FAMILY;
pub use objects::{Access, LARGEST, OBJECTS, ObjectOp, Prospect, SHOWN, Showing};
pub use pager::{Known, PagerOp, Supply};
pub use policy::PolicyOp;
pub use ports::PortsOp;
use raise::Raised;
pub use raise::{Registers, Trouble};
use semaphore::Semaphore;
pub use semaphore::SemaphoreOp;
pub use state::{StateOp, vectors};
pub use task_vm::{LISTED, TaskVm, Wrong};
pub use tasks::{LITTLE, Share, TaskOp};
pub use time::{ERA, TimeOp, When};
pub use timer::{FAR, NEVER, TimerOp};
pub use turns::SelfOp;
pub use vm::{BEYOND, Mapping, PAGES, Span, VmOp, WINDOW, WINDOW_END};
pub use vm_calls::{Bytes, Hands, VmCall};

/// A port, for as long as it lives. A reply object gets another one at each epoch.
pub type PortId = usize;
/// A port set.
pub type SetId = usize;
/// A task.
pub type TaskId = usize;
/// A thread.
pub type ThreadId = usize;

/// What a check found: a sentence when the kernel broke a rule.
pub type Verdict = Result<(), String>;

/// A trap on rights or messages.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the traps' arguments under their own names")]
pub enum Op {
    Allocate {
        right: u32,
    },
    Construct {
        flags: u64,
        limit: u64,
        label: u64,
        guard: u64,
    },
    AllocateName {
        right: u32,
        name: Name,
    },
    Guard {
        name: Name,
        guard: u64,
        strict: u64,
    },
    Unguard {
        name: Name,
        guard: u64,
    },
    SwapGuard {
        name: Name,
        old: u64,
        new: u64,
    },
    Destruct {
        name: Name,
        delta: i64,
        guard: u64,
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
        delta: i64,
    },
    Refs {
        name: Name,
        right: u32,
    },
    Type {
        name: Name,
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
        right: Name,
        disposition: u8,
    },
    Attribute {
        name: Name,
        attribute: u64,
    },
    SetAttribute {
        name: Name,
        attribute: u64,
        value: u64,
    },
    SetLabel {
        name: Name,
        label: u64,
    },
    Notify {
        name: Name,
        id: i32,
        sync: u64,
        to: Name,
    },
    TakeSlot,
    /// The calling thread's message buffer.
    Buffer(BufferOp),
    Semaphore(SemaphoreOp),
    /// By a message to the task's own port.
    Kept(KeptOp),
    /// By a message to the port of a thread or task, or to the privileged host port.
    Handler(Level, HandlerOp),
    /// Where the task's system calls go on that are not Mach's; 0: nowhere.
    Personality {
        entry: u64,
    },
    /// With the registers at that moment.
    Raise(Trouble, Registers),
    Futex(FutexOp),
    /// By the privileged port, or by the other one.
    Host(Hand, HostOp),
    Clock(Name, ClockOp),
    /// By the privileged port, or by the other one.
    Machine(Hand, MachineOp),
    /// Of a processor, or of the set.
    Processor(Name, ProcessorOp),
    Line(LineOp),
    Range(RangeOp),
    /// Of the task or thread that the name holds a right to.
    Policy(Name, Subject, PolicyOp),
    /// The same.
    Task(Name, Subject, TaskOp),
    /// The same.
    Ask(Name, Subject, AskOp),
    /// Of the thread that the name holds a right to.
    State(Name, ThreadId, StateOp),
    Timer(TimerOp),
    Time(TimeOp),
    /// Of the calling thread.
    Itself(SelfOp),
    /// Of the calling thread's task.
    Vm(VmOp),
    /// Of the calling thread's task.
    Object(ObjectOp),
    /// By one of a memory object's own ports.
    Pager(Name, PagerOp),
    /// Of the task that the name holds a right to.
    VmCall(Name, TaskId, VmCall),
    Entry(EntryOp),
    /// Of the task that the name holds a right to.
    Ports(Name, TaskId, PortsOp),
    /// Of the task or thread that the name holds a right to.
    Control(Name, Subject, ControlOp),
    /// The end of the calling thread or its task, by a trap.
    Exit(Subject),
    /// The end of a task or a thread that the name holds a right to.
    Terminate {
        name: Name,
    },
    Message(Request),
}

impl Op {
    /// Whether it is done by a message that the kernel answers, or may end so.
    fn is_call(&self) -> bool {
        match self {
            Self::Line(op) => op.is_call(),
            Self::Range(op) => op.is_call(),
            Self::Entry(op) => op.is_call(),
            Self::Object(op) => op.is_call(),
            _ => self.is_always_call(),
        }
    }

    fn is_always_call(&self) -> bool {
        matches!(
            self,
            Self::Semaphore(_)
                | Self::Kept(_)
                | Self::Handler(..)
                | Self::Personality { .. }
                | Self::Raise(..)
                | Self::Host(..)
                | Self::Clock(..)
                | Self::Machine(..)
                | Self::Processor(..)
                | Self::Policy(..)
                | Self::Task(..)
                | Self::Ask(..)
                | Self::VmCall(..)
                | Self::Pager(..)
                | Self::State(..)
                | Self::Ports(..)
                | Self::Control(..)
                | Self::Terminate { .. }
        )
    }
}

/// What the kernel answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Code and value of an ordinary trap.
    Trap(KernReturn, u64),
    /// A `mach_msg`.
    Message(Reply),
    /// An exception port.
    Handler {
        /// The types that go there.
        mask: u32,
        /// What it is told.
        form: Form,
        /// A name of it.
        name: Name,
    },
    /// What a call to the kernel answered, in words.
    Told(Vec<u64>),
    /// The thread is in user mode again, with these registers.
    Running(Registers),
    /// What a trap has answered, with the registers that the thread goes on with: it has an exception before that.
    Excepted(Box<Seen>, Registers),
}

/// A right on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carried {
    Null,
    Dead,
    Send(PortId),
    SendOnce(PortId),
    Receive(PortId),
}

#[derive(Clone, Default, Debug)]
struct Task {
    names: BTreeMap<Name, Entry>,
    /// By index: the names that were there before.
    past: BTreeMap<u32, Vec<Name>>,
    kept: BTreeMap<Kept, PortId>,
    /// What it is known by.
    port: PortId,
    personality: u64,
    /// How often it was stopped.
    stops: u32,
    /// The highest priority of its threads.
    limit: u32,
    /// What its messages carry, and what it is called, if a program said so.
    identity: Option<u64>,
    name: Option<u8>,
    /// Whose limits its own are a part of, and what they are, if a program made it.
    parent: Option<TaskId>,
    limits: Option<[u64; 5]>,
    /// What it has of the words that all share.
    sees: made::Sees,
    /// Names that its programs leave alone.
    spared: BTreeSet<Name>,
    /// By address.
    pages: BTreeMap<u64, vm::Page>,
    size: vm_calls::Limits,
}

/// Who has a receive right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holder {
    Task(TaskId),
    Message,
    Reply,
    /// The kernel, which answers there.
    Kernel,
    Nobody,
}

#[derive(Clone, Debug)]
struct Port {
    holder: Holder,
    queue: VecDeque<Message>,
    /// Messages that a waiting thread was given and has not shown yet.
    claims: VecDeque<Message>,
    /// Whose it was under which name, and its label, when the last of these was given.
    claimed_at: Option<(TaskId, Name, Option<u64>)>,
    /// Senders that wait for room, in order.
    senders: VecDeque<(ThreadId, Message)>,
    limit: u64,
    make_send: u64,
    sequence: u64,
    label: Option<u64>,
    /// The guard, and whether it is strict.
    guard: Option<(u64, bool)>,
    no_senders: Option<(PortId, u64)>,
    is_timer: bool,
    /// When its timer goes off, if it has not yet.
    deadline: Option<u64>,
    destroyed: Option<PortId>,
    /// What the kernel has behind it.
    semaphore: Option<Semaphore>,
    device: Option<Device>,
}

impl Port {
    /// Whether its receive right stays where it is.
    fn stays(&self) -> bool {
        self.is_timer || matches!(self.guard, Some((_, true)))
    }

    /// The messages that may come next.
    fn next(&self) -> impl Iterator<Item = &Message> + '_ {
        self.queue.iter().filter(|message| {
            let mut lane = self
                .queue
                .iter()
                .filter(|other| other.lane() == message.lane());
            lane.next()
                .is_some_and(|first| first.batch == message.batch)
        })
    }

    /// How many messages count against the limit: notifications need no room (N-08).
    fn load(&self) -> u64 {
        self.queue
            .iter()
            .filter(|message| !message.from_kernel)
            .count() as u64
    }
}

impl Message {
    /// Messages of one lane come in order (M-14): those of tasks, the notifications that a send-once
    /// right was lost, a timer's, an interrupt line's, and all other notifications.
    fn lane(&self) -> u8 {
        match self.id {
            _ if !self.from_kernel => 0,
            abi::notify::SEND_ONCE => 1,
            abi::notify::pending::TIMER => 3,
            abi::notify::pending::INTERRUPT => 4,
            _ => 2,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Message {
    batch: u64,
    from_kernel: bool,
    id: i32,
    /// The words that count: all six of a short message of a task, one of a notification.
    words: Vec<u64>,
    /// The first of them, whatever the message is.
    first: u64,
    data: Option<Vec<u8>>,
    remote: Carried,
    local: Carried,
    rights: Vec<Carried>,
    /// By descriptor, the rights in the same order.
    parts: Vec<Part>,
}

/// What a thread receives from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Port(PortId),
    Set(SetId),
    /// The thread's own reply object.
    Reply(PortId),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    User,
    /// Waits for room, and then does the rest of the request.
    Sending(Box<Request>),
    /// Waits for a message; `claimed`: one is there.
    Receiving {
        source: Source,
        want: Want,
        claimed: bool,
    },
    /// Did not send this message, and will come back with it; the code, and the options of the send.
    Unsent(Box<Message>, (MessageReturn, u32)),
    /// Will come back with this code.
    Due(MessageReturn),
    /// Waits for a semaphore, a word or a time.
    Waiting,
    /// Will come back from another trap than `mach_msg`, with this code.
    DueTrap(KernReturn),
    /// The same, with the time.
    DueTime,
    /// Waits for what becomes of its exception.
    Excepted(Box<Raised>),
    /// Is to ask the next handler.
    Asking(Box<Raised>),
    /// Needs a page of a memory object.
    Paging(Box<objects::Paging>),
    /// Has stopped itself, and will learn that it did.
    Stopping,
    /// Will go on with these registers.
    Resumed(Box<Registers>),
    /// Is no more.
    Ended,
}

#[derive(Clone, Debug)]
struct Thread {
    task: TaskId,
    slot: Option<Carried>,
    reply: PortId,
    /// What it is known by.
    port: PortId,
    /// How often it was stopped.
    stops: u32,
    wishes: policy::Wishes,
    has_buffer: bool,
    /// Its time constraint, if it has one.
    constraint: Option<[u32; 4]>,
    /// Whether it may have used up its computation.
    may_overrun: bool,
    /// Whether what it received last may have lent it a caller's priority.
    serves: bool,
    extra: state::Extra,
    /// The id of the message that it received last, if that was none of the kernel's answers.
    heard: Option<i32>,
    /// Whether a program made it.
    was_made: bool,
    /// How many memory descriptors its last message took.
    memory_taken: usize,
    state: State,
}

/// All rights of all tasks.
#[derive(Clone, Debug)]
pub struct Model {
    tasks: Vec<Task>,
    threads: Vec<Thread>,
    ports: Vec<Port>,
    sets: Vec<Vec<PortId>>,
    /// By owner and type.
    handlers: BTreeMap<(Owner, u32), Handler>,
    host: host::Host,
    words: BTreeMap<futex::Key, futex::Cell>,
    time: time::Time,
    clocks: clock::Clocks,
    told: asks::Told,
    memory: vm::Memory,
    entries: entries::Entries,
    machine: machine::Machine,
    lines: device::Lines,
    records: records::Records,
    store: Option<store::Store>,
    objects: objects::Objects,
    batch: u64,
    /// What the trap that is judged tried with a guarded port: codes of `EXC_GUARD`.
    misuse: Option<[u64; 2]>,
    /// Whether something happened that the kernel may still be at.
    unsettled: bool,
}

impl Model {
    /// `threads[n]` is the task of thread `n`; nobody has any right.
    pub fn new(threads: &[TaskId]) -> Self {
        let count = threads.iter().max().map_or(0, |last| last + 1);
        let mut model = Self {
            tasks: vec![Task::default(); count],
            threads: Vec::new(),
            ports: Vec::new(),
            sets: Vec::new(),
            handlers: BTreeMap::new(),
            host: host::Host::default(),
            words: BTreeMap::new(),
            time: time::Time::default(),
            clocks: clock::Clocks::default(),
            told: asks::Told::default(),
            memory: vm::Memory::default(),
            entries: entries::Entries::default(),
            machine: machine::Machine::default(),
            lines: device::Lines::default(),
            records: records::Records::default(),
            store: None,
            objects: objects::Objects::default(),
            batch: 0,
            misuse: None,
            unsettled: false,
        };
        model.make_host();
        for task in 0..count {
            model.tasks[task].port = model.new_port(Holder::Kernel);
            if task > 0 {
                model.tasks[task].parent = Some(0);
                model.tasks[task].limits = Some(asks::words(LIMITS));
            }
            // The first task's threads may have any priority, others the one that all begin with.
            model.tasks[task].limit = match task {
                0 => MAX_PRIORITY.into(),
                _ => DEFAULT_PRIORITY.into(),
            };
        }
        for task in threads {
            let reply = model.new_port(Holder::Reply);
            let port = model.new_port(Holder::Kernel);
            model.threads.push(Thread::new(*task, reply, port));
        }
        model
    }

    /// A thread made a trap, and the kernel answered, or not yet.
    ///
    /// # Errors
    /// What the rules would have had.
    ///
    /// # Panics
    /// When the thread is in a trap already.
    pub fn step(&mut self, thread: ThreadId, op: &Op, seen: Option<&Seen>) -> Verdict {
        assert_eq!(
            self.threads[thread].state,
            State::User,
            "thread {thread} is in a trap"
        );
        self.batch += 1;
        if op.is_call() {
            self.threads[thread].heard = None;
        }
        let (seen, excepted) = match seen {
            Some(Seen::Excepted(answer, registers)) => (Some(&**answer), Some(registers)),
            seen => (seen, None),
        };
        let verdict = self.judge(thread, op, seen);
        let verdict = verdict.and_then(|()| self.tell_of_misuse(thread, excepted));
        self.ask_on();
        if matches!(op, Op::Policy(..) | Op::Machine(..)) {
            self.place_again();
        }
        // Whether it comes back once more before it ends is the scheduler's business.
        if self.has_ended(thread) {
            return Ok(());
        }
        verdict
    }

    fn judge(&mut self, thread: ThreadId, op: &Op, seen: Option<&Seen>) -> Verdict {
        let task = self.threads[thread].task;
        match (op, seen) {
            (Op::Raise(trouble, registers), seen) => self
                .raise(thread, (*trouble, *registers), seen)
                .map_err(|why| format!("{op:x?}: {why}")),
            (Op::Control(name, subject, op), seen) => {
                assert_eq!(self.subject(thread, *name), Some(*subject));
                self.control(thread, (*subject, op), seen)
                    .map_err(|why| format!("{op:x?} of {subject:?}: {why}"))
            }
            (Op::Ports(_, of, op), Some(seen)) => self
                .ports_op(thread, (*of, op), seen)
                .map_err(|why| format!("{op:x?} of task {of}: {why}")),
            (Op::Exit(subject), None) => {
                self.end(*subject);
                Ok(())
            }
            (Op::Terminate { name }, seen) => {
                self.terminate(thread, *name, futex::trap_answer(seen)?)
            }
            (Op::Futex(op), seen) => futex::trap_answer(seen)
                .and_then(|seen| self.futex_op(thread, *op, seen))
                .map_err(|why| format!("{op:?}: {why}")),
            (Op::Time(op), seen) => futex::trap_answer(seen)
                .and_then(|seen| self.time_op(thread, *op, seen))
                .map_err(|why| format!("{op:?}: {why}")),
            (Op::Clock(name, op), Some(seen)) => self
                .clock_op(thread, (*name, *op), seen)
                .map_err(|why| format!("{op:?}: {why}")),
            (Op::Policy(_, subject, op), Some(seen)) => self
                .policy_op(task, (*subject, op), seen)
                .map_err(|why| format!("{op:?} of {subject:?}: {why}")),
            (Op::Task(_, subject, op), Some(seen)) => self
                .task_op(task, (*subject, *op), seen)
                .map_err(|why| format!("{op:?} of {subject:?}: {why}")),
            (Op::Object(_) | Op::Pager(..), seen) => self.judge_object(thread, op, seen),
            (Op::VmCall(_, of, op), Some(seen)) => self.vm_call(task, (*of, *op), seen),
            (Op::Ask(_, subject, op), Some(seen)) => self
                .ask_op(task, (*subject, *op), seen)
                .map_err(|why| format!("{op:?} of {subject:?}: {why}")),
            (Op::Machine(hand, op), Some(seen)) => self
                .machine_op(task, (*hand, *op), seen)
                .map_err(|why| format!("{op:?}: {why}")),
            (Op::Line(_) | Op::Range(_) | Op::Entry(_), Some(seen)) => self
                .resource_op(task, op, seen)
                .map_err(|why| format!("{op:x?}: {why}")),
            (Op::Processor(name, op), Some(seen)) => self
                .processor_op(task, (*name, *op), seen)
                .map_err(|why| format!("{op:?}: {why}")),
            (Op::State(_, of, op), Some(seen)) => self
                .state_op(*of, op, seen)
                .map_err(|why| format!("{op:x?} of {of}: {why}")),
            (Op::Semaphore(op), seen) => self
                .semaphore_op(thread, op, seen)
                .map_err(|why| format!("{op:?}: {why}")),
            (Op::Message(request), None) => self.message(thread, request, None),
            (Op::Message(request), Some(Seen::Message(reply))) => {
                self.message(thread, request, Some(reply))
            }
            (Op::Handler(level, op), Some(seen)) => self
                .handler_op(task, (*level, op), seen)
                .map_err(|why| format!("{op:?} at {level:?}: {why}")),
            (_, Some(Seen::Trap(code, value))) => self
                .name_op(thread, op, (*code, *value))
                .map_err(|why| format!("{op:?}: {why}")),
            _ => Err(format!("{op:?} does not answer {seen:?}")),
        }
    }

    /// A right went from a thread's task to another task without a trap, and got a name there.
    ///
    /// # Errors
    /// What the rules would have had.
    pub fn give(
        &mut self,
        (from, name, disposition): (ThreadId, Name, u8),
        to: TaskId,
        got: Name,
    ) -> Verdict {
        let right = self
            .take(from, name, disposition)
            .ok_or("there is no such right")?;
        self.accept_right(to, right, got)
    }

    /// The names of a task, and one that each index had before.
    pub fn names(&self, task: TaskId) -> (Vec<Name>, Vec<Name>) {
        let task = &self.tasks[task];
        let past = task.past.values().filter_map(|names| names.last().copied());
        let names = task.names.keys().copied();
        let names = names.filter(|name| !task.spared.contains(name));
        (names.collect(), past.collect())
    }

    /// How many threads there are, those that have ended included.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// A thread's task.
    pub fn task_of(&self, thread: ThreadId) -> TaskId {
        self.threads[thread].task
    }

    /// The threads of a task that have not ended.
    pub fn threads_of(&self, task: TaskId) -> Vec<ThreadId> {
        let threads = 0..self.threads.len();
        threads
            .filter(|thread| self.threads[*thread].task == task && !self.has_ended(*thread))
            .collect()
    }

    /// The `mach_port_type` bits of a name.
    pub fn bits(&self, task: TaskId, name: Name) -> u32 {
        self.tasks[task].names.get(&name).map_or(0, Entry::bits)
    }

    fn new_port(&mut self, holder: Holder) -> PortId {
        self.ports.push(Port {
            holder,
            queue: VecDeque::new(),
            claims: VecDeque::new(),
            claimed_at: None,
            senders: VecDeque::new(),
            limit: queue_limit::DEFAULT.into(),
            make_send: 0,
            sequence: 0,
            label: None,
            guard: None,
            no_senders: None,
            is_timer: false,
            deadline: None,
            destroyed: None,
            semaphore: None,
            device: None,
        });
        self.ports.len() - 1
    }

    fn is_alive(&self, port: PortId) -> bool {
        self.ports[port].holder != Holder::Nobody
    }

    fn covers(&self, source: Source, port: PortId) -> bool {
        match source {
            Source::Port(of) | Source::Reply(of) => of == port,
            Source::Set(set) => self.sets[set].contains(&port),
        }
    }
}

/// Where a received message must lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    Queue,
    Claims,
}
