//! System calls of another system: served in the same task by its entry, and by another task as exceptions.
//!
//! The system is a small part of Linux: `write`, `getcwd` and `exit` by their numbers, errors by theirs.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};

use interfaces::exceptions::{Exceptions, Raised};
use interfaces::host::Host;
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::exception::{self, behavior};
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::thread_state::{FLAVOR, ThreadState};
use libmach::abi::trace::wait;
use libmach::{Mach, ReceiveRight, Result, Runtime, SendRight, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::child::{Child, end, exceptions};
use crate::raw::{self, Words};

const WRITE: u64 = 1;
const EXIT: u64 = 60;
const GETCWD: u64 = 79;
/// `read`, which may take for ever, and `EINTR`.
const READ: u64 = 0;
const INTERRUPTED: i64 = -4;
/// `EFAULT` and `ENOSYS`.
const BAD_ADDRESS: i64 = -14;
const NO_SUCH_CALL: i64 = -38;
const HELLO: &[u8] = b"hello";
/// Where nothing is mapped.
const NOWHERE: u64 = 0x1234_5000;
/// Calls that are counted.
const CALLS: u64 = 200;

cases! { "personality":
    "an entry in the same task serves the calls" => by_entry,
    "another task serves them by the registers" => by_handler,
    "the handler gets such a call as it would get a message" => handed_over,
    "a call that nobody answers is interrupted, with a result" => interrupted,
}

/// Word of the page: how many bytes were written, what came of the bad calls, the status of `exit`.
const WRITTEN: usize = 0;
const RESULTS: [usize; 4] = [1, 2, 3, 4];
const STATUS: usize = 5;
/// Word: a register that no call may change.
const KEPT: usize = 6;

/// The program: it knows nothing of who serves it.
fn program(page: &Words) {
    let text = HELLO.as_ptr() as u64;
    let size = HELLO.len() as u64;
    let results = [
        raw::system_call(WRITE, [1, text, size]),
        raw::system_call(WRITE, [1, NOWHERE, size]),
        raw::system_call(9999, [0; 3]),
        raw::system_call(GETCWD, [page as *const Words as u64 + 512, 64, 0]),
    ];
    for (word, result) in RESULTS.into_iter().zip(results) {
        page.set(word, result.cast_unsigned());
    }
    // Mach's own calls are still Mach's.
    page.set(KEPT, u64::from(trap::null().is_ok()));
    raw::system_call(EXIT, [7, 0, 0]);
    page.set(STATUS, u64::MAX);
}

/// What the program must have found.
fn as_expected(page: &Words, bad: i64) -> Check {
    let expected = [HELLO.len() as i64, bad, NO_SUCH_CALL, 2];
    let found = RESULTS.map(|word| page.get(word).cast_signed());
    equal("results", found, expected)?;
    equal(
        "the directory",
        page.get(64).to_le_bytes(),
        *b"/\0\0\0\0\0\0\0",
    )?;
    equal("a trap of Mach's", page.get(KEPT), 1)?;
    equal("status", page.get(STATUS), 7)
}

/// The page in common, for the entry, which has only the registers of the call.
static PAGE: AtomicU64 = AtomicU64::new(0);

/// Serves a call in the task that made it. It believes addresses: a bad one is the program's own fault there.
extern "C" fn serve(number: u64, a: u64, b: u64, c: u64) -> i64 {
    let page = raw::words(PAGE.load(Ordering::Relaxed));
    match number {
        WRITE if b == NOWHERE => BAD_ADDRESS,
        WRITE => {
            let same = raw::peek(b, c as usize) == HELLO;
            page.set(WRITTEN, if same { c } else { u64::MAX });
            c.cast_signed()
        }
        GETCWD => {
            raw::poke(a, 1, b'/');
            raw::poke(a + 1, 1, 0);
            2
        }
        EXIT => {
            page.set(STATUS, a);
            end()
        }
        _ => NO_SUCH_CALL,
    }
}

extern "C" fn with_entry(page: &Words, _: u64) {
    PAGE.store(page as *const Words as u64, Ordering::Relaxed);
    let own = trap::task_self().map(SendRight::<dyn Task>::from_name);
    let set = own.map(|own| own.client().set_personality(raw::personality_entry(serve)));
    if matches!(set, Ok(Ok(()))) {
        program(page);
    }
}

fn by_entry(_: &World) -> Check {
    let child = Child::new(with_entry, 0)?;
    child.run()?;
    child.until_gone()?;
    equal("bytes written", child.page.get(WRITTEN), HELLO.len() as u64)?;
    as_expected(&child.page, BAD_ADDRESS)
}

extern "C" fn without_entry(page: &Words, calls: u64) {
    for _ in 0..calls {
        raw::system_call(WRITE, [1, HELLO.as_ptr() as u64, 0]);
    }
    program(page);
}

/// What the program's calls led to.
#[derive(Default)]
struct Told {
    output: Vec<u8>,
    status: Option<u64>,
}

/// Serves the calls of other tasks.
struct Linux(Rc<RefCell<Told>>);

impl Linux {
    fn call(&self, task: &SendRight<dyn Task>, state: &ThreadState) -> Result<i64> {
        let result = match state.rax {
            WRITE => {
                let mut bytes = vec![0; state.rdx.min(4096) as usize];
                match task.read_memory(state.rsi, &mut bytes) {
                    Ok(()) => {
                        self.0.borrow_mut().output.extend_from_slice(&bytes);
                        bytes.len() as i64
                    }
                    Err(_) => BAD_ADDRESS,
                }
            }
            GETCWD => match task.write_memory(state.rdi, b"/\0") {
                Ok(()) => 2,
                Err(_) => BAD_ADDRESS,
            },
            EXIT => {
                self.0.borrow_mut().status = Some(state.rdi);
                task.client().terminate()?;
                0
            }
            _ => NO_SUCH_CALL,
        };
        Ok(result)
    }
}

impl Exceptions for Linux {
    type Rights = Mach;

    async fn raise(
        &mut self,
        _: SendRight<dyn Thread>,
        _: SendRight<dyn Task>,
        _: Raised,
    ) -> Result<()> {
        Err(K::Failure.into())
    }

    async fn raise_state(&mut self, _: Raised, _: u32, _: ThreadState) -> Result<ThreadState> {
        Err(K::Failure.into())
    }

    async fn raise_state_identity(
        &mut self,
        _: SendRight<dyn Thread>,
        task: SendRight<dyn Task>,
        what: Raised,
        _: u32,
        mut state: ThreadState,
    ) -> Result<ThreadState> {
        if what.exception != exception::SYSCALL || what.code != state.rax {
            return Err(K::Failure.into());
        }
        state.rax = self.call(&task, &state)?.cast_unsigned();
        Ok(state)
    }
}

/// Lets a child make calls before its program, served by this task; what they led to.
fn served(calls: u64) -> Check<(Child, Told)> {
    let (runtime, told) = (Runtime::new()?, Rc::new(RefCell::new(Told::default())));
    let port = ReceiveRight::<dyn Exceptions>::new()?;
    let right = port.make_send()?;
    runtime.serve(port, Linux(Rc::clone(&told)))?;
    let child = Child::new(without_entry, calls)?;
    let form = behavior::STATE_IDENTITY | behavior::WIDE_CODES;
    let mask = 1 << exception::SYSCALL;
    let ports = exceptions(&child.task)?;
    ports.client().set(mask, right.cast(), form, FLAVOR)?;
    child.run()?;
    let (on, task) = (runtime.clone(), child.task.duplicate()?);
    runtime.run_until(async move { on.died(&task).await })??;
    let told = told.take();
    Ok((child, told))
}

fn by_handler(_: &World) -> Check {
    let (child, told) = served(0)?;
    equal("output", &told.output[..], HELLO)?;
    // Here the status is the handler's.
    child.page.set(STATUS, told.status.unwrap_or(u64::MAX));
    as_expected(&child.page, BAD_ADDRESS)
}

//
fn handed_over(_: &World) -> Check {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let before = host.client().statistics()?;
    let (_child, told) = served(CALLS)?;
    let after = host.client().statistics()?;
    equal("output", &told.output[..], HELLO)?;
    let raised = after.exceptions - before.exceptions;
    check!(raised >= CALLS, "{raised} exceptions");
    // Others say something, too; and once in a while a second CPU is faster than the handler.
    let queued = after.queued - before.queued;
    check!(
        queued < CALLS / 4,
        "{queued} of {CALLS} calls and what goes with them were queued"
    );
    Ok(())
}

extern "C" fn reads(page: &Words, _: u64) {
    let result = raw::system_call(READ, [0, 0, 0]);
    page.set(RESULTS[0], result.cast_unsigned());
}

// covers: T-09
fn interrupted(_: &World) -> Check {
    let port = ReceiveRight::<dyn Exceptions>::new()?;
    let child = Child::new(reads, 0)?;
    let form = behavior::STATE_IDENTITY | behavior::WIDE_CODES;
    let ports = exceptions(&child.task)?;
    let handler = port.make_send()?.cast();
    ports
        .client()
        .set(1 << exception::SYSCALL, handler, form, FLAVOR)?;
    child.run()?;
    child.until_it_waits(wait::EXCEPTION)?;
    let thread = child.thread.client();
    // A signal comes: the call is not made again, and its result is the signal's.
    thread.suspend()?;
    thread.abort()?;
    let state = thread.get_state()?;
    equal("the call's number", state.rax, READ)?;
    thread.set_state(ThreadState {
        rax: INTERRUPTED.cast_unsigned(),
        ..state
    })?;
    thread.resume()?;
    child.until_gone()?;
    let result = child.page.get(RESULTS[0]).cast_signed();
    equal("result", result, INTERRUPTED)?;
    // The handler's answer would come too late.
    equal("calls", libmach::server::discard(&port), 1)
}
