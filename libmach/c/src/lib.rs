//! Mach for C programs: the static library behind the headers in `include`.
//!
//! A C program has messages in memory of its own, in the classic layout (`abi::classic`); the kernel has
//! them in registers and in the thread's message buffer. [`outgoing`] and [`incoming`] translate, without
//! a trap, and are tested on the host. `mach_msg` is in [`message`]; around it lie ports, memory, tasks, threads,
//! exceptions, semaphores, the name service, errors, the server loop and the start of a program, each a thin face of
//! `libmach`.
//!
//! How a message travels: **six words** (48 bytes behind the header, no descriptors) go in registers, as
//! the calls of libmach's interfaces do, so that C and Rust programs call each other; all else lies in the
//! buffer, with its exact size.
//!
//! The numbers of the headers are made from `abi` ([`numbers`]), and a test compares them with the
//! committed file.
//!
//! Deliberately absent: vouchers, heap, standard input and output; thread-local variables of the compiler.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod bootstrap;
pub mod clock;
#[cfg(target_os = "none")]
mod console;
pub mod contents;
pub mod error;
pub mod exceptions;
pub mod host;
pub mod incoming;
pub mod info;
pub mod memory;
pub mod message;
#[cfg(not(target_os = "none"))]
pub mod numbers;
pub mod outgoing;
pub mod own;
pub mod port;
pub mod release;
pub mod semaphore;
pub mod server;
pub mod space;
#[cfg(target_os = "none")]
mod start;
mod stash;
pub mod task;
pub mod thread;

/// Drops a result on purpose; the caller says beside it why.
pub(crate) fn ignore<T>(_: T) {}
