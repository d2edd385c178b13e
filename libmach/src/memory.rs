//! Memory that came out of line, or that the task allocated: owned, whole pages, unmapped on drop.

use core::fmt;
use core::ops::{Deref, DerefMut};

use abi::PAGE_SIZE;
use abi::transport::Result;

use crate::{ignore, trap};

/// A region of this task's address space that nobody else uses.
pub struct Memory {
    address: u64,
    size: usize,
}

impl Memory {
    /// Fresh zeroed memory of `size` bytes, rounded up to pages when it is unmapped.
    ///
    /// # Errors
    /// When the task has no room or no pages left.
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 {
            return Ok(Self { address: 0, size });
        }
        // SAFETY: anywhere: the kernel picks a range that is not in use.
        let address = unsafe { trap::vm_allocate(0, size as u64, abi::vm::flags::ANYWHERE)? };
        Ok(Self { address, size })
    }

    /// Takes ownership of `size` bytes at `address`.
    ///
    /// # Safety
    /// The pages that hold the range are mapped for reading and writing, are not shared with
    /// another task, and nothing else in this one uses or unmaps them.
    pub(crate) const unsafe fn from_raw(address: u64, size: usize) -> Self {
        Self { address, size }
    }

    /// Gives ownership up: address and size.
    pub(crate) const fn into_raw(self) -> (u64, usize) {
        let raw = (self.address, self.size);
        core::mem::forget(self);
        raw
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: the range belongs to this value, is mapped, and any byte is a `u8`.
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.size) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.size == 0 {
            return &mut [];
        }
        // SAFETY: as for `deref`, and `&mut self` is the only way to it.
        unsafe { core::slice::from_raw_parts_mut(self.address as *mut u8, self.size) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.size > 0 {
            let start = self.address / PAGE_SIZE * PAGE_SIZE;
            let end = (self.address + self.size as u64).next_multiple_of(PAGE_SIZE);
            // SAFETY: the pages belong to this value (`from_raw`), which ends here. It fails only
            // when they are not mapped, which is what was wanted.
            ignore(unsafe { trap::vm_deallocate(start, end - start) });
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:#x}, {} bytes)", self.address, self.size)
    }
}
