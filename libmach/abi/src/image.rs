//! The flattened form of the first task: page-aligned segments that ring 0 maps without parsing ELF.
//!
//! `xtask` makes it from `bootstrap`'s ELF file. The header fills the first page of the image.

/// `MELLOIMG` in ASCII, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"MELLOIMG");

/// The most segments an image has.
pub const MAX_SEGMENTS: usize = 8;

/// One mapping of the image. All values are multiples of the page size but `file_size`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Segment {
    /// Where the segment begins in the task's address space.
    pub address: u64,
    /// Bytes that it covers; what the image does not hold is zero.
    pub memory_size: u64,
    /// Where its content begins in the image, in bytes.
    pub file_offset: u64,
    /// Bytes of content.
    pub file_size: u64,
    /// [`protection`](crate::vm::protection) bits, never writable and executable.
    pub protection: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

/// What an image begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI_VERSION`](crate::ABI_VERSION).
    pub version: u32,
    /// How many of the segments count.
    pub segment_count: u32,
    /// Where the first thread begins.
    pub entry: u64,
    /// The segments, in ascending order of address, not overlapping.
    pub segments: [Segment; MAX_SEGMENTS],
}

const _: () = assert!(size_of::<Segment>() == 40);
const _: () = assert!(size_of::<Header>() == 24 + 40 * MAX_SEGMENTS);
