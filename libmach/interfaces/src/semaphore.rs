//! A semaphore's port. Waiting, and signalling without a message, are traps (`abi::trap`).

use macros::interface;

use crate::thread::Thread;

/// Operations on a semaphore. It ends with the last right to it, or by order; who waits then gets `Terminated`.
#[interface(name = "org.mello.semaphore", subsystem = 3010)]
pub trait Semaphore {
    /// Lets the first waiter go, or the next one not wait. `Failure`: it was signalled 2³¹ − 1 times for nobody.
    async fn signal(&mut self) -> Result<()>;
    /// Lets all who wait go.
    async fn signal_all(&mut self) -> Result<()>;
    /// Lets one thread go. `NotWaiting`: it does not wait here.
    async fn signal_thread(&mut self, thread: SendRight<dyn Thread>) -> Result<()>;
    /// Ends it.
    async fn destroy(&mut self) -> Result<()>;
}
