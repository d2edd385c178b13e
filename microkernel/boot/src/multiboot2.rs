//! The Multiboot2 information structure (Multiboot2 specification 2.0, section 3.6), as GRUB gives it.
//!
//! Framebuffer, symbols, SMBIOS and network tags are passed over.

use heapless::Vec;

use crate::error::Error;
use crate::info::{BootInfo, Firmware, MAX_COMMAND_LINE, RSDP_SIZE, Rsdp};
use crate::memory_map::{Kind, MemoryMap};
use crate::physical::{Fields, Physical};

const HEADER_SIZE: usize = 8;
const TRUNCATED: Error = Error::Truncated("Multiboot2 information");

/// The structure is refused when longer: GRUB's is a few KiB.
const MAX_SIZE: u32 = 1 << 20;

/// Kinds of tag.
mod tag {
    pub(super) const END: u32 = 0;
    pub(super) const COMMAND_LINE: u32 = 1;
    pub(super) const MODULE: u32 = 3;
    pub(super) const MEMORY_MAP: u32 = 6;
    pub(super) const EFI32: u32 = 11;
    pub(super) const EFI64: u32 = 12;
    pub(super) const OLD_RSDP: u32 = 14;
    pub(super) const NEW_RSDP: u32 = 15;
}

/// Reads the structure at `address`.
///
/// # Errors
/// What is missing, malformed or too much in it.
pub fn parse(memory: &impl Physical, address: u64) -> Result<BootInfo, Error> {
    let head = Fields(memory.bytes(address, HEADER_SIZE as u64).ok_or(TRUNCATED)?);
    let size = head.u32(0).ok_or(TRUNCATED)?;
    if size > MAX_SIZE {
        return Err(Error::NotBootInfo(size));
    }
    let mut rest = memory
        .bytes(address, u64::from(size))
        .and_then(|all| all.get(HEADER_SIZE..))
        .ok_or(TRUNCATED)?;

    let mut found = Found::default();
    loop {
        let kind = Fields(rest).u32(0).ok_or(TRUNCATED)?;
        let size = usize::try_from(Fields(rest).u32(4).ok_or(TRUNCATED)?).map_err(|_| TRUNCATED)?;
        let body = rest
            .get(..size)
            .and_then(|tag| tag.get(HEADER_SIZE..))
            .ok_or(TRUNCATED)?;
        if kind == tag::END {
            return found.finish();
        }
        found.take(kind, body)?;
        rest = rest.get(size.next_multiple_of(8)..).ok_or(TRUNCATED)?;
    }
}

/// What the tags said so far.
struct Found {
    memory: Option<MemoryMap>,
    module: (u64, u64),
    modules: u32,
    info: BootInfo,
}

impl Default for Found {
    fn default() -> Self {
        let info = BootInfo {
            memory: MemoryMap::new(),
            module: (0, 0),
            command_line: Vec::new(),
            rsdp: Rsdp::Absent,
            firmware: Firmware::Bios,
        };
        Self {
            memory: None,
            module: (0, 0),
            modules: 0,
            info,
        }
    }
}

impl Found {
    fn take(&mut self, kind: u32, body: &[u8]) -> Result<(), Error> {
        match kind {
            tag::COMMAND_LINE => self.info.command_line = command_line(body)?,
            tag::MODULE => {
                let start = Fields(body).u32(0).ok_or(TRUNCATED)?;
                let end = Fields(body).u32(4).ok_or(TRUNCATED)?;
                self.module = (u64::from(start), u64::from(end));
                self.modules += 1;
            }
            tag::MEMORY_MAP => self.memory = Some(memory_map(body)?),
            tag::EFI32 => self.info.firmware = Firmware::Uefi32,
            tag::EFI64 => self.info.firmware = Firmware::Uefi64,
            // The copy of revision 2 has all that the older one has, so it wins whichever comes first.
            tag::OLD_RSDP if self.info.rsdp == Rsdp::Absent => self.info.rsdp = rsdp(body),
            tag::NEW_RSDP => self.info.rsdp = rsdp(body),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<BootInfo, Error> {
        match self.modules {
            0 => return Err(Error::NoModule),
            1 => {}
            count => return Err(Error::SeveralModules(count)),
        }
        let memory = self.memory.ok_or(Error::NoMemoryMap)?;
        Ok(BootInfo {
            memory,
            module: self.module,
            ..self.info
        })
    }
}

fn command_line(body: &[u8]) -> Result<Vec<u8, MAX_COMMAND_LINE>, Error> {
    let text = body.split(|&byte| byte == 0).next().unwrap_or_default();
    Vec::from_slice(text).map_err(|_| Error::LongCommandLine)
}

fn memory_map(body: &[u8]) -> Result<MemoryMap, Error> {
    let entry_size =
        usize::try_from(Fields(body).u32(0).ok_or(TRUNCATED)?).map_err(|_| TRUNCATED)?;
    let entries = body.get(8..).ok_or(TRUNCATED)?;
    if entry_size < 20 {
        return Err(TRUNCATED);
    }
    let mut map = MemoryMap::new();
    for entry in entries.chunks_exact(entry_size).map(Fields) {
        let start = entry.u64(0).ok_or(TRUNCATED)?;
        let length = entry.u64(8).ok_or(TRUNCATED)?;
        map.add(
            start,
            length,
            Kind::from_firmware(entry.u32(16).ok_or(TRUNCATED)?),
        )?;
    }
    map.settle()?;
    Ok(map)
}

fn rsdp(body: &[u8]) -> Rsdp {
    let mut copy = [0; RSDP_SIZE];
    let length = body.len().min(RSDP_SIZE);
    for (to, from) in copy.iter_mut().zip(body) {
        *to = *from;
    }
    Rsdp::Copy(copy, length)
}
