//! The second task: a copy of this one, with one thread and one receive right.
//!
//! It shares no rights with this task and runs on the same code at the same addresses. What it
//! inherits of Rust's values is never dropped there: its thread ends with the task.

use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::PAGE_SIZE;
use libmach::abi::names::Name;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::{FIXED_FLAGS, ThreadState};
use libmach::{ReceiveRight, SendRight, Untyped, trap};

use crate::{Result, raw};

/// Pages of the thread's stack.
const STACK: u64 = 16;

/// What a peer may hold: 10,000 ports, and copies of this task's pages.
const LIMITS: Limits = Limits {
    names: 12_000,
    messages: 64,
    threads: 2,
    pages: 4096,
    kernel_bytes: 10 << 20,
};

/// What the peer's thread runs, with its port's name and an argument.
pub type Body = extern "C" fn(Name, u64);

/// A child task. Dropped, it ends.
#[derive(Debug)]
pub struct Peer {
    task: SendRight<dyn Task>,
    thread: SendRight<dyn Thread>,
    port: SendRight<Untyped>,
    stack: u64,
}

impl Peer {
    /// A peer that runs `body` on the receive right of a port that this task can send to.
    ///
    /// # Errors
    /// When the kernel refuses a part of it.
    pub fn serving(body: Body, argument: u64) -> Result<Self> {
        let receive = ReceiveRight::<Untyped>::new()?;
        let port = receive.make_send()?;
        Self::start(body, argument, port, |child| {
            let given = child.client().insert_receive(Name::NULL, receive);
            given.map_err(|refused| refused.error)
        })
    }

    /// A peer that runs `body` on a send right to `port`; its exceptions go there too.
    ///
    /// # Errors
    /// When the kernel refuses a part of it.
    pub fn calling(body: Body, argument: u64, port: &ReceiveRight<Untyped>) -> Result<Self> {
        let to_keep = port.make_send()?;
        let (to_give, to_raise) = (port.make_send()?, port.make_send()?);
        Self::start(body, argument, to_keep, |child| {
            let set = child.client().set_exception_port(to_raise);
            set.map_err(|refused| refused.error)?;
            let given = child.client().insert_send(Name::NULL, to_give);
            given.map_err(|refused| refused.error)
        })
    }

    fn start(
        body: Body,
        argument: u64,
        port: SendRight<Untyped>,
        give: impl FnOnce(&SendRight<dyn Task>) -> libmach::Result<Name>,
    ) -> Result<Self> {
        let stack = raw::allocate(STACK)?;
        let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
        let task = own.client().create(LIMITS, 0, 1)?;
        let name = give(&task)?;
        let (block, _) = raw::thread_block();
        let thread = task.client().thread_create(ThreadState {
            rip: enter as *const () as u64,
            // As behind a call.
            rsp: stack + STACK * PAGE_SIZE - 8,
            rdi: body as *const () as u64,
            rsi: name.0.into(),
            rdx: argument,
            rflags: FIXED_FLAGS,
            fs_base: block,
            ..ThreadState::default()
        })?;
        Ok(Self {
            task,
            thread,
            port,
            stack,
        })
    }

    /// Lets the thread run.
    ///
    /// # Errors
    /// When the thread is gone.
    pub fn run(self) -> Result<Self> {
        self.thread.client().resume()?;
        Ok(self)
    }

    /// Sets the thread's priority, fixed.
    ///
    /// # Errors
    /// When the thread is gone.
    pub fn at_priority(self, priority: u32) -> Result<Self> {
        self.thread.client().set_priority(priority, 1)?;
        Ok(self)
    }

    /// The port between both.
    pub fn port(&self) -> Name {
        self.port.name()
    }

    /// A send right to a port whose receive right the peer has under `name`.
    ///
    /// # Errors
    /// When it has no such right.
    pub fn send_right(&self, name: Name) -> Result<SendRight<Untyped>> {
        let how = libmach::abi::names::disposition::MAKE_SEND;
        Ok(self.task.client().extract_send(name, how)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Either fails only when it was done before.
        ignore(self.task.client().terminate());
        ignore(raw::release(self.stack, STACK));
    }
}

/// The first function of a peer's thread.
extern "C" fn enter(body: Body, port: u64, argument: u64) -> ! {
    // Without a buffer the messages that need one fail, which the client reports.
    if raw::adopt_buffer().is_ok() {
        body(Name(port as u32), argument);
    }
    end()
}

/// Drops a result on purpose; the caller says beside it why.
fn ignore<T>(_: T) {}

/// Ends the calling task.
fn end() -> ! {
    #[cfg(target_os = "none")]
    libmach::machine::start::exit();
    #[cfg(not(target_os = "none"))]
    unreachable!("the host has no second tasks");
}
