//! Very many of everything: threads that wait, ports, tasks, nested rights, forks; and nothing left behind.
//!
//! A [story](stories) makes thousands of objects that all live at once, checks that they are there, ends them, and
//! compares every count of the kernel and this task's ledger with what they were before ([`Census`]). Nothing else may
//! run meanwhile that makes or ends objects, so the program is its system's first and only task.
//!
//! What a table or arena took once it keeps for the next objects: that is no leak, and [`warm_up`] has this task's
//! own tables grow before anything is counted.
//!
//! Unsafe code lies in `raw` alone. Deliberately absent: time. A story waits for what must happen, by yielding.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod census;
mod failure;
mod order;
mod output;
mod raw;
pub mod stories;

pub use census::Census;
pub use failure::{Failure, Result, ensure};
pub use order::Order;
pub use output::Output;
pub use stories::{Scene, Story, warm_up};
