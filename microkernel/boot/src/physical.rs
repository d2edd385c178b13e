//! Physical memory as the stub's logic sees it, and checked reads of the fields of a structure in it.
//!
//! The binary implements [`Physical`] over its identity map; on the host it is [`Flat`]. An implementation refuses what it
//! cannot reach; the logic turns the refusal into an error.

use core::ops::Range;

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

/// Physical memory on the host: bytes from an address on, and nothing else.
#[derive(Debug)]
pub struct Flat<B> {
    /// The first byte's address.
    pub start: u64,
    /// The bytes.
    pub bytes: B,
}

impl<B: AsRef<[u8]>> Flat<B> {
    fn range(&self, at: u64, length: u64) -> Option<Range<usize>> {
        let start = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.bytes.as_ref().len()).then_some(start..end)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Physical for Flat<B> {
    fn bytes(&self, at: u64, length: u64) -> Option<&[u8]> {
        self.bytes.as_ref().get(self.range(at, length)?)
    }

    fn bytes_mut(&mut self, at: u64, length: u64) -> Option<&mut [u8]> {
        let range = self.range(at, length)?;
        self.bytes.as_mut().get_mut(range)
    }

    fn copy(&mut self, from: u64, to: u64, length: u64) -> Option<()> {
        let (from, to) = (self.range(from, length)?, self.range(to, length)?);
        debug_assert!(
            from.end <= to.start || to.end <= from.start,
            "ranges overlap"
        );
        self.bytes.as_mut().copy_within(from, to.start);
        Some(())
    }
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
