//! [`Region`]: addresses that become memory as they are needed.

use alloc::vec::Vec;
use core::mem::MaybeUninit;
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
    /// What [`Region::on_heap`] took of the heap.
    #[expect(dead_code, reason = "it is only given back in the end")]
    owned: Vec<HeapPage>,
}

/// Memory of the heap that has been written or not.
#[repr(align(4096))]
struct HeapPage(#[expect(dead_code, reason = "only its place matters")] [MaybeUninit<u8>; PAGE]);

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
            owned: Vec::new(),
        }
    }

    /// A region on the heap, for tests and the simulated machine.
    pub fn on_heap(reserved: usize) -> Self {
        let pages = reserved.div_ceil(PAGE).max(1);
        let mut owned = Vec::new();
        if owned.try_reserve_exact(pages).is_err() {
            return Self::empty();
        }
        let base = NonNull::from(owned.spare_capacity_mut()).cast();
        // SAFETY: (1) the pages are aligned, and stay the region's own where they are. (2) `zero` zeroes what it is
        // given; it touches nothing else.
        let region = unsafe { Self::new(base, pages * PAGE, zero) };
        Self { owned, ..region }
    }

    fn empty() -> Self {
        Self {
            base: NonNull::dangling(),
            reserved: 0,
            committed: 0,
            commit: |_, _| false,
            owned: Vec::new(),
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
