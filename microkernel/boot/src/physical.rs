//! Physical memory as the stub's logic sees it, and checked reads of the fields of a structure in it.
//!
//! The binary implements [`Physical`] over its identity map, the tests over a vector. An implementation refuses
//! what it cannot reach; the logic turns the refusal into an error.

/// Physical memory, by address.
pub trait Physical {
    /// The `length` bytes at `at`, or nothing when they cannot all be reached.
    fn bytes(&self, at: u64, length: u64) -> Option<&[u8]>;

    /// The same, to be written.
    fn bytes_mut(&mut self, at: u64, length: u64) -> Option<&mut [u8]>;

    /// Copies `length` bytes between two ranges that do not overlap; nothing is copied when one cannot be reached.
    #[must_use]
    fn copy(&mut self, from: u64, to: u64, length: u64) -> Option<()>;
}

/// The little-endian fields of a structure, by byte offset.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The four bytes at `offset`, if the structure has them.
    #[must_use]
    pub fn u32(self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    /// The eight bytes at `offset`, if the structure has them.
    #[must_use]
    pub fn u64(self, offset: usize) -> Option<u64> {
        self.array(offset).map(u64::from_le_bytes)
    }

    /// `length` bytes at `offset`, if the structure has them.
    #[must_use]
    pub fn slice(self, offset: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(offset..)?.get(..length)
    }

    fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.slice(offset, N)?.try_into().ok()
    }
}
