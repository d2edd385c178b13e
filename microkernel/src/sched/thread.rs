//! The thread control block: what all layers know of a thread.
//!
//! It is plain data: `sched` decides when a thread runs, `ipc` what it waits for, `task` when it ends.
//! It lies in `sched` because every layer above needs it and none below does.

use abi::trace::wait;

use super::actions::Form;
use super::policy::Wishes;
use crate::base::ids::{
    BufferId, ChunkId, ExtraId, MessageId, PortId, SemaphoreId, SpaceId, TaskId, ThreadId,
};
use crate::base::tree::Links;
use crate::machine::{Cpu, NEVER, Page, Time};

/// Where a thread stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is the current thread of a CPU; [`Sched::cpu_of`](super::Sched::cpu_of) says of which.
    Running,
    /// It is in the run queue of [`Thread::cpu`].
    Ready,
    /// It waits; [`Thread::wait`] says for what.
    Blocked,
    /// It could run, but is suspended.
    Held,
}

/// What a blocked thread waits for. This is all the kernel keeps of a blocked call: no stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Nothing: it runs or could run.
    None,
    /// A message on its own reply port, for a call that it made.
    Reply,
    /// A message on a port or set that it receives on; it is among that port's receivers.
    Receive(PortId),
    /// Room in a port's queue; it is among that port's senders, its message in the port's keeping.
    Send(PortId),
    /// The answer to an exception that the kernel raised for it, on its reply port: of this handler, which was told
    /// in this form.
    Exception(PortId, Form),
    /// A change of a futex word; it is among those that wait for that one.
    Futex,
    /// A signal; it is among that semaphore's waiters.
    Semaphore(SemaphoreId),
    /// Its deadline, nothing else.
    Deadline,
    /// A page that a pager was asked for; it is among those that wait for that one.
    Page,
}

impl Wait {
    /// As a number, for tools ([`abi::trace::wait`]).
    pub const fn code(self) -> u32 {
        match self {
            Self::None => wait::NONE,
            Self::Reply => wait::REPLY,
            Self::Receive(_) => wait::RECEIVE,
            Self::Send(_) => wait::SEND,
            Self::Exception(..) => wait::EXCEPTION,
            Self::Futex => wait::FUTEX,
            Self::Semaphore(_) => wait::SEMAPHORE,
            Self::Deadline => wait::DEADLINE,
            Self::Page => wait::PAGE,
        }
    }

    /// Index of what is waited at or for, where there is such a thing.
    pub fn object(self) -> Option<u32> {
        match self {
            Self::Receive(port) | Self::Send(port) | Self::Exception(port, _) => Some(port.index()),
            Self::None
            | Self::Reply
            | Self::Futex
            | Self::Semaphore(_)
            | Self::Page
            | Self::Deadline => None,
        }
    }
}

bitflags::bitflags! {
    /// What keeps a thread off the fast path. None set: the common case, tested in one instruction.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u32 {
        /// The reply slot holds a right.
        const SLOT_FULL = 1 << 0;
        /// A suspend count, its own or its task's, is above zero.
        const SUSPENDED = 1 << 1;
        /// A deadline is armed.
        const TIMED = 1 << 2;
        /// It is to end as soon as it stops.
        const TERMINATE = 1 << 3;
        /// Work is left that this thread pays for (see `Next::Continue`).
        const WORK = 1 << 4;
        /// The receive it is in only peeks.
        const PEEK = 1 << 5;
        /// `thread_abort` came while it could not be interrupted.
        const ABORT = 1 << 6;
        /// Messages that are too large stay in the queue.
        const RECEIVE_LARGE = 1 << 7;
        /// Whoever was asked about its exception did not deal with it, or nobody was asked yet.
        const UNHANDLED = 1 << 9;
        /// The trap that it is in is to be done again, or on.
        const RETRY = 1 << 10;
        /// One of its suspensions is its task's.
        const HELD_BY_TASK = 1 << 11;
        /// It gives way to all others until its deadline.
        const DEPRESSED = 1 << 12;
        /// What it waited for a pager for will not come: the word that it waits for says which page.
        const PAGE_FAILED = 1 << 13;
        /// The fast path is off for the whole kernel.
        const NO_FAST_PATH = 1 << 8;
        /// It runs while more is traced than usual, of which the fast path tells nothing.
        const TRACED = 1 << 14;
    }
}

/// Neighbours in the one queue that a thread is in; they mean nothing while it is in none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    pub(crate) previous: Option<ThreadId>,
    pub(crate) next: Option<ThreadId>,
}

/// How priorities change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// The priority falls while the thread uses up its slices, and comes back when it blocks.
    Timeshare,
    /// The priority stays.
    Fixed,
    /// The priority is the highest that its task may have, as long as it computes no longer than it said
    /// ([`Constraint`](super::Constraint)).
    TimeConstraint,
}

pub use abi::task::{DEFAULT_PRIORITY, MAX_PRIORITY};

/// Messages of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Those that it sent.
    pub sent: u32,
    /// Those that it received.
    pub received: u32,
}

/// One thread.
///
/// In this order in memory, for the state and the first byte of the wait, neighbours, are mostly written together, and
/// then by one store.
#[derive(Debug)]
#[repr(C)]
pub struct Thread {
    /// See [`Flags`].
    pub flags: Flags,
    /// Effective priority: its own, or one lent by a caller.
    pub priority: u8,
    /// Its own priority now (timesharing lowers it below `base`).
    pub own_priority: u8,
    /// The priority it was given.
    pub base: u8,
    /// See [`State`].
    pub state: State,
    /// See [`Wait`].
    pub wait: Wait,
    /// Place in a run queue, in a port's queue of waiters, or among those that wait for a word.
    pub link: Link,
    /// The space that its names denote something in.
    pub space: SpaceId,
    /// The first part of that space's table, at hand for the fast path.
    pub first_names: ChunkId,
    /// The port or set that it last waited on by a name: the fast path's guess for the next time.
    pub source: Option<PortId>,
    /// Its permanent reply port.
    pub reply_port: PortId,
    /// The reply slot: a send-once right.
    pub slot: Option<PortId>,
    /// Whose reply port that was when the slot was filled: a guess, right if it still is that thread's.
    pub slot_of: Option<ThreadId>,
    /// The message that a blocked send keeps until there is room for it.
    pub parked: Option<MessageId>,
    /// Identity token of its task, stamped on every message that it sends.
    pub identity: u64,
    /// Its message buffer.
    pub buffer: Option<BufferId>,
    /// Its task.
    pub task: TaskId,
    /// When it is woken at the latest, while `TIMED`.
    pub deadline: Time,
    /// Place in the tree of deadlines.
    pub timer: Links,
    /// Place in the tree of words, while it leads those that wait for one; or in a semaphore's.
    pub leads: Links,
    /// The word that it waits for, in a futex wait; the page, in a wait for a pager; its place among those who wait for a
    /// semaphore by priority; the codes of its exception, while that is told.
    pub operands: [u64; 2],
    /// Nanoseconds that it ran, as far as they are [accounted](super::Sched::account).
    pub cpu_time: Time,
    /// Neighbours among its task's threads.
    pub siblings: Link,
    /// What few threads have: a port, exception ports.
    pub extra: Option<ExtraId>,
    /// The buffer's first page, at hand for the fast path.
    pub buffer_page: Option<Page>,
    /// Threads of its task with the same number belong together; 0: none.
    pub tag: u32,
    /// Pages that a send has looked at, of the memory in its message, before its trap is done again.
    pub awaited: u32,
    /// Nanoseconds of its slice that are left; 0: it gets a new one.
    pub slice: u32,
    /// When it was made, in seconds since boot.
    pub born: u32,
    /// Messages that it sent and received on the general path, and that its task has not been told of yet.
    pub counts: Counts,
    /// In whose run queue it is, while it is ready; else where it ran when it last gave its CPU up in here. (The message
    /// fast path, which hands CPUs over, leaves it as it is.)
    pub cpu: Cpu,
    /// What was asked for it, of which priority and policy follow.
    pub wishes: Wishes,
    /// Counts [`Flags::SUSPENDED`]'s reasons.
    pub suspend_count: u16,
    /// See [`Policy`].
    pub policy: Policy,
    /// How late it may wake from a sleep: a tier of quality and 1; 0: not at all.
    pub latency: u8,
    /// How much it is to get done, in the same way.
    pub throughput: u8,
    /// The type of that exception, and above it who is asked (see [`mark`]).
    pub exception: u8,
}

/// Where the level lies in [`Thread::exception`], above the type.
pub const LEVEL_SHIFT: u32 = 4;
/// The level before the first one: nobody was asked yet.
const NOBODY: u8 = 0xf;

/// A type and a level, as threads keep them.
pub fn mark(kind: u32, level: u8) -> u8 {
    (kind & 0xf) as u8 | level << LEVEL_SHIFT
}

impl Thread {
    /// What it was at is not to be done again.
    pub fn forget_retry(&mut self) {
        self.flags -= Flags::RETRY;
        self.awaited = 0;
    }

    /// How often it was suspended itself, beside its task.
    pub fn own_suspensions(&self) -> u16 {
        let by_task = u16::from(self.flags.contains(Flags::HELD_BY_TASK));
        self.suspend_count.saturating_sub(by_task)
    }

    /// Notes an exception of which handlers are only told, before the thread goes on.
    pub fn tell(&mut self, kind: u32, codes: [u64; 2]) {
        self.operands = codes;
        self.exception = mark(kind, NOBODY);
        self.flags |= Flags::UNHANDLED;
    }

    /// A new thread: blocked on nothing, suspended by nothing, and not yet in any queue.
    pub fn new(task: TaskId, names: (SpaceId, ChunkId), reply_port: PortId, identity: u64) -> Self {
        Self {
            flags: Flags::empty(),
            priority: DEFAULT_PRIORITY,
            own_priority: DEFAULT_PRIORITY,
            base: DEFAULT_PRIORITY,
            policy: Policy::Timeshare,
            wishes: Wishes::NONE,
            tag: 0,
            latency: 0,
            throughput: 0,
            state: State::Held,
            cpu: Cpu(0),
            wait: Wait::None,
            link: Link::default(),
            space: names.0,
            first_names: names.1,
            source: None,
            reply_port,
            slot: None,
            slot_of: None,
            parked: None,
            identity,
            buffer: None,
            buffer_page: None,
            task,
            deadline: NEVER,
            timer: Links::LEAF,
            leads: Links::LEAF,
            operands: [0; 2],
            awaited: 0,
            exception: 0,
            suspend_count: 0,
            slice: 0,
            cpu_time: 0,
            born: 0,
            counts: Counts::default(),
            siblings: Link::default(),
            extra: None,
        }
    }
}
