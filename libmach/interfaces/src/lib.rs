//! To be written.
#![no_std]
/// x
pub const TASK_TERMINATE: i32 = 3400;
