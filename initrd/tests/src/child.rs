//! Second tasks: copies of this one, with one thread that runs a function of this program.
//!
//! A child has the rights that it is given, and one page in common with this task. What it inherits of Rust's
//! values is never dropped there: its thread ends with the task.

use interfaces::exceptions::ExceptionPorts;
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::exception::MASK_ALL;
use libmach::abi::names::Name;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::{FIXED_FLAGS, ThreadState};
use libmach::abi::trace::wait;
use libmach::abi::vm::flags;
use libmach::{SendRight, ms, time, trap};

use crate::case::{Check, check};
use crate::raw::{self, Page, Words};

/// Bytes of its stack.
const STACK: u64 = 64 << 10;

/// What a child may hold.
const LIMITS: Limits = Limits {
    names: 1024,
    messages: 16,
    threads: 4,
    pages: 300,
    kernel_bytes: 1 << 18,
};

/// What a child's thread runs, on the page in common and with an argument.
pub(crate) type Body = extern "C" fn(&Words, u64);

/// A child. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) task: SendRight<dyn Task>,
    pub(crate) thread: SendRight<dyn Thread>,
    /// The page in common.
    pub(crate) page: Page,
}

impl Child {
    /// A child that will run `body`. Nobody handles its exceptions, unless somebody does those of all tasks.
    pub(crate) fn new(body: Body, argument: u64) -> Check<Self> {
        let (page, stack) = (Page::new()?, raw::allocate(STACK)?);
        let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
        let task = own.client().create(LIMITS, 0, 1);
        raw::deallocate(stack, STACK)?;
        let task = task?;
        exceptions(&task)?.client().clear(MASK_ALL)?;
        let start = start(body, argument, &page, stack);
        let thread = task.client().thread_create(start)?;
        Ok(Self { task, thread, page })
    }

    /// Lets another thread of its run `body`, which may use no message buffer.
    pub(crate) fn also(&self, body: Body, argument: u64) -> Check {
        let task = self.task.client();
        let stack = task.vm_allocate(0, STACK, flags::ANYWHERE)?;
        let start = start(body, argument, &self.page, stack);
        Ok(task.thread_create(start)?.client().resume()?)
    }

    /// Gives it a right to send; what it calls that.
    pub(crate) fn give<I: ?Sized>(&self, right: SendRight<I>) -> Check<Name> {
        Ok(self.task.client().insert_send(Name::NULL, right.cast())?)
    }

    /// Lets it run.
    pub(crate) fn run(&self) -> Check {
        Ok(self.thread.client().resume()?)
    }

    /// Waits until its thread waits for something (`abi::trace::wait`).
    pub(crate) fn until_it_waits(&self, what: u32) -> Check {
        let end = time::deadline(ms(10_000));
        loop {
            let state = self.thread.client().info()?.state;
            if state == what {
                return Ok(());
            }
            let (state, what) = (wait::name(state), wait::name(what));
            check!(time::now() < end, "the child waits for {state}, not {what}");
            time::sleep(ms(1));
        }
    }

    /// Waits until a word of the page is `value`.
    pub(crate) fn until(&self, word: usize, value: u64) -> Check {
        let end = time::deadline(ms(10_000));
        loop {
            let found = self.page.get(word);
            if found == value {
                return Ok(());
            }
            check!(
                time::now() < end,
                "word {word} is {found:#x}, not {value:#x}"
            );
            time::sleep(ms(1));
        }
    }

    /// Waits until it has ended.
    pub(crate) fn until_gone(&self) -> Check {
        let end = time::deadline(ms(10_000));
        while self.task.client().info().is_ok() {
            check!(time::now() < end, "the child does not end");
            time::sleep(ms(1));
        }
        Ok(())
    }
}

/// The registers of a thread that begins with `body`.
fn start(body: Body, argument: u64, page: &Page, stack: u64) -> ThreadState {
    ThreadState {
        rip: enter as *const () as u64,
        // As behind a call.
        rsp: stack + STACK - 8,
        rdi: body as *const () as u64,
        rsi: page.address(),
        rdx: argument,
        rflags: FIXED_FLAGS,
        fs_base: raw::thread_block(),
        ..ThreadState::default()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to end.
        self.task.client().terminate().ok();
    }
}

/// Where the exceptions go of whatever has exception ports.
pub(crate) fn exceptions<I: ?Sized>(of: &SendRight<I>) -> Check<SendRight<dyn ExceptionPorts>> {
    Ok(of.duplicate()?.cast())
}

/// The first function of a child's thread.
extern "C" fn enter(body: Body, page: u64, argument: u64) -> ! {
    // Without a buffer the messages that need one fail, which the test sees.
    raw::adopt_buffer().unwrap_or_default();
    body(raw::words(page), argument);
    end()
}

/// Ends the calling thread alone.
pub(crate) fn end_thread() -> ! {
    #[cfg(target_os = "none")]
    trap::thread_exit();
    #[cfg(not(target_os = "none"))]
    unreachable!("the host has no second tasks");
}

/// Ends the calling task.
pub(crate) fn end() -> ! {
    #[cfg(target_os = "none")]
    libmach::machine::start::exit();
    #[cfg(not(target_os = "none"))]
    unreachable!("the host has no second tasks");
}
