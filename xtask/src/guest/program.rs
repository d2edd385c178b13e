//! ELF files of guest programs: what a loader may be given, and what it does not need.

use crate::fault::{Doing, Fault, Result};
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

/// Bytes of an ELF64 file header.
const HEADER_SIZE: usize = 64;

/// A file that was read as ELF64.
pub(super) type File<'a> = ElfBytes<'a, LittleEndian>;

/// The loadable segments of a static, position-dependent x86-64 program, by ascending address.
pub(super) fn segments(name: &str, file: &File<'_>) -> Result<Vec<ProgramHeader>> {
    let refuse = |what: &str| Err(Fault::new(format!("{name}: {what}")));
    if file.ehdr.e_machine != EM_X86_64 || file.ehdr.e_type != ET_EXEC {
        return refuse("not a position-dependent x86-64 program; link it with -no-pie");
    }
    let Some(headers) = file.segments() else {
        return refuse("no program headers");
    };
    let mut load = Vec::new();
    for header in headers {
        match header.p_type {
            PT_LOAD if header.p_memsz > 0 => load.push(header),
            PT_INTERP | PT_DYNAMIC => return refuse("dynamically linked"),
            PT_TLS => return refuse("thread-local storage of the compiler is not supported"),
            _ => {}
        }
    }
    if load.is_empty() {
        return refuse("nothing to load");
    }
    if load
        .iter()
        .any(|header| header.p_flags & (PF_W | PF_X) == PF_W | PF_X)
    {
        return refuse("a segment is writable and executable");
    }
    load.sort_by_key(|header| header.p_vaddr);
    Ok(load)
}

/// Reads an ELF64 file.
pub(super) fn parse<'a>(name: &str, bytes: &'a [u8]) -> Result<File<'a>> {
    File::minimal_parse(bytes).doing(format_args!("read {name} as ELF"))
}

/// The file without what no loader reads: symbols, debug information and section headers. They lie
/// behind the last loaded byte, so the rest is cut off.
pub(super) fn shed(name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let file = parse(name, bytes)?;
    let headers = u64::from(file.ehdr.e_phentsize) * u64::from(file.ehdr.e_phnum);
    let mut end = (HEADER_SIZE as u64).max(file.ehdr.e_phoff.saturating_add(headers));
    for header in file.segments().into_iter().flatten() {
        end = end.max(header.p_offset.saturating_add(header.p_filesz));
    }
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    let mut kept = bytes
        .get(..end)
        .ok_or_else(|| Fault::new(format!("{name}: a segment lies outside the file")))?
        .to_vec();
    // e_shoff; e_shentsize, e_shnum and e_shstrndx.
    for field in [0x28..0x30, 0x3a..0x40] {
        kept[field].fill(0);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::sample::{Sample, code, data};

    #[test]
    fn shedding_keeps_segments_and_drops_the_rest() {
        let mut bytes = Sample::new(&[code(0x40_0000, b"code"), data(0x40_1000, b"data")]).build();
        let whole = bytes.len();
        // One section header, as a linker puts it behind everything else.
        bytes.resize(whole + 64, 0xdb);
        bytes[0x28..0x30].copy_from_slice(&(whole as u64).to_le_bytes());
        bytes[0x3a..0x3e].copy_from_slice(&[64, 0, 1, 0]);
        let kept = shed("x", &bytes).unwrap();
        assert_eq!(kept.len(), whole);
        let file = parse("x", &kept).unwrap();
        let load = segments("x", &file).unwrap();
        assert_eq!(file.segment_data(&load[1]).unwrap(), b"data");
        assert_eq!(file.ehdr.e_shoff, 0);
    }

    #[test]
    fn what_cannot_be_loaded_is_refused_in_words() {
        let refusal = |sample: Sample| {
            let bytes = sample.build();
            let file = parse("x", &bytes).unwrap();
            segments("x", &file).unwrap_err().to_string()
        };
        let mut both = code(0x40_0000, b"x");
        both.flags |= PF_W;
        assert!(refusal(Sample::new(&[both])).contains("writable and executable"));
        let mut position_independent = Sample::new(&[code(0x40_0000, b"x")]);
        position_independent.kind = elf::abi::ET_DYN;
        assert!(refusal(position_independent).contains("-no-pie"));
        for (kind, word) in [(PT_TLS, "thread-local"), (PT_DYNAMIC, "dynamically")] {
            let mut other = data(0x40_1000, b"y");
            other.kind = kind;
            let sample = Sample::new(&[code(0x40_0000, b"x"), other]);
            assert!(refusal(sample).contains(word));
        }
        assert!(refusal(Sample::new(&[])).contains("nothing to load"));
        assert!(parse("x", b"#!/bin/sh").is_err());
    }

    #[test]
    fn a_truncated_file_is_refused() {
        let bytes = Sample::new(&[code(0x40_0000, b"code")]).build();
        assert!(shed("x", &bytes[..bytes.len() - 1]).is_err());
    }
}
