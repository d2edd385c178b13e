//! The server runtime: any number of ports on one set, handlers that may wait, one thread.
//!
//! [`Runtime`] is the loop; [`lock`](Locked) lets handlers with `&self` overlap and gives one with
//! `&mut self` the state alone; [`Reply`] is an answer for later; [`Concurrent`] calls other
//! servers while the loop goes on; [`Inbox`] is a port whose messages a task reads itself
//! (notifications, timers, interrupts, exceptions).
//!
//! The way of an ordinary request: receive → label → object → handler, polled once → answer and
//! next receive in one trap. It allocates nothing; a handler that waits moves to the task list.

mod answer;
mod concurrent;
mod direct;
mod inbox;
mod lock;
mod object;
mod reply;
mod request;
mod runtime;
mod service;
mod tasks;

pub(crate) use answer::ReplyTo;
pub use concurrent::{Call, Concurrent};
pub use inbox::{Inbox, Message, discard};
pub use lock::Locked;
pub use reply::Reply;
pub use runtime::Runtime;
pub use service::Service;
