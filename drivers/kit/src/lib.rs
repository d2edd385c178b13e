//! What a driver is written with: registers, interrupts, the loop.
//!
//! A driver is a task that holds an I/O-port range and an interrupt as rights and serves an
//! interface. [`Driver`] finds the rights by the names of its manifest and runs the loop;
//! [`Register`] gives a device's registers their types over any [`Ports`]; [`attend`] brings
//! interrupts to the device's state.
//!
//! Invariant: device logic sees [`Ports`] and [`InterruptSource`] only, so that it runs against the
//! fakes of [`fake`] under `cargo test`.
//!
//! Deliberately absent so far: memory-mapped registers, DMA memory, matching.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

mod driver;
#[cfg(not(target_os = "none"))]
pub mod fake;
mod interrupt;
mod registers;

pub use driver::Driver;
pub use interrupt::{Interrupt, InterruptSource, attend};
pub use registers::{
    CanRead, CanWrite, IoPorts, Ports, ReadOnly, ReadWrite, Register, Value, Width, WriteOnly,
};
