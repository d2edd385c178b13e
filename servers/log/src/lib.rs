//! The log: what the kernel and every server say, kept in a ring and given to whoever asks.
//!
//! [`ring`] keeps records, [`kernel`] turns the kernel's text into some, [`screen`] shows the important
//! ones on the console, and [`server`] puts them together. What cannot be kept or shown is counted
//! and said, never waited for: no writer is held up by the log.
//!
//! Deliberately absent: files, filters by writer, levels of the kernel's lines (all are information).
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod kernel;
pub mod ring;
pub mod screen;
pub mod server;
