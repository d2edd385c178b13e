//! A thread's port.

use abi::thread_state::ThreadState;
use macros::{Wire, interface};

use crate::bounded::{Bytes, List};
use crate::processor::ProcessorSet;

/// A thread in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Info {
    /// Its number, as exception messages and traces carry it.
    pub index: u32,
    /// How often it was suspended.
    pub suspend_count: u32,
    /// Its priority, 0 (lowest) to 127.
    pub priority: u32,
    /// What it does: 0 runs or may run, else what it waits for (`abi::trace::Kind::Block`).
    pub state: u32,
    /// CPU time, in ns, user and kernel together, without its present turn. Threads that hand the CPU to each other by
    /// calls are told apart only at the ends of slices, every 10 ms: a short call counts as its caller's.
    pub cpu_time: u64,
}

/// What a thread received last, a request or an answer, and whom it owes an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct LastMessage {
    /// The message's id; 0: none.
    pub id: i32,
    /// The thread whose call it has not answered yet, as far as its reply slot tells: its number and 1; 0: none.
    pub client: u32,
    /// That thread's task, by its number.
    pub client_task: u32,
}

/// Operations on a thread.
#[interface(name = "org.mello.thread", subsystem = 3600)]
pub trait Thread {
    /// Ends the thread, whatever it waits for. When this is answered it runs nowhere.
    async fn terminate(&mut self) -> Result<()>;
    /// Stops it, once more. When this is answered it runs nowhere.
    async fn suspend(&mut self) -> Result<()>;
    /// Takes one stop back; `Failure` when there is none.
    async fn resume(&mut self) -> Result<()>;
    /// Ends what it waits for with an `Interrupted` or `Aborted` code.
    async fn abort(&mut self) -> Result<()>;
    /// The thread in numbers.
    async fn info(&self) -> Result<Info>;
    /// Its registers, while it is stopped.
    async fn get_state(&mut self) -> Result<ThreadState>;
    /// Sets its registers; flags that are the kernel's keep their values.
    async fn set_state(&mut self, state: ThreadState) -> Result<()>;
    /// Sets its priority; `fixed` 1 takes it out of timesharing, 0 puts it back.
    ///
    /// `NoAccess`: above its task's limit. `InvalidArgument`: no thread has such a priority.
    async fn set_priority(&mut self, priority: u32, fixed: u32) -> Result<()>;
    /// Ends a depression (`THREAD_SWITCH`) before its time; `NotDepressed` when there is none.
    async fn depress_abort(&mut self) -> Result<()>;
    /// Its registers of one flavor (`abi::thread_state`), while it is stopped, as the processor lays them out.
    ///
    /// `InvalidArgument`: no such flavor.
    async fn get_state_of(&mut self, flavor: u32) -> Result<Bytes<768>>;
    /// Sets registers of one flavor, while it is stopped; what is reserved or the kernel's keeps its value.
    ///
    /// `InvalidArgument`: no such flavor, or not so many bytes; an address that is not the user's; a debug register that
    /// watches I/O ports or itself.
    async fn set_state_of(&mut self, flavor: u32, state: &[u8]) -> Result<()>;
    /// Sets how it is scheduled (`abi::task::policy`). The task's limit of priority holds for all of them.
    ///
    /// A thread with a time constraint runs at the limit; when it has run for its computation without waiting, it gives
    /// way to all others until its period is over. `InvalidArgument`: no such policy, not so many words, or values
    /// that make no sense.
    async fn set_policy(&mut self, flavor: u32, words: List<u32, 4>) -> Result<()>;
    /// What was set. `Failure`: it has no time constraint. `InvalidArgument`: as above.
    async fn policy(&self, flavor: u32) -> Result<List<u32, 4>>;
    /// `thread_assign`, `thread_assign_default`, `thread_get_assignment`: as of tasks
    /// ([`Task::assign`](crate::task::Task::assign)).
    async fn assign(&mut self, set: SendRight<dyn ProcessorSet>) -> Result<()>;
    /// See [`Thread::assign`].
    async fn assign_default(&mut self) -> Result<()>;
    /// See [`Thread::assign`].
    async fn assignment(&mut self) -> Result<SendRight<dyn ProcessorSet>>;
    /// `thread_info`, by a flavor of `abi::task::thread_info`; as [`Task::info_of`](crate::task::Task::info_of).
    async fn info_of(&mut self, flavor: u32, count: u32) -> Result<List<u32, 40>>;
    /// What it received last, while it is stopped.
    async fn last_message(&mut self) -> Result<LastMessage>;
    /// As [`Thread::abort`], but only of a wait that the thread can begin again as if there had been none. `Failure`,
    /// and it waits on: for the answer to a call, or of an exception's handler, which would be lost; or for a page
    /// in the midst of a message or a request.
    async fn abort_safely(&mut self) -> Result<()>;
}
