//! Attacks: a task tries to reach what it was not given, or to keep others from theirs. Each test is one attack; it says
//! which errors the attacker gets, and a victim that knows nothing of it must come to no harm ([`scene`]).
//!
//! The traps of random attackers beside the same kind of witness are `tests/fuzz_traps.rs`; here each attack is aimed.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod bombs;
mod memory;
mod messages;
mod names;
mod power;
mod scene;
