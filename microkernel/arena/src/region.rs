//! [`Region`]: addresses that become memory as they are needed.

use core::ptr::NonNull;

/// Growth happens in steps of this many bytes.
pub(crate) const PAGE: usize = 4096;

/// Puts zeroed memory behind `bytes` addresses from a pointer on; both are multiples of 4 KiB.
/// `false`: there is no memory, and nothing changed.
pub type Commit = fn(NonNull<u8>, usize) -> bool;

/// A reserved range of addresses, of which a growing front part is memory.
pub struct Region {
    base: NonNull<u8>,
    reserved: usize,
    committed: usize,
    commit: Commit,
}

impl Region {
    /// A region of `reserved` bytes at `base`, none of them committed.
    ///
    /// # Safety
    /// 1. `base` is aligned to 4 KiB, and `reserved` bytes from it belong to nobody else for as long
    ///    as the region or an arena in it lives.
    /// 2. After `commit(address, bytes)` returned `true`, those bytes read as zero and may be
    ///    written. It may be called from any thread.
    pub unsafe fn new(base: NonNull<u8>, reserved: usize, commit: Commit) -> Self {
        Self {
            base,
            reserved: reserved - reserved % PAGE,
            committed: 0,
            commit,
        }
    }

    /// A region on the heap, for tests and the simulated machine. It is never given back.
    pub fn on_heap(reserved: usize) -> Self {
        let reserved = reserved.next_multiple_of(PAGE).max(PAGE);
        let Ok(layout) = core::alloc::Layout::from_size_align(reserved, PAGE) else {
            return Self::empty();
        };
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc::alloc::alloc(layout) };
        match NonNull::new(base) {
            // SAFETY: (1) the allocation is fresh, aligned and leaked. (2) `zero` zeroes what it is
            // given; it touches nothing else.
            Some(base) => unsafe { Self::new(base, reserved, zero) },
            None => Self::empty(),
        }
    }

    fn empty() -> Self {
        Self {
            base: NonNull::dangling(),
            reserved: 0,
            committed: 0,
            commit: |_, _| false,
        }
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    pub(crate) fn committed(&self) -> usize {
        self.committed
    }

    /// Commits at least the first `bytes`; returns how many are committed then.
    pub(crate) fn commit_to(&mut self, bytes: usize) -> Option<usize> {
        let target = bytes.next_multiple_of(PAGE);
        if target > self.reserved {
            return None;
        }
        if target > self.committed {
            // SAFETY: `committed < target <= reserved`, so the sum stays inside the range.
            let from = unsafe { self.base.add(self.committed) };
            if !(self.commit)(from, target - self.committed) {
                return None;
            }
            self.committed = target;
        }
        Some(self.committed)
    }
}

/// Commits memory of [`Region::on_heap`]. Zeroing here and not when the region is made keeps a large
/// region that is never filled from taking any of the host's memory.
fn zero(from: NonNull<u8>, bytes: usize) -> bool {
    // SAFETY: only `commit_to` calls it, with a part of the region's own allocation.
    unsafe { from.write_bytes(0, bytes) };
    true
}
