//! The boot stub's logic: from what QEMU or GRUB hands over to page tables, a loaded kernel and the answers of the
//! Limine boot protocol, base revision 3.
//!
//! Everything here is pure: memory comes in through [`Physical`], so all of it runs on the host, malformed input
//! included. The binary beside it enters long mode, calls [`parse`](pvh::parse) and [`prepare`](mod@prepare), and jumps.
//!
//! The stub offers what the protocol promises and no more, so that a kernel that it boots relies on nothing else. The
//! layout that the kernel is given: what is usable, the loader's, or the kernel's and its modules', writable and not
//! executable in the direct map, page by page, and neither firmware's tables nor devices; the kernel at its linked
//! addresses with its segments' permissions; in the lower half one executable page of the stub, which did the jump and
//! may be dropped. What the protocol leaves undefined holds junk where that is cheap; see [`choices`].
//!
//! Deliberately absent: relocation and randomisation, devices, interrupts, other CPUs, any choice by the user but the tests' one.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod archive;
pub mod choices;
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

pub use choices::Choices;
pub use error::Error;
pub use physical::{Flat, Physical};
pub use prepare::{Handoff, Machine, prepare};
