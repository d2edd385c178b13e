//! What every layer of the kernel uses and none of them owns.

pub mod counters;
pub mod error;
pub mod ledger;
pub mod trace;

pub use error::{KernResult, Shortage};
