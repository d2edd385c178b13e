//! What the operations of PERFORMANCE.md cost, measured from ring 3.
//!
//! The unit is what `rdtsc` counts: one executed guest instruction, when the emulator runs with
//! `-icount shift=0,sleep=off`; else a row says `ticks`, which under an emulator mean nothing. A sample is one operation, from before the client's stub to after
//! it, less what an empty pair of `rdtsc` costs ([`time`]). The stubs are inlined, a message in
//! the buffer is filled in before the first `rdtsc`, nobody sets a deadline, the server does a real
//! receive and reply, and every answer is checked behind the second `rdtsc`.
//!
//! [`measure`] holds one file per family of operations, [`peer`] makes the second task, [`server`]
//! is what runs in it, [`samples`] turns samples into a row, [`output`] prints it. Unsafe code lies
//! in [`time`] and [`raw`] alone.
//!
//! Deliberately absent: wall-clock time, and averages, which one timer interrupt would change.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod failure;
pub mod measure;
pub mod output;
pub mod peer;
pub mod raw;
pub mod samples;
pub mod server;
mod switch;
pub mod time;

pub use failure::{Failure, Result, ensure};
pub use output::Output;
pub use switch::Switch;
