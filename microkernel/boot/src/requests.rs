//! Finds the kernel's requests of the Limine boot protocol in its loaded image.
//!
//! A request is four words of identity at a multiple of 8, its revision, the place for the response's address, and
//! what it asks. Not answered, so that the kernel sees a null response: other CPUs (the kernel starts them itself),
//! framebuffer, SMBIOS, UEFI tables, date at boot, device tree.

use limine::request as limine_request;

use crate::error::Error;
use crate::physical::Fields;

/// The base revision that the stub offers.
pub const BASE_REVISION: u64 = 3;

const BASE_REVISION_TAG: [u64; 2] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc];
const START_MARKER: [u64; 4] = [
    0xf6b8_f4b3_9de7_d1ae,
    0xfab9_1a69_40fc_b9cf,
    0x785c_6ed0_15d3_e316,
    0x181e_920a_7852_b9d9,
];
const END_MARKER: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];

/// Where the address of the response lies in a request.
pub const RESPONSE: usize = 40;

/// Where what a request asks begins, and the size of a request that asks nothing.
const BODY: usize = 48;

/// The requests that are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
#[expect(missing_docs, reason = "the protocol's names")]
pub enum Request {
    BootloaderInfo,
    FirmwareType,
    StackSize,
    DirectMap,
    PagingMode,
    MemoryMap,
    EntryPoint,
    ExecutableFile,
    Modules,
    Rsdp,
    ExecutableAddress,
    CommandLine,
}

/// How many kinds of request are answered.
pub const KINDS: usize = 12;

impl Request {
    /// All of them, each at its own index.
    pub const ALL: [Self; KINDS] = [
        Self::BootloaderInfo,
        Self::FirmwareType,
        Self::StackSize,
        Self::DirectMap,
        Self::PagingMode,
        Self::MemoryMap,
        Self::EntryPoint,
        Self::ExecutableFile,
        Self::Modules,
        Self::Rsdp,
        Self::ExecutableAddress,
        Self::CommandLine,
    ];

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BootloaderInfo => "bootloader info",
            Self::FirmwareType => "firmware type",
            Self::StackSize => "stack size",
            Self::DirectMap => "direct map",
            Self::PagingMode => "paging mode",
            Self::MemoryMap => "memory map",
            Self::EntryPoint => "entry point",
            Self::ExecutableFile => "executable file",
            Self::Modules => "module",
            Self::Rsdp => "RSDP",
            Self::ExecutableAddress => "executable address",
            Self::CommandLine => "command line",
        }
    }

    /// The four words that name it.
    #[must_use]
    pub fn id(self) -> [u64; 4] {
        match self {
            Self::BootloaderInfo => *limine_request::BootloaderInfoRequest::new().id(),
            Self::FirmwareType => *limine_request::FirmwareTypeRequest::new().id(),
            Self::StackSize => *limine_request::StackSizeRequest::new().id(),
            Self::DirectMap => *limine_request::HhdmRequest::new().id(),
            Self::PagingMode => *limine_request::PagingModeRequest::new().id(),
            Self::MemoryMap => *limine_request::MemoryMapRequest::new().id(),
            Self::EntryPoint => *limine_request::EntryPointRequest::new().id(),
            Self::ExecutableFile => *limine_request::ExecutableFileRequest::new().id(),
            Self::Modules => *limine_request::ModuleRequest::new().id(),
            Self::Rsdp => *limine_request::RsdpRequest::new().id(),
            Self::ExecutableAddress => *limine_request::ExecutableAddressRequest::new().id(),
            Self::CommandLine => *limine_request::ExecutableCmdlineRequest::new().id(),
        }
    }

    /// Bytes that the request has at least in the kernel.
    const fn size(self) -> usize {
        match self {
            Self::StackSize | Self::EntryPoint | Self::PagingMode => BODY + 8,
            _ => BODY,
        }
    }
}

/// The requests of a kernel, by their offsets in its image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requests {
    /// The base revision tag.
    pub base_revision_tag: usize,
    /// The base revision it asks for, [`BASE_REVISION`] or newer.
    pub base_revision: u64,
    /// The stack that it asks for, in bytes, or 0.
    pub stack_size: u64,
    /// The entry that it asks for instead of the file's.
    pub entry: Option<u64>,
    at: [Option<usize>; KINDS],
}

impl Requests {
    /// Where the kernel has the request `kind`, if it has.
    #[must_use]
    pub fn at(&self, kind: Request) -> Option<usize> {
        self.at.get(kind as usize).copied().flatten()
    }
}

/// Searches `image`, which begins at a multiple of 8: before the first end marker, and after the last start marker there,
/// where the kernel has them. What lies elsewhere does not count, the base revision tag included.
///
/// # Errors
/// A request that is double, cut, or asks what cannot be given.
pub fn scan(image: &[u8]) -> Result<Requests, Error> {
    let to = find(image, &END_MARKER, (0, image.len())).unwrap_or(image.len());
    let mut from = 0;
    while let Some(marker) = find(image, &START_MARKER, (from, to)) {
        from = marker + size_of_val(&START_MARKER);
    }
    let tag = find(image, &BASE_REVISION_TAG, (from, to)).ok_or(Error::NoBaseRevision)?;
    if find(image, &BASE_REVISION_TAG, (tag + 8, to)).is_some() {
        return Err(Error::DoubleRequest("base revision"));
    }
    let base_revision = Fields(image).u64(tag + 16).ok_or(Error::NoBaseRevision)?;
    if base_revision < BASE_REVISION {
        return Err(Error::OldBaseRevision(base_revision));
    }
    let at = locate(image, from, to)?;
    let mut found = Requests {
        base_revision_tag: tag,
        base_revision,
        stack_size: 0,
        entry: None,
        at,
    };
    found.read_bodies(image)?;
    Ok(found)
}

fn locate(image: &[u8], from: usize, to: usize) -> Result<[Option<usize>; KINDS], Error> {
    let ids = Request::ALL.map(Request::id);
    let [first, second, ..] = Request::MemoryMap.id();
    let common = [first, second];
    let mut at = [None; KINDS];
    for offset in (from..to).step_by(8) {
        // Two words are common to all; looking at them first keeps the scan short.
        if !has(image, offset, &common) {
            continue;
        }
        for ((kind, id), slot) in Request::ALL.iter().zip(&ids).zip(&mut at) {
            if !has(image, offset, id) {
                continue;
            }
            if slot.is_some() {
                return Err(Error::DoubleRequest(kind.name()));
            }
            if image.len() - offset < kind.size() {
                return Err(Error::CutRequest(kind.name()));
            }
            *slot = Some(offset);
        }
    }
    Ok(at)
}

impl Requests {
    fn read_bodies(&mut self, image: &[u8]) -> Result<(), Error> {
        let body = |kind, offset| self.at(kind).and_then(|at| Fields(image).u64(at + offset));
        let stack_size = body(Request::StackSize, BODY).unwrap_or(0);
        let entry = body(Request::EntryPoint, BODY);
        // From revision 1 on the request names the least mode that will do, after the preferred and the highest one.
        let revised = body(Request::PagingMode, RESPONSE - 8).is_some_and(|revision| revision >= 1);
        if revised && body(Request::PagingMode, BODY + 16).is_some_and(|least| least > 0) {
            return Err(Error::PagingMode);
        }
        self.stack_size = stack_size;
        self.entry = entry;
        Ok(())
    }
}

fn find(image: &[u8], words: &[u64], (from, to): (usize, usize)) -> Option<usize> {
    (from..to)
        .step_by(8)
        .find(|&offset| has(image, offset, words))
}

fn has(image: &[u8], offset: usize, words: &[u64]) -> bool {
    words
        .iter()
        .enumerate()
        .all(|(index, word)| Fields(image).u64(offset + index * 8) == Some(*word))
}
