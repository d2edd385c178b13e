//! The host port. The unprivileged one answers what is marked *privileged* with `NoAccess`.

use abi::trace::Record;
use abi::transport::Untyped;
use macros::{Wire, interface};

use crate::bounded::{Bytes, List, Text};
use crate::memory_object::MemoryObject;
use crate::task::Task;

/// The machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Info {
    /// CPUs that run.
    pub cpus: u32,
    /// Pages of memory, all.
    pub pages: u64,
    /// Pages that are free.
    pub free_pages: u64,
    /// Kernel version.
    pub version: Text<48>,
}

/// Counters since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Statistics {
    /// Traps.
    pub traps: u64,
    /// Messages sent.
    pub messages: u64,
    /// Messages that went straight to a waiting receiver.
    pub handoffs: u64,
    /// Messages that were queued.
    pub queued: u64,
    /// Page faults.
    pub faults: u64,
    /// Exceptions raised.
    pub exceptions: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// Thread switches.
    pub switches: u64,
    /// Live tasks.
    pub tasks: u64,
    /// Live threads.
    pub threads: u64,
    /// Live ports.
    pub ports: u64,
    /// Messages in queues.
    pub queued_now: u64,
    /// Frames in use.
    pub frames: u64,
    /// Bytes of memory that the kernel's arenas have, for objects and for more of them ([`Host::arenas`]).
    pub kernel_bytes: u64,
    /// Of the frames in use, those that the kernel took for its own objects and keeps for the next ones. The others
    /// are tasks' memory and page tables, and come back with them.
    pub kernel_frames: u64,
    /// Interrupts that asked CPUs to forget mappings.
    pub shootdowns: u64,
}

/// What the kernel's objects of one kind take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct ArenaEntry {
    /// The kind.
    pub name: Text<16>,
    /// How many there are.
    pub live: u32,
    /// Bytes that each takes.
    pub size: u32,
    /// Bytes of memory that are there for them.
    pub committed: u64,
}

/// One task, as `ps` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct TaskEntry {
    /// Its index.
    pub index: u32,
    /// Its threads.
    pub threads: u32,
    /// Its pages, without its children's.
    pub pages: u32,
    /// Its names, without its children's.
    pub names: u32,
    /// Its identity token.
    pub identity: u64,
    /// CPU time, in ns.
    pub cpu_time: u64,
    /// What it was called.
    pub name: Text<32>,
}

/// One thread, by the numbers that traces carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct ThreadEntry {
    /// Its index.
    pub index: u32,
    /// Its task's.
    pub task: u32,
    /// Its priority now, 0 (lowest) to 127.
    pub priority: u32,
    /// What it waits for (`abi::trace::wait`).
    pub state: u32,
    /// Index of the port or thread that it waits for; `u32::MAX`: none.
    pub waits_at: u32,
    /// The CPU that runs it; `u32::MAX`: none.
    pub cpu: u32,
}

/// Operations on the machine as a whole. Mach's own calls to a host are in [`crate::mach_host`].
#[interface(name = "org.mello.host", subsystem = 200)]
pub trait Host {
    /// The machine.
    async fn info(&self) -> Result<Info>;
    /// Counters since boot.
    async fn statistics(&self) -> Result<Statistics>;
    /// Tasks with an index of at least `first`, ascending; an empty list is the end.
    async fn tasks(&mut self, first: u32) -> Result<List<TaskEntry, 32>>;
    /// The control port of the task with this index. Privileged.
    async fn task(&mut self, index: u32) -> Result<SendRight<dyn Task>>;
    /// Bytes of the kernel's log from `position` on, and where they begin: later than asked when
    /// the ring was overwritten.
    async fn log(&self, position: u64) -> Result<(u64, Bytes<1024>)>;
    /// Records of the trace ring from `position` on, and where they begin.
    async fn trace(&self, position: u64) -> Result<(u64, List<Record, 64>)>;
    /// Puts a mark into the trace ring.
    async fn trace_mark(&mut self, a: u64, b: u64) -> Result<()>;
    /// Switches the trace ring on (1) or off (0). Privileged.
    async fn trace_enable(&mut self, on: u32) -> Result<()>;
    /// Turns the machine off; under QEMU with `status` as its exit status. Privileged.
    async fn shutdown(&mut self, status: u32) -> Result<()>;
    /// Starts the machine again. Privileged.
    async fn reboot(&mut self) -> Result<()>;
    /// Switches the fast path on (1) or off (0), for comparison. Privileged.
    async fn set_fast_path(&mut self, on: u32) -> Result<()>;
    /// Threads with an index of at least `first`, ascending; an empty list is the end.
    async fn threads(&mut self, first: u32) -> Result<List<ThreadEntry, 64>>;
    /// The special port with this number (`abi::host::special`); `Failure` when nobody set it. Privileged.
    async fn special_port(&mut self, which: u32) -> Result<SendRight<Untyped>>;
    /// Sets one that is not the kernel's; a right that was there before ends. Privileged.
    async fn set_special_port(&mut self, which: u32, port: SendRight<Untyped>) -> Result<()>;
    /// As [`Task::set_priority_limit`], up to any limit. Privileged.
    async fn set_priority_limit(&mut self, task: SendRight<dyn Task>, priority: u32) -> Result<()>;
    /// What the kernel's objects take, kind by kind.
    async fn arenas(&self) -> Result<List<ArenaEntry, 32>>;
    /// Makes the task that receives on `object` the *default pager*: anonymous memory goes to that memory object when there is
    /// too little, up to `pages` pages, and comes back when it is needed. The kernel chooses the offsets, and asks
    /// for a page at most once after it returned it: a page that is supplied precious need not be kept. The first
    /// task may give out as many pages more. `NameExists`: there is one, and it lives. Privileged.
    async fn set_default_pager(
        &mut self,
        object: SendRight<dyn MemoryObject>,
        pages: u64,
    ) -> Result<()>;
    /// How many pages are to be kept free: below that, what is not used leaves memory. Privileged.
    async fn set_free_target(&mut self, pages: u64) -> Result<()>;
}
