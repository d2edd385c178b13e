//! The console program: a prompt on the terminal, and commands for `cargo xtask run -- CMD`.
//!
//! A [`Session`] is a place where commands come from and their text goes: the terminal ([`terminal`],
//! with the line editor of [`editor`]) or the host's command channel ([`remote`]). A [`Shell`] runs a
//! command, given as words, for a session; each command is a file of `commands`. Programs of the
//! archive are started by the supervisor, with a console that the monitor stands for ([`Attached`]).
//!
//! All of it is one task with one loop: whatever waits lets the rest go on, and dropping a command's
//! future ends it, which is what Ctrl-C does.
//!
//! Deliberately absent: pipes, variables, jobs; they are a shell's, not the monitor's.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod attached;
mod commands;
pub mod editor;
mod failure;
mod handover;
mod input;
mod port;
pub mod remote;
mod session;
mod shell;
mod start;
mod table;
pub mod terminal;
pub mod words;

pub use attached::Attached;
pub use failure::{Failure, explain};
pub use input::{Input, Source};
pub use port::Port;
pub use session::{Kind, Session};
pub use shell::{Rights, Shell};
pub use start::start;
