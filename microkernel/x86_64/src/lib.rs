//! The pure half of the machine: everything about x86_64 hardware that is arithmetic on memory contents.
//!
//! The binary beside it (`main.rs`) is the half that executes privileged instructions. What lies here
//! runs on the host as well, over simulated physical memory: page tables, frames, the memory map, ACPI
//! tables, clocks, interrupt lines, and the finding of return addresses on a stack.
//!
//! Deliberately absent: any access to a real machine, and any state that is not in a value.
#![no_std]
#![forbid(unsafe_code)]

pub mod acpi;
pub mod backtrace;
pub mod blocks;
pub mod chain;
pub mod clock;
pub mod command_line;
pub mod contexts;
pub mod frames;
pub mod layout;
pub mod lines;
pub mod memory_map;
pub mod physical;
pub mod quarantine;
pub mod tables;

#[cfg(test)]
extern crate std;
