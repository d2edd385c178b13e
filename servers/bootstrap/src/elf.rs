//! Plans how a program's ELF file becomes memory: allocate, write, protect, start.
//!
//! A static, position-dependent x86-64 program of up to [`MAX_SEGMENTS`] segments, each on pages of
//! its own, none writable and executable. Only the file's first [`HEAD`] bytes are parsed; contents
//! are copied from the file as the plan says. Whatever the bytes are, planning ends with a plan or
//! with a reason, never with a panic.
//!
//! Deliberately absent: relocation, dynamic linking, thread-local storage of the compiler.

use core::fmt;

use abi::vm::{MIN_ADDRESS, protection};
use abi::{PAGE_SIZE, start};
use elf::abi::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::{ProgramHeader, SegmentTable};
use heapless::Vec;
use libmach::abi;

/// The most segments that a program has.
pub const MAX_SEGMENTS: usize = 8;
/// Bytes at a file's start that must hold the file header and all program headers.
pub const HEAD: usize = 4096;
/// Bytes of an ELF64 file header, of the identification at its start, and of a program header.
const FILE_HEADER: usize = 64;
const IDENTIFICATION: usize = 16;
const PROGRAM_HEADER: usize = 56;

/// Below this address a program's segments end: above lie stack and start page.
pub const END: u64 = start::ADDRESS - (1 << 30);

/// One piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it begins, page-aligned.
    pub address: u64,
    /// Its bytes, whole pages; zero where nothing is written.
    pub size: u64,
    /// Where its content goes.
    pub content: u64,
    /// Where its content lies in the file.
    pub file_offset: u64,
    /// Bytes of content.
    pub file_size: u64,
    /// Its protection when all is written.
    pub protection: u32,
}

/// A program's memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Ascending, without common pages.
    pub segments: Vec<Segment, MAX_SEGMENTS>,
    /// The first instruction.
    pub entry: u64,
}

/// Why a file is no program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No ELF64 header of a little-endian machine.
    NotElf,
    /// Another machine, or not position-dependent.
    Kind,
    /// The program headers do not lie in the file's first [`HEAD`] bytes, or have another size.
    Headers,
    /// It needs a dynamic linker.
    Dynamic,
    /// It needs thread-local storage set up by a loader.
    ThreadLocal,
    /// Nothing to load, or more than [`MAX_SEGMENTS`] segments.
    Segments,
    /// A segment is writable and executable.
    WritableCode,
    /// A segment lies outside the address space, or shares a page with the one before.
    Place,
    /// A segment's content lies outside the file or is larger than its memory.
    Content,
    /// The first instruction is in no executable segment.
    Entry,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotElf => "it is no ELF64 file",
            Self::Kind => "it is no position-dependent x86-64 program",
            Self::Headers => "its program headers are not in its first 4096 bytes",
            Self::Dynamic => "it is dynamically linked",
            Self::ThreadLocal => "it has thread-local storage",
            Self::Segments => "it has no segments, or more than 8",
            Self::WritableCode => "a segment is writable and executable",
            Self::Place => "its segments overlap or lie outside the address space",
            Self::Content => "a segment's content is not in the file",
            Self::Entry => "its entry is not in code",
        })
    }
}

impl Plan {
    /// Plans the program whose file of `size` bytes begins with `head`.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn of(head: &[u8], size: u64) -> Result<Self, Refusal> {
        let header = file_header(head)?;
        let mut segments = Vec::new();
        let mut free = MIN_ADDRESS;
        for piece in program_headers(&header, head)? {
            match piece.p_type {
                PT_LOAD if piece.p_memsz > 0 => {
                    let segment = plan_segment(&piece, free, size)?;
                    free = segment.address + segment.size;
                    segments.push(segment).map_err(|_| Refusal::Segments)?;
                }
                PT_INTERP | PT_DYNAMIC => return Err(Refusal::Dynamic),
                PT_TLS => return Err(Refusal::ThreadLocal),
                _ => {}
            }
        }
        if segments.is_empty() {
            return Err(Refusal::Segments);
        }
        let entry = header.e_entry;
        let in_code = segments.iter().any(|segment| {
            segment.protection & protection::EXECUTE != 0
                && entry >= segment.address
                && entry - segment.address < segment.size
        });
        in_code
            .then_some(Self { segments, entry })
            .ok_or(Refusal::Entry)
    }
}

fn file_header(head: &[u8]) -> Result<FileHeader<LittleEndian>, Refusal> {
    let (identification, rest) = head
        .get(..FILE_HEADER)
        .ok_or(Refusal::NotElf)?
        .split_at(IDENTIFICATION);
    let ident = parse_ident::<LittleEndian>(identification).map_err(|_| Refusal::NotElf)?;
    let header = FileHeader::parse_tail(ident, rest).map_err(|_| Refusal::NotElf)?;
    if header.class != Class::ELF64 {
        return Err(Refusal::NotElf);
    }
    if header.e_machine != EM_X86_64 || header.e_type != ET_EXEC {
        return Err(Refusal::Kind);
    }
    Ok(header)
}

fn program_headers<'a>(
    header: &FileHeader<LittleEndian>,
    head: &'a [u8],
) -> Result<SegmentTable<'a, LittleEndian>, Refusal> {
    let start = usize::try_from(header.e_phoff).map_err(|_| Refusal::Headers)?;
    let table = start
        .checked_add(usize::from(header.e_phnum) * PROGRAM_HEADER)
        .and_then(|end| head.get(start..end))
        .ok_or(Refusal::Headers)?;
    if usize::from(header.e_phentsize) != PROGRAM_HEADER {
        return Err(Refusal::Headers);
    }
    Ok(SegmentTable::new(LittleEndian, Class::ELF64, table))
}

/// One segment, all of it at or above `free`.
fn plan_segment(piece: &ProgramHeader, free: u64, file: u64) -> Result<Segment, Refusal> {
    if piece.p_flags & (PF_W | PF_X) == PF_W | PF_X {
        return Err(Refusal::WritableCode);
    }
    let address = piece.p_vaddr / PAGE_SIZE * PAGE_SIZE;
    let end = piece
        .p_vaddr
        .checked_add(piece.p_memsz)
        .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE))
        .filter(|end| *end <= END && address >= free)
        .ok_or(Refusal::Place)?;
    let content_end = piece.p_offset.checked_add(piece.p_filesz);
    if piece.p_filesz > piece.p_memsz || content_end.is_none_or(|end| end > file) {
        return Err(Refusal::Content);
    }
    Ok(Segment {
        address,
        size: end - address,
        content: piece.p_vaddr,
        file_offset: piece.p_offset,
        file_size: piece.p_filesz,
        protection: protection_of(piece.p_flags),
    })
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

#[cfg(test)]
mod tests;
