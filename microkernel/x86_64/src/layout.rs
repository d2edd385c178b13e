//! Where things lie in the upper half of every address space.
//!
//! | from | what |
//! |---|---|
//! | `0xffff_8000_0000_0000` | [`DIRECT`]: all of RAM, not executable |
//! | `0xffff_c000_0000_0000` | [`ARENAS`]: ranges for the kernel's arenas |
//! | `0xffff_d000_0000_0000` | [`DEVICES`]: registers of APICs and HPET, uncached |
//! | `0xffff_d080_0000_0000` | [`STACKS`]: the CPUs' kernel stacks, each above an empty page |
//! | `0xffff_e000_0000_0000` | [`THREADS`]: the threads' frames, indexed by thread |
//! | `0xffff_ffff_8000_0000` | [`IMAGE`]: the kernel |

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Bytes in a large page.
pub const LARGE_PAGE: u64 = 2 << 20;
/// Where physical address 0 is mapped.
pub const DIRECT: u64 = 0xffff_8000_0000_0000;
/// The most physical memory that is used, in bytes: pages are numbered with 32 bits.
pub const DIRECT_SIZE: u64 = 16 << 40;
/// Where arenas lie.
pub const ARENAS: u64 = 0xffff_c000_0000_0000;
/// Bytes for all arenas: one top-level entry.
pub const ARENAS_SIZE: u64 = 512 << 30;
/// Where device registers lie.
pub const DEVICES: u64 = 0xffff_d000_0000_0000;
/// Where kernel stacks lie.
pub const STACKS: u64 = 0xffff_d080_0000_0000;
/// Where thread frames lie.
pub const THREADS: u64 = 0xffff_e000_0000_0000;
/// Bytes for each thread's frame.
pub const THREAD_SIZE: u64 = 256;
/// The most threads that ever have a frame. The range behind [`THREADS`] is as large as an index of 32
/// bits can reach, so that no index leaves it; only its front part can become memory.
pub const MAX_THREADS: u32 = 1 << 31;
/// Where the kernel is linked.
pub const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// The top-level entries that the kernel uses beside those of the direct map and its image.
///
/// They are filled at boot, so that every address space shares them for ever.
pub const SHARED_ENTRIES: [u64; 4] = [ARENAS, DEVICES, STACKS, THREADS];
