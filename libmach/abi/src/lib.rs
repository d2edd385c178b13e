//! What the kernel and its users agree on: numbers, register packings and memory layouts.
//!
//! Every other crate may import this one; it imports nothing and holds no code beyond packing and
//! unpacking. Numbers are XNU's wherever XNU has the call or the code (`osfmk/mach/*.h`,
//! `osfmk/kern/syscall_sw.c`); what only MelloOS has lies in ranges of its own, said where it is
//! defined. A layout is fixed by a const assertion beside it.
//!
//! Deliberately absent: anything that depends on an allocator, on a target, or on a trap.
#![no_std]
#![forbid(unsafe_code)]

pub mod classic;
pub mod clock;
pub mod exception;
pub mod host;
pub mod image;
pub mod kern_return;
pub mod message;
pub mod names;
pub mod notify;
pub mod registers;
pub mod semaphore;
pub mod signal;
pub mod start;
pub mod symbols;
pub mod task;
pub mod thread_state;
pub mod trace;
pub mod transport;
pub mod trap;
pub mod vm;

/// Version of everything in this crate. A task whose start page carries another one is refused.
pub const ABI_VERSION: u32 = 1;

/// Bytes in a page, and the unit of every mapping.
pub const PAGE_SIZE: u64 = 4096;
