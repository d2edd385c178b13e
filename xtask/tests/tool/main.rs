//! The tool as a person meets it, tried on small trees of its own.
//!
//! What boots needs the emulator and the guest target, which `cargo xtask test` sets up.

mod boot;
mod terminal;
mod tree;
mod usage;
