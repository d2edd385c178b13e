//! Further threads of the task.
//!
//! A thread's stack, message buffer and block are one region. It stays mapped until the task ends:
//! the thread itself runs on it to its last instruction, and nobody could tell when that was.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::thread_state::{FIXED_FLAGS, ThreadState};
use abi::transport::Result;
use interfaces::task::Task;

use crate::buffer::SIZE as BUFFER;
use crate::rights::SendRight;
use crate::thread::Block;
use crate::{Memory, ignore, trap};

/// Bytes of a thread's stack. Pages cost nothing until they are touched.
const STACK: usize = 256 * 1024;
/// Bytes for the block.
const BLOCK: usize = abi::PAGE_SIZE as usize;

/// What a new thread finds.
struct Start {
    buffer: u64,
    body: Box<dyn FnOnce() + Send>,
    done: Arc<AtomicU32>,
}

/// Starts a thread; `done` becomes 1, and is woken, when `body` has returned.
pub(crate) fn spawn(body: Box<dyn FnOnce() + Send>, done: Arc<AtomicU32>) -> Result<()> {
    let task = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let region = Memory::new(STACK + BUFFER + BLOCK)?;
    let base = region.as_ptr() as u64;
    let buffer = base + STACK as u64;
    let block = buffer + BUFFER as u64;
    // SAFETY: fresh zeroed memory of this function's own, page-aligned; it stays mapped as long as
    // the thread that uses it.
    unsafe { Block::write(block as *mut Block, buffer as *mut u8) };
    let start = Box::into_raw(Box::new(Start { buffer, body, done }));
    let state = ThreadState {
        rip: entry as *const () as u64,
        rsp: base + STACK as u64 - 8,
        rdi: start as u64,
        rflags: FIXED_FLAGS,
        fs_base: block,
        ..ThreadState::default()
    };
    let made = task.client().thread_create(state).and_then(|thread| {
        let thread = thread.client();
        thread.resume().inspect_err(|_| ignore(thread.terminate()))
    });
    match made {
        // The thread has it from here on, to the task's end.
        Ok(()) => ignore(region.into_raw()),
        // SAFETY: (1) the pointer is from `into_raw` above. (2) No thread has seen it: it was not
        // created, or never ran, since a failed resume leaves it suspended.
        Err(_) => drop(unsafe { Box::from_raw(start) }),
    }
    made
}

/// Gives the calling thread a block and a message buffer.
pub(crate) fn attach() -> Result<()> {
    let region = Memory::new(BUFFER + BLOCK)?;
    let buffer = region.as_ptr() as u64;
    let block = buffer + BUFFER as u64;
    // SAFETY: fresh zeroed memory of this function's own, page-aligned, that stays mapped from here on.
    unsafe { Block::write(block as *mut Block, buffer as *mut u8) };
    // SAFETY: the block lives as long as the task.
    unsafe { trap::set_fs_base(block)? };
    ignore(region.into_raw());
    // SAFETY: page-aligned, whole pages, and nothing but `crate::buffer` uses it.
    unsafe { trap::message_buffer(buffer, BUFFER as u64)? };
    Ok(())
}

/// A thread's first function: `rdi` is its [`Start`], FS base its block.
extern "C" fn entry(start: *mut Start) -> ! {
    // SAFETY: `spawn` gave the box to this thread alone.
    let Start { buffer, body, done } = *unsafe { Box::from_raw(start) };
    // SAFETY: the region is this thread's own, and stays mapped.
    if unsafe { trap::message_buffer(buffer, BUFFER as u64) }.is_err() {
        panic!("the kernel refused the thread's message buffer");
    }
    body();
    done.store(1, Ordering::Release);
    ignore(trap::futex_wake(&done, u32::MAX));
    drop(done);
    trap::thread_exit()
}
