//! Hostile traps and messages from a seed: what the trap fuzzer does, whoever does it.
//!
//! A [`Generator`] makes [`Step`]s: the registers of one trap, and what lies in the message buffer for
//! it. Who executes them tells it what came back ([`Generator::learn`]), so that later steps name rights
//! and memory that exist, existed, or never did. The guest program `fuzz` executes them on the machine;
//! the kernel's tests do on the simulated one.
//!
//! Invariants: the steps depend on the seed and the answers alone; nothing here allocates, traps or
//! touches the memory that a step is about.
//!
//! Deliberately absent: what is right. A step may do anything that a task may; the oracles are the kernel's
//! own checks, the census at the end, and a witness that must not notice.
#![no_std]
#![forbid(unsafe_code)]

mod edges;
mod generator;
mod message;
mod object;
mod pool;
mod rng;
mod server;
mod step;
mod traps;

pub use edges::Terrain;
pub use generator::{Care, Generator};
pub use pool::Pool;
pub use rng::Rng;
pub use step::{Answer, BODY_SIZE, Body, Registers, Step};
pub use traps::{Argument, TRAPS};
