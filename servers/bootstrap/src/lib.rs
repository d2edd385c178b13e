//! The first task: name service, launcher, supervisor.
//!
//! | module | purpose |
//! |---|---|
//! | [`elf`], [`start_page`] | what a program is made from; pure |
//! | [`life`] | the state machine of one server; pure |
//! | [`registry`], [`programs`] | service ports; tasks that somebody waits for |
//! | [`launch`], [`kernel`], [`report`] | making a task, and what it tells when it dies |
//! | [`hub`] | all of them together: each event, and what it leads to |
//! | [`serve`] | the interfaces `bootstrap` and `supervisor`, and the ports that events come through |
//!
//! Invariants: no event waits for a server, only for the kernel; a death waits a bounded time for its report. A task gets the rights that its
//! manifest names, `bootstrap`, and nothing else.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod elf;
pub mod hub;
pub mod kernel;
pub mod launch;
pub mod life;
pub mod programs;
pub mod registry;
pub mod report;
pub mod serve;
pub mod start_page;
