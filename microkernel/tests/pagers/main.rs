//! Memory objects whose pages a task supplies: the protocol, step by step, and pagers that lie, stall and die.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod copies;
mod deaths;
mod faults;
mod fixture;
mod lies;
mod objects;
mod orders;
mod others;
mod proxies;
mod races;
mod sends;
mod store;
mod sync;
mod wiring;
