//! From the first instruction to `main`, and out again.
//!
//! The creator starts the first thread at `_start` with a stack, `rsp` as behind a call, and the
//! start page's address in `rdi`. `_start` itself is made by `#[libmach::main]` in the program.

use core::fmt::Display;

use abi::start::{MAGIC, Page};

use crate::context::Context;
use crate::{thread, trap};

/// Runs a program: checks the start page, sets the thread up, calls `main`, ends the task.
///
/// # Safety
/// Called once, by `_start`, on the task's first thread. `page` is what `rdi` held: a start page
/// that stays mapped, unchanged, as long as the task lives.
pub unsafe fn enter<E: Display>(page: *const Page, main: fn(Context) -> Result<(), E>) -> ! {
    // SAFETY: the caller's promise.
    let page: &'static Page = unsafe { &*page };
    if page.magic != MAGIC || page.version != abi::ABI_VERSION {
        refuse(page);
    }
    // SAFETY: the caller's promise: once, first thread, nothing of this crate ran before.
    if unsafe { thread::enter() }.is_err() {
        refuse(page);
    }
    if let Err(error) = main(Context::new(page)) {
        panic!("main failed: {error}");
    }
    exit()
}

/// Ends the calling task, regularly. It needs no name for that: a full ledger is no obstacle.
pub fn exit() -> ! {
    trap::task_exit()
}

/// Stops before anything that could need the right ABI: the supervisor sees `EXC_BAD_INSTRUCTION`
/// with the found magic and version in `rdi` and `rsi`.
fn refuse(page: &Page) -> ! {
    loop {
        // SAFETY: an exception; it touches nothing.
        unsafe {
            core::arch::asm!(
                "ud2",
                in("rdi") page.magic,
                in("rsi") u64::from(page.version),
                options(nomem, nostack),
            );
        }
    }
}
