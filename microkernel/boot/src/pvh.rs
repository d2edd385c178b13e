//! The PVH start info (Xen, `public/arch-x86/hvm/start_info.h`), as QEMU's `-kernel` gives it.

use heapless::Vec;

use crate::error::Error;
use crate::info::{BootInfo, Firmware, MAX_COMMAND_LINE, Rsdp};
use crate::memory_map::{Kind, MAX_REGIONS, MemoryMap};
use crate::physical::{Fields, Physical};

const MAGIC: u32 = 0x336e_c578;
const START_INFO_SIZE: u64 = 56;
const MODULE_SIZE: u64 = 32;
const REGION_SIZE: usize = 24;

/// Reads the start info at `address`.
///
/// # Errors
/// What is missing, malformed or too much in it.
pub fn parse(memory: &impl Physical, address: u64) -> Result<BootInfo, Error> {
    let truncated = Error::Truncated("start info");
    let info = Fields(memory.bytes(address, START_INFO_SIZE).ok_or(truncated)?);
    let word = |offset| info.u32(offset).ok_or(truncated);
    let long = |offset| info.u64(offset).ok_or(truncated);

    let magic = word(0)?;
    if magic != MAGIC {
        return Err(Error::NotBootInfo(magic));
    }
    let version = word(4)?;
    if version < 1 {
        return Err(Error::OldStartInfo(version));
    }
    let rsdp = match long(32)? {
        0 => Rsdp::Absent,
        at => Rsdp::At(at),
    };
    Ok(BootInfo {
        memory: memory_map(memory, long(40)?, word(48)?)?,
        module: module(memory, long(16)?, word(12)?)?,
        command_line: text(memory, long(24)?)?,
        rsdp,
        firmware: Firmware::Bios,
    })
}

fn memory_map(memory: &impl Physical, address: u64, count: u32) -> Result<MemoryMap, Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    match count {
        0 => return Err(Error::NoMemoryMap),
        1..=MAX_REGIONS => {}
        _ => return Err(Error::TooManyRegions),
    }
    let truncated = Error::Truncated("memory map");
    let table = memory
        .bytes(address, (count * REGION_SIZE) as u64)
        .ok_or(truncated)?;
    let mut map = MemoryMap::new();
    for entry in table.chunks_exact(REGION_SIZE).map(Fields) {
        let start = entry.u64(0).ok_or(truncated)?;
        let length = entry.u64(8).ok_or(truncated)?;
        map.add(
            start,
            length,
            Kind::from_firmware(entry.u32(16).ok_or(truncated)?),
        )?;
    }
    map.settle()?;
    Ok(map)
}

fn module(memory: &impl Physical, address: u64, count: u32) -> Result<(u64, u64), Error> {
    match count {
        0 => return Err(Error::NoModule),
        1 => {}
        _ => return Err(Error::SeveralModules(count)),
    }
    let truncated = Error::Truncated("module list");
    let entry = Fields(memory.bytes(address, MODULE_SIZE).ok_or(truncated)?);
    let start = entry.u64(0).ok_or(truncated)?;
    let length = entry.u64(8).ok_or(truncated)?;
    Ok((start, start.saturating_add(length)))
}

fn text(memory: &impl Physical, address: u64) -> Result<Vec<u8, MAX_COMMAND_LINE>, Error> {
    let mut text = Vec::new();
    if address == 0 {
        return Ok(text);
    }
    // Byte by byte: what follows the NUL may lie out of reach.
    for at in address..=u64::MAX {
        match memory.bytes(at, 1) {
            Some([0]) => break,
            Some(&[byte]) => text.push(byte).map_err(|_| Error::LongCommandLine)?,
            _ => return Err(Error::Truncated("command line")),
        }
    }
    Ok(text)
}
