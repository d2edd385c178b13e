//! Processors, and the sets that they are in. There is one set: no other can be made, and nothing is assigned to another.

use macros::interface;

use crate::bounded::List;
use crate::task::Task;
use crate::thread::Thread;

/// A processor.
#[interface(name = "org.mello.processor", subsystem = 3060)]
pub trait Processor {
    /// `processor_info`, by a flavor of `abi::host::processor`; `count` is how many words the caller has room for.
    ///
    /// `InvalidArgument`: no such flavor. `Failure`: it has more words.
    async fn info(&mut self, flavor: u32, count: u32) -> Result<List<u32, 8>>;
    /// `processor_get_assignment`: its set, to be asked.
    async fn assignment(&mut self) -> Result<SendRight<dyn ProcessorSet>>;
    /// `processor_assign`: to the right to steer the set that it is in. `InvalidArgument`: it is another right.
    async fn assign(&mut self, set: SendRight<dyn ProcessorSet>) -> Result<()>;
}

/// A set of processors. The right to ask it answers what is marked *privileged* with `NoAccess`.
#[interface(name = "org.mello.processor-set", subsystem = 3040)]
pub trait ProcessorSet {
    /// `processor_set_info`, by a flavor of `abi::host::processor_set`; as [`Processor::info`].
    async fn info(&self, flavor: u32, count: u32) -> Result<List<u32, 8>>;
    /// `processor_set_statistics`, in the same way.
    async fn statistics(&mut self, flavor: u32, count: u32) -> Result<List<u32, 8>>;
    /// `processor_set_tasks`: rights to the control ports of all tasks. Privileged.
    ///
    /// Tasks that come or go while it works may be missing.
    async fn tasks(&mut self) -> Result<SendRights<dyn Task>>;
    /// `processor_set_threads`: rights to the ports of all threads. Privileged.
    async fn threads(&mut self) -> Result<SendRights<dyn Thread>>;
}
