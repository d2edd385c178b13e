//! A task's control port. Holding it is the permission.
//!
//! Calls on the caller's own task have traps as well (`abi::trap`), which do the same.

use abi::names::Name;
use abi::task::Limits;
use abi::thread_state::ThreadState;
use abi::transport::Untyped;
use macros::{Wire, interface};

use crate::bounded::{Bytes, List, Text};
use crate::memory::Entry;
use crate::processor::ProcessorSet;
use crate::semaphore::Semaphore;
use crate::thread::Thread;

/// A task in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Info {
    /// Its index, as `ps` shows it.
    pub index: u32,
    /// How many threads it has.
    pub threads: u32,
    /// How often it was suspended.
    pub suspend_count: u32,
    /// Its identity token.
    pub identity: u64,
    /// The highest priority that its threads may be given.
    pub priority_limit: u32,
    /// CPU time of its threads, in ns; see [`thread::Info`](crate::thread::Info).
    pub cpu_time: u64,
    /// What it was called.
    pub name: Text<32>,
}

/// What a task uses of what it may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Ledger {
    /// The limits.
    pub limits: Limits,
    /// The use.
    pub used: Limits,
}

/// One name of a task, as `lsmp` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct RightInfo {
    /// The name.
    pub name: Name,
    /// Bits of `abi::names::port_type`.
    pub kind: u32,
    /// User references.
    pub references: u32,
    /// A number that is the same for every name of the same port.
    pub port: u64,
    /// Messages in the queue, when it is a receive right.
    pub messages: u32,
    /// Send rights that exist, when it is a receive right.
    pub send_rights: u32,
}

/// The next message of a port, which stays there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Peeked {
    /// The sequence number that it will be received with.
    pub sequence: u32,
    /// Bytes of header, descriptors and data when it is received into a buffer.
    pub size: u32,
    /// Its id, as in `i32`.
    pub id: u32,
    /// Identity token of its sender.
    pub identity: u64,
}

/// One mapping of a task, as `vmmap` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Region {
    /// Where it begins.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// Current protection.
    pub protection: u32,
    /// The most that the protection may become.
    pub maximum: u32,
    /// What a child gets.
    pub inherit: u32,
    /// Pages of it that are in memory.
    pub resident: u32,
    /// A number that is the same for every mapping of the same object; 0 before the first touch.
    pub object: u64,
    /// Pages of 2 MiB that the hardware maps as such, of the first [`LARGE_PLACES`] that have room in it.
    pub large: u32,
}

/// As many places for large pages are looked at for [`Region::large`].
pub const LARGE_PLACES: u32 = 512;

/// What [`Task::threads`] begins behind to list all.
pub const FIRST_THREAD: u32 = u32::MAX;

/// Operations on a task.
#[interface(name = "org.mello.task", subsystem = 3400)]
pub trait Task {
    /// Ends the task: threads, memory, rights. Of the own task it never returns.
    async fn terminate(&mut self) -> Result<()>;
    /// Stops all threads, once more. When this is answered none runs anywhere.
    async fn suspend(&mut self) -> Result<()>;
    /// Takes one stop back; `Failure` when there is none.
    async fn resume(&mut self) -> Result<()>;
    /// The task in numbers.
    async fn info(&self) -> Result<Info>;
    /// A new task without threads and rights, its limits carved from this one's, its limit of priority the same.
    ///
    /// `identity` is the token that its messages carry; `inherit` 1 gives it this task's memory
    /// as the regions' inheritance says, 0 none.
    async fn create(
        &mut self,
        limits: Limits,
        identity: u64,
        inherit: u32,
    ) -> Result<SendRight<dyn Task>>;
    /// A new suspended thread.
    async fn thread_create(&mut self, state: ThreadState) -> Result<SendRight<dyn Thread>>;
    /// The thread of this number ([`thread::Info`](crate::thread::Info)); `InvalidArgument` when the task has none.
    async fn thread(&mut self, number: u32) -> Result<SendRight<dyn Thread>>;
    /// Where all exceptions of the task's threads that can end it go when the threads have no port for them, with behavior
    /// `BRIEF`.
    async fn set_exception_port(&mut self, port: SendRight<Untyped>) -> Result<()>;
    /// Gives the task a send right: under `name`, or a fresh name when that is null.
    async fn insert_send(&mut self, name: Name, right: SendRight<Untyped>) -> Result<Name>;
    /// Gives the task a receive right: under `name`, or a fresh name when that is null.
    async fn insert_receive(&mut self, name: Name, right: ReceiveRight<Untyped>) -> Result<Name>;
    /// Takes or makes a send right out of the task's space by a disposition.
    async fn extract_send(&mut self, name: Name, disposition: u8) -> Result<SendRight<Untyped>>;
    /// `mach_port_allocate` in the task's space.
    async fn port_allocate(&mut self, right: u32) -> Result<Name>;
    /// `mach_port_allocate_name` in the task's space.
    async fn port_allocate_name(&mut self, right: u32, name: Name) -> Result<Name>;
    /// `mach_port_peek`: `Failure` when no message is there, `InvalidValue` for a trailer above
    /// `abi::message::trailer::AUDIT`.
    async fn port_peek(&mut self, name: Name, trailer: u32) -> Result<Peeked>;
    /// `mach_port_guard` in the task's space; `strict` is 0 or 1.
    async fn port_guard(&mut self, name: Name, value: u64, strict: u32) -> Result<()>;
    /// `mach_port_unguard` in the task's space.
    async fn port_unguard(&mut self, name: Name, value: u64) -> Result<()>;
    /// `mach_port_swap_guard` in the task's space.
    async fn port_swap_guard(&mut self, name: Name, old: u64, new: u64) -> Result<()>;
    /// `vm_allocate` in the task; flags of `abi::vm::flags`.
    async fn vm_allocate(&mut self, address: u64, size: u64, flags: u64) -> Result<u64>;
    /// `vm_deallocate` in the task.
    async fn vm_deallocate(&mut self, address: u64, size: u64) -> Result<()>;
    /// `vm_protect` in the task; `set_maximum` is 0 or 1.
    async fn vm_protect(
        &mut self,
        address: u64,
        size: u64,
        set_maximum: u32,
        protection: u32,
    ) -> Result<()>;
    /// `vm_map` in the task; flags of `abi::vm::map_flags`.
    async fn vm_map(
        &mut self,
        entry: SendRight<dyn Entry>,
        address: u64,
        size: u64,
        offset: u64,
        flags: u64,
    ) -> Result<u64>;
    /// Writes into the task's memory.
    async fn vm_write(&mut self, address: u64, bytes: &[u8]) -> Result<()>;
    /// Reads up to 1024 bytes of the task's memory; fewer when the mapping ends before.
    async fn vm_read(&mut self, address: u64, size: u64) -> Result<Bytes<1024>>;
    /// A memory entry of a range of the task's memory, with at most `protection`.
    async fn make_entry(
        &mut self,
        address: u64,
        size: u64,
        protection: u32,
    ) -> Result<SendRight<dyn Entry>>;
    /// Limits and use.
    async fn ledger(&self) -> Result<Ledger>;
    /// The task's names behind `after`, ascending; an empty list is the end.
    async fn rights(&mut self, after: Name) -> Result<List<RightInfo, 32>>;
    /// The task's mappings at and above `address`; an empty list is the end.
    async fn regions(&self, address: u64) -> Result<List<Region, 32>>;
    /// Where `syscall`s of number zero and above go; 0 raises `EXC_SYSCALL`.
    async fn set_personality(&mut self, entry: u64) -> Result<()>;
    /// What `ps` calls the task.
    async fn set_name(&mut self, name: &str) -> Result<()>;
    /// Numbers of the threads behind the one numbered `after`, of all for [`FIRST_THREAD`]; an empty list is the end.
    ///
    /// `InvalidArgument`: that thread has ended. The newest comes first, so that none is listed twice.
    async fn threads(&self, after: u32) -> Result<List<u32, 64>>;
    /// The highest priority that threads of the task, and of tasks that it makes from now on, may be given. Threads
    /// above it come down to it, and get back what they were given when it is raised again.
    ///
    /// `NoAccess`: it is above the present limit; only the privileged host port raises one. `InvalidArgument`: no
    /// thread has such a priority.
    async fn set_priority_limit(&mut self, priority: u32) -> Result<()>;
    /// A semaphore that lets `value` waits return at once. `policy` says whom a signal lets go
    /// (`abi::semaphore::policy`).
    ///
    /// `InvalidArgument`: another policy, or a value of 2³¹ and above.
    async fn semaphore_create(
        &mut self,
        policy: u32,
        value: u32,
    ) -> Result<SendRight<dyn Semaphore>>;
    /// A port that is kept for the task (`abi::task::special`). A child gets its parent's, except for the own port.
    ///
    /// `InvalidArgument`: none has that number. `NotSupported`: one that is less than the control port. `Failure`: there
    /// is none, or it died.
    async fn special_port(&mut self, which: u32) -> Result<SendRight<Untyped>>;
    /// Sets such a port. `TASK_SELF` and `HOST_SELF` answer what was set.
    async fn set_special_port(&mut self, which: u32, port: SendRight<Untyped>) -> Result<()>;
    /// Takes such a port away; own port and host are again what they were at first.
    async fn clear_special_port(&mut self, which: u32) -> Result<()>;
    /// Keeps a port for the task and the children that it makes from now on; `index` is below 3.
    async fn ports_register(&mut self, index: u32, port: SendRight<Untyped>) -> Result<()>;
    /// A port that was kept so. `InvalidArgument`, `Failure`: as with special ports.
    async fn ports_lookup(&mut self, index: u32) -> Result<SendRight<Untyped>>;
    /// `task_threads`: rights to the ports of all threads, the newest first.
    ///
    /// Threads that come or go while it works may be missing.
    async fn thread_rights(&mut self) -> Result<SendRights<dyn Thread>>;
    /// `mach_port_names`: all names of the task, and how many they are. The first half of the memory holds the names, the
    /// second half what each denotes (bits of `abi::names::port_type`), as `u32`; the halves are whole pages.
    ///
    /// Names that come or go while it works may be missing.
    async fn port_names(&mut self) -> Result<(Memory, u32)>;
    /// As [`Task::extract_send`], with a right to send once.
    async fn extract_send_once(&mut self, name: Name, disposition: u8)
    -> Result<SendOnce<Untyped>>;
    /// `task_assign`: to the right to steer the processor set that it is in; `threads` 1: its threads, too.
    ///
    /// `InvalidArgument`: it is another right; there is one set only.
    async fn assign(&mut self, set: SendRight<dyn ProcessorSet>, threads: u32) -> Result<()>;
    /// `task_assign_default`: the same, to the set that everything is in.
    async fn assign_default(&mut self, threads: u32) -> Result<()>;
    /// `task_get_assignment`: the processor set that it is in, to be asked.
    async fn assignment(&mut self) -> Result<SendRight<dyn ProcessorSet>>;
    /// `task_info`, by a flavor of `abi::task::info`, as Mach lays it out in words of 32 bits; `count` is how many words the
    /// caller has room for.
    ///
    /// `InvalidArgument`: no such flavor, or it has more words.
    async fn info_of(&mut self, flavor: u32, count: u32) -> Result<List<u32, 40>>;
    /// Gives the task a right to send once: under `name`, or a fresh name when that is null.
    async fn insert_send_once(&mut self, name: Name, right: SendOnce<Untyped>) -> Result<Name>;
    /// Takes a receive right out of the task's space: its sets, its guard, who waits there lose it as if it had been sent away.
    async fn extract_receive(&mut self, name: Name) -> Result<ReceiveRight<Untyped>>;
}
