//! The boot stub's logic: from what QEMU or GRUB hands over to page tables, a loaded kernel and the answers of the
//! Limine boot protocol, base revision 3.
//!
//! Everything here is pure: memory comes in through [`Physical`], so all of it runs on the host, malformed input
//! included. The binary beside it enters long mode, calls [`parse`](pvh::parse) and [`prepare`], and jumps.
//!
//! The layout that the kernel is given: all of memory, and at least the first 4 GiB, writable and not executable at
//! [`DIRECT_MAP`]; the kernel at its linked addresses with its segments' permissions; in the lower half one
//! executable page of the stub, which did the jump and may be dropped.
//!
//! Deliberately absent: relocation and randomisation, devices, interrupts, other CPUs, any choice by the user.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod archive;
pub mod error;
pub mod info;
pub mod kernel;
pub mod memory_map;
pub mod multiboot2;
pub mod paging;
pub mod physical;
pub mod prepare;
pub mod pvh;
pub mod requests;
pub mod responses;

pub use error::Error;
pub use physical::Physical;
pub use prepare::{Handoff, Machine, prepare};

/// Where the kernel finds physical address 0.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
