//! The first task's program as page-aligned segments (`abi::image`), so that ring 0 parses no ELF.
//!
//! Invariants: segments ascend, share no page, are never writable and executable, and what the file
//! does not hold is zero.

use super::program::{parse, segments};
use crate::fault::{Doing, Fault, Result};
use abi::image::{Header, MAGIC, MAX_SEGMENTS, Segment};
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS, protection};
use abi::{ABI_VERSION, PAGE_SIZE};
use elf::abi::{PF_R, PF_W, PF_X};

/// Flattens the ELF file `bytes`; `name` is for messages.
pub(super) fn flatten(name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let file = parse(name, bytes)?;
    let load = segments(name, &file)?;
    let mut header = Header {
        magic: MAGIC,
        version: ABI_VERSION,
        entry: file.ehdr.e_entry,
        ..Header::default()
    };
    if load.len() > MAX_SEGMENTS {
        return Err(Fault::new(format!(
            "{name}: {} segments, an image has at most {MAX_SEGMENTS}",
            load.len()
        )));
    }
    let mut contents = Vec::new();
    let mut free = MIN_ADDRESS;
    for (slot, piece) in header.segments.iter_mut().zip(&load) {
        let bad = |what: &str| Fault::new(format!("{name}: segment {:#x} {what}", piece.p_vaddr));
        let start = piece.p_vaddr / PAGE_SIZE * PAGE_SIZE;
        let end = piece
            .p_vaddr
            .checked_add(piece.p_memsz)
            .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE))
            .filter(|end| *end <= MAX_ADDRESS)
            .ok_or_else(|| bad("ends outside the address space"))?;
        if start < free {
            return Err(bad("shares a page with another, or lies on page 0"));
        }
        free = end;
        let content = file
            .segment_data(piece)
            .doing(format_args!("read a segment of {name}"))?;
        if content.len() as u64 > piece.p_memsz {
            return Err(bad("holds more than its memory"));
        }
        let lead = usize::try_from(piece.p_vaddr - start).doing("place a segment")?;
        contents.resize(contents.len().next_multiple_of(PAGE_SIZE as usize), 0);
        *slot = Segment {
            address: start,
            memory_size: end - start,
            file_offset: PAGE_SIZE + contents.len() as u64,
            file_size: (lead + content.len()) as u64,
            protection: protection_of(piece.p_flags),
            reserved: 0,
        };
        contents.resize(contents.len() + lead, 0);
        contents.extend_from_slice(content);
        header.segment_count += 1;
    }
    check_entry(name, &header)?;
    let mut image = encode(&header);
    image.resize(PAGE_SIZE as usize, 0);
    image.append(&mut contents);
    image.resize(image.len().next_multiple_of(PAGE_SIZE as usize), 0);
    Ok(image)
}

fn protection_of(flags: u32) -> u32 {
    [
        (PF_R, protection::READ),
        (PF_W, protection::WRITE),
        (PF_X, protection::EXECUTE),
    ]
    .iter()
    .filter(|(flag, _)| flags & flag != 0)
    .fold(protection::NONE, |all, (_, bit)| all | bit)
}

fn check_entry(name: &str, header: &Header) -> Result<()> {
    let inside = header.segments.iter().any(|segment| {
        segment.protection & protection::EXECUTE != 0
            && header.entry >= segment.address
            && header.entry - segment.address < segment.memory_size
    });
    if inside {
        Ok(())
    } else {
        Err(Fault::new(format!(
            "{name}: its entry {:#x} is not in code",
            header.entry
        )))
    }
}

/// The header's bytes, field by field, little-endian, in the order of `abi::image`.
fn encode(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of::<Header>());
    bytes.extend(header.magic.to_le_bytes());
    bytes.extend(header.version.to_le_bytes());
    bytes.extend(header.segment_count.to_le_bytes());
    bytes.extend(header.entry.to_le_bytes());
    for segment in &header.segments {
        bytes.extend(segment.address.to_le_bytes());
        bytes.extend(segment.memory_size.to_le_bytes());
        bytes.extend(segment.file_offset.to_le_bytes());
        bytes.extend(segment.file_size.to_le_bytes());
        bytes.extend(segment.protection.to_le_bytes());
        bytes.extend(segment.reserved.to_le_bytes());
    }
    debug_assert_eq!(bytes.len(), size_of::<Header>());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::sample::{Piece, Sample, code, data};

    fn word(image: &[u8], offset: usize) -> u64 {
        u64::from_le_bytes(image[offset..offset + 8].try_into().unwrap())
    }

    fn refusal(pieces: &[Piece]) -> String {
        flatten("x", &Sample::new(pieces).build())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn segments_become_pages() {
        let mut variables = data(0x40_1010, b"data");
        variables.memory_size = 0x2000;
        let bytes = Sample::new(&[code(0x40_0000, b"code"), variables]).build();
        let image = flatten("x", &bytes).unwrap();
        assert_eq!(word(&image, 0), MAGIC);
        assert_eq!(word(&image, 8), u64::from(ABI_VERSION) | 2 << 32);
        assert_eq!(word(&image, 16), 0x40_0000);
        let first: Vec<u64> = (24..64).step_by(8).map(|at| word(&image, at)).collect();
        assert_eq!(first, [0x40_0000, 0x1000, 0x1000, 4, 5]);
        let second: Vec<u64> = (64..104).step_by(8).map(|at| word(&image, at)).collect();
        assert_eq!(second, [0x40_1000, 0x3000, 0x2000, 0x14, 3]);
        assert_eq!(image.len(), 0x3000);
        assert_eq!(&image[0x1000..0x1005], b"code\0");
        assert_eq!(&image[0x200e..0x2016], b"\0\0data\0\0");
        assert!(image[0x2014..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_file_without_bytes_in_a_segment_is_only_zeros() {
        let mut zeros = data(0x40_1000, b"");
        zeros.memory_size = 10;
        let bytes = Sample::new(&[code(0x40_0000, b"code"), zeros]).build();
        let image = flatten("x", &bytes).unwrap();
        assert_eq!(word(&image, 64 + 24), 0, "no content");
        assert_eq!(word(&image, 64 + 8), 0x1000);
    }

    #[test]
    fn bad_layouts_are_refused() {
        let shared = [code(0x40_0000, b"code"), data(0x40_0800, b"data")];
        assert!(refusal(&shared).contains("shares a page"));
        assert!(refusal(&[code(0, b"code")]).contains("page 0"));
        assert!(refusal(&[code(MAX_ADDRESS - 2, b"code")]).contains("outside"));
        assert!(refusal(&[code(u64::MAX - 2, b"code")]).contains("outside"));
        let many: Vec<Piece> = (1..10).map(|n| code(n * 0x1000, b"c")).collect();
        assert!(refusal(&many).contains("at most 8"));
        assert!(refusal(&[data(0x40_0000, b"data")]).contains("not in code"));
        let mut writable_code = code(0x40_0000, b"code");
        writable_code.flags |= PF_W;
        assert!(refusal(&[writable_code]).contains("writable and executable"));
        let mut too_full = code(0x40_0000, b"code");
        too_full.memory_size = 3;
        assert!(refusal(&[too_full]).contains("more than its memory"));
    }
}
