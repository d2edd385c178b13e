//! What ring 0 shares between CPUs: the [`Lock`] around the kernel, the [`Rendezvous`] by which one
//! CPU waits until others have done something, and what is [`Unfinished`] of that kind.
//!
//! Invariants: one CPU at a time holds a lock; which of those that wait is next is not promised. Neither type disables interrupts: ring 0 runs with interrupts off, its idle loop
//! holds no lock, and handlers that may interrupt anything (NMI) take none.
//!
//! Deliberately absent: sleeping, poisoning (a panic in ring 0 ends the run), reader-writer locks.
//!
//! Under `--cfg loom` the atomics are loom's, and `tests/loom.rs` explores all interleavings.
#![cfg_attr(not(loom), no_std)]
#![deny(clippy::multiple_unsafe_ops_per_block)]

mod atomic;
mod lock;
mod rendezvous;
mod unfinished;

pub use lock::{Guard, Lock};
pub use rendezvous::{Member, Rendezvous};
pub use unfinished::{Changes, Noted, Unfinished};
