//! From the loader's 32-bit entry to [`main`](super::main) in long mode.
//!
//! The code makes an identity map of the first 4 GiB from 2 MiB pages, turns long mode on and takes the stub's own
//! stack. It relies on what PVH and Multiboot2 both promise: protected mode with flat segments, paging and interrupts
//! off. A processor without long mode gets its message here, since Rust code cannot run on it.

use core::arch::global_asm;
use core::fmt;

/// How the stub was entered; the values are those of the entry code.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Protocol {
    /// By PVH.
    Pvh = 1,
    /// By Multiboot2.
    Multiboot2 = 2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pvh => "PVH",
            Self::Multiboot2 => "Multiboot2",
        })
    }
}

unsafe extern "C" {
    static stub_start: u8;
    static stub_end: u8;
    static jump_page: u8;
}

/// The stub's first byte and the one after its last; and the page of the jump's code.
pub(super) fn layout() -> ((u64, u64), u64) {
    let address = |symbol: *const u8| symbol.expose_provenance() as u64;
    (
        (address(&raw const stub_start), address(&raw const stub_end)),
        address(&raw const jump_page),
    )
}

/// Where the entry code goes on in long mode. `protocol` is 1 or 2, nothing else.
extern "C" fn enter_rust(protocol: u32, info: u32) -> ! {
    let protocol = if protocol == Protocol::Pvh as u32 {
        Protocol::Pvh
    } else {
        Protocol::Multiboot2
    };
    super::main(protocol, info)
}

global_asm!(include_str!("entry.s"), enter_rust = sym enter_rust);
