//! What a program needs before and behind `main` on the machine: entry, heap, panic.

mod heap;
mod panic;
pub(crate) mod spawn;
pub mod start;
