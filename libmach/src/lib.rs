//! Ring-3 Mach: what programs, servers and drivers use to talk to each other and to the kernel.
//!
//! From the bottom up: [`trap`] is the kernel's entry, [`message`] and [`buffer`] are `mach_msg`
//! and its memory, which tests and benchmarks use directly. [`rights`] and [`memory`] own what the
//! kernel hands out. [`blocking`] carries the calls of programs, [`server`] runs servers; both
//! speak the interfaces of the crate `interfaces`. [`host`] stands in for the kernel under
//! `cargo test`.
//!
//! Unsafe code lies in `trap`, `buffer`, `thread`, `memory`, `packet`, `sync`, `machine` and `host`.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod blocking;
pub mod buffer;
pub mod context;
mod failure;
#[cfg(not(target_os = "none"))]
pub mod host;
#[cfg(target_os = "none")]
pub mod machine;
pub mod memory;
pub mod message;
pub mod packet;
pub mod pager;
pub mod rights;
pub mod server;
pub mod sync;
pub mod thread;
pub mod time;
pub mod trap;

pub use abi;
pub use abi::kern_return::KernReturn;
pub use abi::transport::{Caller, Error, Refused, Result};
pub use context::Context;
pub use interfaces;
pub use macros::main;
pub use memory::Memory;
pub use packet::Mach;
pub use rights::{DeadName, PortSet, ReceiveRight, SendOnce, SendRight, SendRights, Untyped};
pub use server::{Reply, Runtime, Service};
pub use time::ms;

/// Drops a result on purpose; the caller says beside it why.
pub(crate) fn ignore<T>(_: T) {}
