//! Ring-3 Mach: what programs, servers and drivers use to talk to each other and to the kernel.
//!
//! From the bottom up: [`trap`] is the kernel's entry, [`message`] and [`buffer`] are `mach_msg`
//! and its memory. Everything below ownership may be used directly by tests and benchmarks.
//!
//! Unsafe code lies in `trap`, `buffer`, `thread`, `sync` and `machine` (and `host`, the
//! in-process backend that stands in for the kernel under `cargo test`).
#![cfg_attr(target_os = "none", no_std)]

pub mod buffer;
pub mod context;
#[cfg(not(target_os = "none"))]
pub mod host;
#[cfg(target_os = "none")]
pub mod machine;
pub mod message;
pub mod sync;
pub mod thread;
pub mod trap;

pub use abi;
pub use context::Context;
pub use macros::main;

/// Drops a result on purpose; the caller says beside it why.
pub(crate) fn ignore<T>(_: T) {}
