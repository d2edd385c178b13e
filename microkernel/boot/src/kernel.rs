//! The kernel's ELF file: checked, and turned into a plan of what goes where with which permissions.
//!
//! Accepted is an `ET_EXEC` file for x86-64 whose segments lie in the topmost 2 GiB, in ascending order, no two in one
//! page, none writable and executable at once. A position-independent file is refused: nothing here relocates.

use core::fmt;

use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;
use heapless::Vec;

use crate::memory_map::PAGE;

/// The kernel lies from this address on.
pub const LOWEST: u64 = 0xffff_ffff_8000_0000;

/// The most bytes from the kernel's first to its last.
pub const MAX_SPAN: u64 = 256 << 20;

/// The most segments that it has.
pub const MAX_SEGMENTS: usize = 16;

/// Why a file is not a kernel that can be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelError {
    /// Not a 64-bit little-endian ELF file, or a cut one.
    NotElf,
    /// Not an executable at fixed addresses for this processor.
    NotExecutable,
    /// No segment to load.
    Empty,
    /// More segments than [`MAX_SEGMENTS`].
    TooManySegments,
    /// The segment at this address is not in the kernel's part of the address space.
    Outside(u64),
    /// The segment at this address is writable and executable.
    WritableCode(u64),
    /// The segment at this address begins in or before the page where the one before ends.
    Overlap(u64),
    /// The segment at this address has more content than room, or its content is not in the file.
    Content(u64),
    /// The kernel spans this many bytes, which is too much.
    TooLarge(u64),
    /// The entry address is not in an executable segment.
    Entry(u64),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotElf => f.write_str("it is not a 64-bit ELF file, or a cut one"),
            Self::NotExecutable => {
                f.write_str("it is not an x86-64 executable linked at fixed addresses")
            }
            Self::Empty => f.write_str("it has no segment to load"),
            Self::TooManySegments => write!(f, "it has more than {MAX_SEGMENTS} segments"),
            Self::Outside(at) => write!(f, "its segment at {at:#x} is not above {LOWEST:#x}"),
            Self::WritableCode(at) => {
                write!(f, "its segment at {at:#x} is writable and executable")
            }
            Self::Overlap(at) => write!(
                f,
                "its segment at {at:#x} shares a page with the one before"
            ),
            Self::Content(at) => write!(
                f,
                "the content of its segment at {at:#x} is not in the file"
            ),
            Self::TooLarge(span) => {
                write!(f, "it spans {span:#x} bytes; {MAX_SPAN:#x} are the most")
            }
            Self::Entry(at) => write!(f, "its entry {at:#x} is not in an executable segment"),
        }
    }
}

/// What may be done to a segment's memory beside reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nothing.
    Read,
    /// Writing.
    Write,
    /// Execution.
    Execute,
}

/// A segment to load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its first byte's address.
    pub start: u64,
    /// Its bytes in memory, at least 1; the sum of both does not wrap.
    pub size: u64,
    /// Where its content begins in the file.
    pub file_offset: u64,
    /// Bytes of content, at most `size`; the rest is zero.
    pub file_size: u64,
    /// What may be done to it.
    pub access: Access,
}

impl Segment {
    /// The first page's address and that after the last page's.
    #[must_use]
    pub fn pages(&self) -> (u64, u64) {
        let last = self.start + (self.size - 1);
        (self.start - self.start % PAGE, last - last % PAGE + PAGE)
    }
}

/// A kernel, ready to be loaded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it wants to be entered.
    pub entry: u64,
    /// The address of its first page.
    pub start: u64,
    /// The bytes from there to the end of its last page.
    pub span: u64,
    /// Its segments, in ascending order.
    pub segments: Vec<Segment, MAX_SEGMENTS>,
}

impl Plan {
    /// Whether `address` is in an executable segment.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        let code = |segment: &Segment| {
            segment.access == Access::Execute
                && address
                    .checked_sub(segment.start)
                    .is_some_and(|offset| offset < segment.size)
        };
        self.segments.iter().any(code)
    }
}

/// Checks the file and makes the plan.
///
/// # Errors
/// Why it is refused.
pub fn plan(file: &[u8]) -> Result<Plan, KernelError> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| KernelError::NotElf)?;
    if elf.ehdr.class != elf::file::Class::ELF64 {
        return Err(KernelError::NotElf);
    }
    if elf.ehdr.e_type != ET_EXEC || elf.ehdr.e_machine != EM_X86_64 {
        return Err(KernelError::NotExecutable);
    }
    let headers = elf.segments().ok_or(KernelError::Empty)?;
    let mut segments: Vec<Segment, MAX_SEGMENTS> = Vec::new();
    let mut end = LOWEST;
    for header in headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0)
    {
        let segment = segment(&header, file.len() as u64)?;
        let (first, after) = segment.pages();
        if first < end {
            return Err(KernelError::Overlap(segment.start));
        }
        end = after;
        segments
            .push(segment)
            .map_err(|_| KernelError::TooManySegments)?;
    }
    let start = segments.first().ok_or(KernelError::Empty)?.pages().0;
    let span = end - start;
    if span > MAX_SPAN {
        return Err(KernelError::TooLarge(span));
    }
    let plan = Plan {
        entry: elf.ehdr.e_entry,
        start,
        span,
        segments,
    };
    if plan.is_code(plan.entry) {
        Ok(plan)
    } else {
        Err(KernelError::Entry(plan.entry))
    }
}

fn segment(header: &ProgramHeader, file_length: u64) -> Result<Segment, KernelError> {
    let start = header.p_vaddr;
    // The topmost page stays out, so that the end of every page can be named.
    let end = start
        .checked_add(header.p_memsz)
        .filter(|end| *end <= u64::MAX - PAGE);
    if start < LOWEST || end.is_none() {
        return Err(KernelError::Outside(start));
    }
    let file_end = header
        .p_offset
        .checked_add(header.p_filesz)
        .filter(|end| *end <= file_length);
    if header.p_filesz > header.p_memsz || file_end.is_none() {
        return Err(KernelError::Content(start));
    }
    let access = match (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0) {
        (true, true) => return Err(KernelError::WritableCode(start)),
        (true, false) => Access::Write,
        (false, true) => Access::Execute,
        (false, false) => Access::Read,
    };
    Ok(Segment {
        start,
        size: header.p_memsz,
        file_offset: header.p_offset,
        file_size: header.p_filesz,
        access,
    })
}
