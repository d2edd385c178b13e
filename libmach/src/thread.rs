//! Threads, and what belongs to the calling one: its block (FS base) and its message buffer.
//!
//! There is no compiler TLS on the machine: FS base points to a [`Block`], whose first word is its
//! own address. On a host the standard library's thread-locals stand in.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::names::Name;
use abi::transport::Result;

use crate::{ignore, trap};

/// A thread to be waited for. Dropped, the thread goes on.
#[derive(Debug)]
pub struct Join(Arc<AtomicU32>);

impl Join {
    /// Waits until the thread has ended.
    pub fn join(self) {
        while self.0.load(Ordering::Acquire) == 0 {
            // Whatever ends the wait, the word says whether it was the thread.
            ignore(trap::futex_wait(&self.0, 0, u64::MAX));
        }
    }
}

/// Starts a thread of this task, with a message buffer of its own.
///
/// # Errors
/// When the task may have no more threads or memory.
pub fn spawn(body: impl FnOnce() + Send + 'static) -> Result<Join> {
    let done = Arc::new(AtomicU32::new(0));
    #[cfg(target_os = "none")]
    crate::machine::spawn::spawn(Box::new(body), Arc::clone(&done))?;
    #[cfg(not(target_os = "none"))]
    crate::host::spawn_thread(Box::new(body), Arc::clone(&done));
    Ok(Join(done))
}

/// The thread block. FS base points here.
#[repr(C)]
#[derive(Debug)]
pub struct Block {
    this: *const Self,
    buffer: *mut u8,
    /// See [`reply_port`].
    reply: u32,
}

impl Block {
    /// Writes a new thread's block.
    ///
    /// # Safety
    /// `block` is memory for a block that nothing else uses; `buffer` is the thread's buffer.
    #[cfg(target_os = "none")]
    pub(crate) unsafe fn write(block: *mut Self, buffer: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            block.write(Self {
                this: block,
                buffer,
                reply: 0,
            })
        }
    }
}

/// Gives the calling thread, which something else than [`spawn`] made, its block and message buffer. They stay until
/// the task ends.
///
/// # Errors
/// When the task may have no more memory.
pub fn attach() -> Result<()> {
    #[cfg(target_os = "none")]
    crate::machine::spawn::attach()?;
    Ok(())
}

/// The receive right that the calling thread keeps for answers, where its program's stubs need one; null at first.
pub fn reply_port() -> Name {
    #[cfg(target_os = "none")]
    {
        let name: u32;
        // SAFETY: FS base is this thread's block, which nobody else reads or writes.
        unsafe {
            core::arch::asm!("mov {:e}, fs:[16]", out(reg) name, options(nostack, preserves_flags));
        }
        Name(name)
    }
    #[cfg(not(target_os = "none"))]
    crate::host::reply_port().get()
}

/// Keeps a receive right for answers.
pub fn set_reply_port(port: Name) {
    // SAFETY: as in `reply_port`.
    #[cfg(target_os = "none")]
    unsafe {
        core::arch::asm!("mov fs:[16], {:e}", in(reg) port.0, options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    crate::host::reply_port().set(port);
}

/// The calling thread's message buffer, [`crate::buffer::SIZE`] bytes, page-aligned.
#[cfg(target_os = "none")]
#[inline(always)]
pub(crate) fn buffer() -> *mut u8 {
    let buffer: *mut u8;
    // SAFETY: (1) FS base is this thread's block from its first instruction in Rust on
    // (`machine::start`). (2) This word of it is never written after that, so the read may be cached.
    unsafe {
        core::arch::asm!(
            "mov {}, fs:[8]",
            out(reg) buffer,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    buffer
}

#[cfg(not(target_os = "none"))]
pub(crate) fn buffer() -> *mut u8 {
    crate::host::buffer()
}

#[cfg(target_os = "none")]
mod main_thread {
    use core::cell::UnsafeCell;

    use super::Block;

    /// The main thread's buffer and block: in `.bss`, so that starting needs no allocation.
    #[repr(C, align(4096))]
    struct Buffer(UnsafeCell<[u8; crate::buffer::SIZE]>);

    struct Main(UnsafeCell<Block>);

    // SAFETY: only the main thread reaches it, by raw pointer, through `crate::buffer`.
    unsafe impl Sync for Buffer {}
    // SAFETY: written once, before a second thread can exist.
    unsafe impl Sync for Main {}

    static BUFFER: Buffer = Buffer(UnsafeCell::new([0; crate::buffer::SIZE]));
    static BLOCK: Main = Main(UnsafeCell::new(Block {
        this: core::ptr::null(),
        buffer: core::ptr::null_mut(),
        reply: 0,
    }));

    /// Sets up FS base and message buffer of the task's first thread.
    ///
    /// # Safety
    /// Called once, by that thread, before anything else of this crate.
    pub(crate) unsafe fn enter() -> crate::trap::Outcome<()> {
        let block = BLOCK.0.get();
        let buffer = BUFFER.0.get().cast::<u8>();
        // SAFETY: the caller's promise: nobody else runs yet.
        unsafe {
            block.write(Block {
                this: block,
                buffer,
                reply: 0,
            })
        };
        // SAFETY: a static block lives as long as its thread.
        unsafe { crate::trap::set_fs_base(block as u64)? };
        // SAFETY: page-aligned, whole pages, and nothing but `crate::buffer` uses it.
        unsafe { crate::trap::message_buffer(buffer as u64, crate::buffer::SIZE as u64) }
    }
}

#[cfg(target_os = "none")]
pub(crate) use main_thread::enter;
