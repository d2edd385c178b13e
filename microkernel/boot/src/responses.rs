//! Writes the answers to the kernel's requests into one area of bootloader-reclaimable memory.
//!
//! All addresses in answers are of the direct map, but the ACPI root pointer's: in base revision 3 it is physical.

use heapless::Vec;

use crate::error::Error;
use crate::info::{Firmware, Rsdp};
use crate::memory_map::{MAX_REGIONS, Region};
use crate::requests::{KINDS, Request};

/// The area's bytes: the memory map at its longest takes 8 KiB, the command line 4 KiB, the rest little.
pub const AREA: u64 = 16 << 10;

/// What there is to tell.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The memory map, final.
    pub regions: &'a [Region],
    /// Where the kernel finds physical address 0.
    pub direct_map: u64,
    /// The command line.
    pub command_line: &'a [u8],
    /// The kernel's first page: physical and virtual.
    pub kernel: (u64, u64),
    /// A copy of the kernel's file, if the kernel asked for it.
    pub file: Option<File>,
    /// The modules, in order.
    pub modules: [File; 2],
    /// The ACPI root pointer.
    pub rsdp: Rsdp,
    /// The firmware.
    pub firmware: Firmware,
}

/// A file in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct File {
    /// Its physical address, at a page boundary.
    pub start: u64,
    /// Its bytes.
    pub size: u64,
    /// Its name.
    pub path: &'static str,
}

/// What was written where.
#[derive(Clone, Debug)]
pub struct Written {
    /// For each request the address of its answer; none for what cannot be answered.
    pub answers: Vec<(Request, u64), KINDS>,
    /// The address of the segment descriptor table.
    pub descriptors: u64,
}

/// Null, then the code and data segments that the protocol lists: 16-bit, 32-bit, 64-bit.
const DESCRIPTORS: [u64; 7] = [
    0,
    0x0000_9b00_0000_ffff,
    0x0000_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
];

/// Bytes of the segment descriptor table, less one.
pub const DESCRIPTORS_LIMIT: u16 = size_of_val(&DESCRIPTORS) as u16 - 1;

/// Writes all answers into `area`, which lies at the physical address `start`.
///
/// # Errors
/// [`Error::NoRoom`].
pub fn write(area: &mut [u8], start: u64, facts: &Facts<'_>) -> Result<Written, Error> {
    let mut area = Area {
        bytes: area,
        address: facts.direct_map + start,
        direct_map: facts.direct_map,
        used: 0,
    };
    let descriptors = area.words(&DESCRIPTORS)?;
    let command_line = area.text(facts.command_line)?;
    let mut answers = Vec::new();
    for kind in Request::ALL {
        let answer = match kind {
            Request::BootloaderInfo => {
                let (name, version) = (
                    area.text(b"MelloOS boot")?,
                    area.text(env!("CARGO_PKG_VERSION").as_bytes())?,
                );
                area.words(&[0, name, version])?
            }
            Request::FirmwareType => area.words(&[0, facts.firmware as u64])?,
            Request::StackSize | Request::EntryPoint => area.words(&[0])?,
            Request::DirectMap => area.words(&[0, facts.direct_map])?,
            // Mode 0 is four levels.
            Request::PagingMode => area.words(&[0, 0])?,
            Request::MemoryMap => area.memory_map(facts.regions)?,
            Request::ExecutableFile => match facts.file {
                Some(file) => {
                    let file = area.file(&file, command_line)?;
                    area.words(&[0, file])?
                }
                None => continue,
            },
            Request::Modules => area.modules(&facts.modules)?,
            Request::Rsdp => match area.rsdp(facts.rsdp)? {
                Some(address) => area.words(&[0, address])?,
                None => continue,
            },
            Request::ExecutableAddress => area.words(&[0, facts.kernel.0, facts.kernel.1])?,
            Request::CommandLine => area.words(&[0, command_line])?,
        };
        answers.push((kind, answer)).map_err(|_| NO_ROOM)?;
    }
    Ok(Written {
        answers,
        descriptors,
    })
}

const NO_ROOM: Error = Error::NoRoom("responses", AREA);

struct Area<'a> {
    bytes: &'a mut [u8],
    /// Where it begins in the direct map.
    address: u64,
    direct_map: u64,
    used: usize,
}

impl Area<'_> {
    /// Puts `bytes` at the next multiple of 8 and gives their address in the direct map.
    fn put(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        let at = self.used.next_multiple_of(8);
        let place = self
            .bytes
            .get_mut(at..)
            .and_then(|rest| rest.get_mut(..bytes.len()))
            .ok_or(NO_ROOM)?;
        place.copy_from_slice(bytes);
        self.used = at + bytes.len();
        Ok(self.address + at as u64)
    }

    fn words(&mut self, words: &[u64]) -> Result<u64, Error> {
        let Some((first, rest)) = words.split_first() else {
            return self.put(&[]);
        };
        let address = self.put(&first.to_le_bytes())?;
        for word in rest {
            self.put(&word.to_le_bytes())?;
        }
        Ok(address)
    }

    fn text(&mut self, text: &[u8]) -> Result<u64, Error> {
        let address = self.put(text)?;
        let end = self.bytes.get_mut(self.used).ok_or(NO_ROOM)?;
        *end = 0;
        self.used += 1;
        Ok(address)
    }

    fn memory_map(&mut self, regions: &[Region]) -> Result<u64, Error> {
        let mut entries: Vec<u64, MAX_REGIONS> = Vec::new();
        for region in regions {
            let entry =
                self.words(&[region.start, region.end - region.start, region.kind as u64])?;
            entries.push(entry).map_err(|_| NO_ROOM)?;
        }
        let list = self.words(&entries)?;
        self.words(&[0, entries.len() as u64, list])
    }

    fn modules(&mut self, modules: &[File; 2]) -> Result<u64, Error> {
        let none = self.text(b"")?;
        let [first, second] = modules;
        let files = [self.file(first, none)?, self.file(second, none)?];
        let list = self.words(&files)?;
        self.words(&[0, files.len() as u64, list])
    }

    /// The protocol's file structure: revision, address, size, path, string, then where it came from, all unknown.
    fn file(&mut self, file: &File, string: u64) -> Result<u64, Error> {
        let path = self.text(file.path.as_bytes())?;
        let unknown = [0; 9];
        let structure = self.words(&[0, self.direct_map + file.start, file.size, path, string])?;
        self.words(&unknown)?;
        Ok(structure)
    }

    fn rsdp(&mut self, rsdp: Rsdp) -> Result<Option<u64>, Error> {
        Ok(match rsdp {
            Rsdp::Absent => None,
            Rsdp::At(address) => Some(address),
            Rsdp::Copy(bytes, length) => {
                let copy = self.put(bytes.get(..length).unwrap_or(&bytes))?;
                Some(copy - self.direct_map)
            }
        })
    }
}
