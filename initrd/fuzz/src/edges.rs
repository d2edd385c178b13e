//! Values at the edges of what a kernel may believe, and the addresses that a task has itself.

use abi::PAGE_SIZE;
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS};

use crate::rng::Rng;

/// Where things lie in the task that fuzzes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terrain {
    /// Its message buffer.
    pub buffer: u64,
    /// Somewhere in its stack, or memory that stands for it.
    pub stack: u64,
    /// Somewhere in its code.
    pub code: u64,
    /// Memory that it can only read.
    pub read_only: u64,
    /// Memory that is nowhere mapped.
    pub unmapped: u64,
}

impl Terrain {
    /// One of the places.
    pub(crate) fn any(&self, rng: &mut Rng) -> u64 {
        rng.pick(&[
            self.buffer,
            self.stack,
            self.code,
            self.read_only,
            self.unmapped,
        ])
    }
}

/// Where user addresses end, and the canonical ones of the lower half.
const HALF: u64 = 1 << 47;

/// What every argument may be, whatever it means.
const WORDS: [u64; 24] = [
    0,
    1,
    u64::MAX,
    u64::MAX - 1,
    PAGE_SIZE - 1,
    PAGE_SIZE,
    PAGE_SIZE + 1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    HALF - 1,
    HALF,
    HALF + 1,
    MAX_ADDRESS - PAGE_SIZE,
    MAX_ADDRESS - 1,
    MAX_ADDRESS,
    MIN_ADDRESS,
    // The kernel's half: its direct map, its arenas, its image, and the last page of all.
    0xffff_8000_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_f000,
    // Not canonical.
    0x8000_0000_0000,
    0x8000_0000_0000_0000,
    0x7fff_ffff_ffff_ffff,
];

/// A value at an edge.
pub(crate) fn word(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => rng.word(),
        1 => 1_u64 << rng.below(64),
        2 => (1_u64 << rng.below(64)).wrapping_sub(1),
        _ => rng.pick(&WORDS),
    }
}

/// A size in bytes.
pub(crate) fn size(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => word(rng),
        1 => rng.below(3 * PAGE_SIZE as usize) as u64,
        2 => PAGE_SIZE * (1 + rng.below(600) as u64),
        _ => PAGE_SIZE * (1 + rng.below(8) as u64),
    }
}

/// A deadline that is soon or past: `now` is the last time that was heard of.
pub(crate) fn soon(now: u64, rng: &mut Rng) -> u64 {
    match rng.below(4) {
        0 => 0,
        1 => rng.below(100) as u64,
        2 => now,
        _ => now.saturating_add(rng.below(200_000) as u64),
    }
}
