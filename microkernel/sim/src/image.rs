//! The flattened first task, as `xtask` would make it.

use abi::image::{Header, MAGIC, MAX_SEGMENTS, Segment};
use abi::vm::protection;
use abi::{ABI_VERSION, PAGE_SIZE};

/// Where the first task's code lies. It is never executed: tests act as the thread.
pub const CODE: u64 = 0x40_0000;
/// Where its writable memory begins.
pub const DATA: u64 = 0x50_0000;
/// Pages of writable memory.
pub const DATA_PAGES: u64 = 64;
/// What the first page of writable memory holds at first, repeated; the others are zero.
pub const PATTERN: [u8; 8] = *b"mellodat";

/// An image with one page of code, and [`DATA_PAGES`] of data of which the image holds the first.
pub fn standard() -> Vec<u8> {
    let segment = |address, pages: u64, file_page: u64, protection| Segment {
        address,
        memory_size: pages * PAGE_SIZE,
        file_offset: file_page * PAGE_SIZE,
        file_size: PAGE_SIZE,
        protection,
        reserved: 0,
    };
    let mut segments = [Segment::default(); MAX_SEGMENTS];
    segments[0] = segment(CODE, 1, 1, protection::READ | protection::EXECUTE);
    segments[1] = segment(DATA, DATA_PAGES, 2, protection::READ | protection::WRITE);
    let header = Header {
        magic: MAGIC,
        version: ABI_VERSION,
        segment_count: 2,
        entry: CODE,
        segments,
    };
    let mut bytes = encode(&header);
    bytes.resize(2 * PAGE_SIZE as usize, 0x90);
    bytes.extend(PATTERN.iter().cycle().take(PAGE_SIZE as usize));
    bytes
}

/// A header as it lies in an image.
pub fn encode(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(header.magic.to_le_bytes());
    bytes.extend(header.version.to_le_bytes());
    bytes.extend(header.segment_count.to_le_bytes());
    bytes.extend(header.entry.to_le_bytes());
    for segment in &header.segments {
        for value in [
            segment.address,
            segment.memory_size,
            segment.file_offset,
            segment.file_size,
        ] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(segment.protection.to_le_bytes());
        bytes.extend(segment.reserved.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{DATA, encode, standard};
    use abi::image::Header;

    #[test]
    fn the_encoding_has_the_layout_of_the_abi() {
        assert_eq!(encode(&Header::default()).len(), size_of::<Header>());
        let image = standard();
        assert_eq!(image.len(), 3 * 4096);
        let second = std::mem::offset_of!(Header, segments) + size_of::<abi::image::Segment>();
        assert_eq!(image[second..second + 8], DATA.to_le_bytes());
    }
}
