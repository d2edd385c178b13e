//! What every layer of the kernel uses and none of them owns.

pub mod counters;
pub mod error;
pub mod ids;
pub mod ledger;
pub mod log;
pub mod trace;
pub mod tree;
pub mod usage;

pub use error::{KernResult, Shortage};
