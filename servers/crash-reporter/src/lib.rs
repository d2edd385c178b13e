//! Reports about tasks that raised an exception which nobody handled: what happened, where, and what the task held.
//!
//! The supervisor hands over the control port of the stopped task, waits for a while, and ends the task in any case:
//! a task's death never depends on this server.
//!
//! | module | purpose |
//! |---|---|
//! | [`subject`] | what a report needs of a task; the kernel's tasks are such |
//! | [`walk`] | who called whom, from the words on the stack; pure |
//! | [`symbols`] | names of functions, out of the archive |
//! | [`text`], [`events`] | a report in words |
//! | [`shelf`] | the reports that are kept |
//! | [`server`] | the interface |
//!
//! Invariants: each part of a report is bounded, and so are the reports that are kept; their memory is taken at the
//! start. What a task cannot tell any more is missing from its report; a report is made nevertheless.
//!
//! Deliberately absent: ending, resuming or changing a task; source lines; frames of inlined functions.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod events;
pub mod server;
pub mod shelf;
pub mod subject;
pub mod symbols;
pub mod text;
pub mod walk;
