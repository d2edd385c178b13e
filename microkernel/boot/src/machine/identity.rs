//! Physical memory through the identity map of the first 4 GiB that the entry code made.

use core::{ptr, slice};

use boot::Physical;
use boot::memory_map::REACH;

/// The memory below 4 GiB, but the stub's own and the byte at 0. (QEMU puts its memory map into the first page.)
///
/// There is one value of this type; whoever borrows it, borrows all that memory.
pub(super) struct Identity {
    stub: (u64, u64),
}

impl Identity {
    /// The stub lies at `stub`: its first byte and the one after its last.
    pub(super) const fn new(stub: (u64, u64)) -> Self {
        Self { stub }
    }

    /// The address of `length` bytes at `at`, if they are reached and not the stub's.
    fn check(&self, at: u64, length: u64) -> Option<(usize, usize)> {
        let end = at.checked_add(length)?;
        let apart = end <= self.stub.0 || at >= self.stub.1;
        if at == 0 || end > REACH || !apart {
            return None;
        }
        Some((usize::try_from(at).ok()?, usize::try_from(length).ok()?))
    }
}

impl Physical for Identity {
    fn bytes(&self, at: u64, length: u64) -> Option<&[u8]> {
        let (at, length) = self.check(at, length)?;
        // SAFETY: 1. `check`: the range is mapped, not null, and holds none of the stub's own objects. 2. Any bytes are
        // valid. 3. Writes to it go through this value, which the result borrows; no device writes, since none was
        // started, and no other processor runs.
        Some(unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(at), length) })
    }

    fn bytes_mut(&mut self, at: u64, length: u64) -> Option<&mut [u8]> {
        let (at, length) = self.check(at, length)?;
        // SAFETY: as in `bytes`; the result borrows this value alone.
        Some(unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(at), length) })
    }

    fn copy(&mut self, from: u64, to: u64, length: u64) -> Option<()> {
        let (from, length) = self.check(from, length)?;
        let (to, _) = self.check(to, length as u64)?;
        if from < to + length && to < from + length {
            return None;
        }
        let from: *const u8 = ptr::with_exposed_provenance(from);
        // SAFETY: both ranges as in `bytes`; they do not overlap; nobody holds a slice of either, since this value is
        // borrowed alone.
        unsafe { ptr::copy_nonoverlapping(from, ptr::with_exposed_provenance_mut(to), length) };
        Some(())
    }
}
