//! What the handler of exceptions answers, when the kernel calls it by one of Mach's behaviors (`mach/mach_exc.defs`).
//!
//! Messages with codes of 32 bits are the same, with ids from `abi::exception::NARROW_RAISE` on.

use abi::thread_state::ThreadState;
use abi::transport::Untyped;
use macros::{Wire, interface};

use crate::task::Task;
use crate::thread::Thread;

/// What happened: a type and its codes (`abi::exception`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Raised {
    /// The type.
    pub exception: u32,
    /// The first code.
    pub code: u64,
    /// The second code.
    pub subcode: u64,
}

/// An exception port, as it was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Setting {
    /// The types that go there: bit `n` is type `n`.
    pub mask: u32,
    /// `abi::exception::behavior`.
    pub behavior: u32,
    /// Which registers are told: `abi::thread_state::FLAVOR`, or 0 where none are.
    pub flavor: u32,
}

/// What the port of a thread, of a task and the privileged host port answer beside their own interface: where
/// exceptions go, of this thread, of the task's threads, or of all threads.
///
/// Bit `n` of a mask is type `n`. Behaviors and flavors are in `abi::exception::behavior` and
/// `abi::thread_state::FLAVOR`; a mask, behavior or flavor that is none is an `InvalidArgument`.
#[interface(name = "org.mello.exception-ports", subsystem = 3000)]
pub trait ExceptionPorts {
    /// Exceptions of these types go to `port` from now on.
    async fn set(
        &mut self,
        mask: u32,
        port: SendRight<Untyped>,
        behavior: u32,
        flavor: u32,
    ) -> Result<()>;
    /// Exceptions of these types go to the next level from now on.
    async fn clear(&mut self, mask: u32) -> Result<()>;
    /// The ports of these types, one by one: types with the same port, behavior and flavor count as one.
    ///
    /// `Failure`: there are not more than `index`.
    async fn get(&mut self, mask: u32, index: u32) -> Result<(Setting, SendRight<Untyped>)>;
    /// Sets, and answers what was there before.
    ///
    /// `Failure`: these types had no port, or several, or not all had one; nothing has changed.
    async fn swap(
        &mut self,
        mask: u32,
        port: SendRight<Untyped>,
        behavior: u32,
        flavor: u32,
    ) -> Result<(Setting, SendRight<Untyped>)>;
}

/// A handler of exceptions. Success resumes the thread; an error hands the exception on to the next level.
#[interface(name = "org.mello.exceptions", subsystem = 2405)]
pub trait Exceptions {
    /// Behavior `DEFAULT`.
    async fn raise(
        &mut self,
        thread: SendRight<dyn Thread>,
        task: SendRight<dyn Task>,
        what: Raised,
    ) -> Result<()>;
    /// Behavior `STATE`: the thread goes on with the registers in the answer.
    async fn raise_state(
        &mut self,
        what: Raised,
        flavor: u32,
        state: ThreadState,
    ) -> Result<ThreadState>;
    /// Behavior `STATE_IDENTITY`: both.
    async fn raise_state_identity(
        &mut self,
        thread: SendRight<dyn Thread>,
        task: SendRight<dyn Task>,
        what: Raised,
        flavor: u32,
        state: ThreadState,
    ) -> Result<ThreadState>;
}
