//! The 16550 UART: a terminal line on a serial port.
//!
//! `uart` is the device behind its registers, [`Line`] what becomes of the bytes, [`Server`] the
//! interface on it; [`Assignment`] says which service is on which port. Facts are from the data
//! sheet "PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs", National Semiconductor,
//! June 1995; its tables and sections are named where they are used.
//!
//! Invariants: a byte of a write has left for the device before the write is answered; a byte that
//! was read from the device is in the input queue until a reader gets it; when that queue is full the
//! device is left alone, so that the sender is held back by it.
//!
//! Deliberately absent: baud rates other than 115200, modem control beyond RTS and DTR, any
//! interpretation of the bytes.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod assignment;
#[cfg(not(target_os = "none"))]
pub mod fake;
mod line;
mod registers;
mod server;
mod uart;

pub use assignment::Assignment;
pub use line::{Answer, Counters, INPUT_CAPACITY, Line, MAX_WRITERS};
pub use server::{Server, Shared};
