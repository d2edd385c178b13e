//! ACPI tables, as far as starting a machine needs them: CPUs, interrupt controllers, clocks.
//!
//! Layouts are those of the ACPI specification 6.5, sections 5.2.5 (RSDP), 5.2.6 (header), 5.2.9 (FADT),
//! 5.2.12 (MADT), and of the HPET specification 1.0a. Every table's checksum and length are checked; what
//! is wrong is left out, and entries of a kind that is not known are skipped.
//!
//! Deliberately absent: AML. Power management and device discovery belong to ring 3.

use crate::clock::Width;

/// The most CPUs that are remembered.
pub const MAX_CPUS: usize = 64;
/// The most I/O APICs that are remembered.
pub const MAX_IO_APICS: usize = 8;
/// The most interrupt source overrides that are remembered.
pub const MAX_OVERRIDES: usize = 24;
/// A table that is longer than this is taken for damaged.
const MAX_TABLE: usize = 1 << 20;
const HEADER: usize = 36;

/// Where physical memory is read from.
pub trait Memory {
    /// The bytes at a physical address, or `None` when they cannot be reached.
    fn bytes(&mut self, address: u64, length: usize) -> Option<&[u8]>;
}

/// An I/O APIC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoApic {
    /// Where its registers lie.
    pub address: u64,
    /// The first interrupt line that it serves.
    pub first_line: u32,
}

/// A legacy interrupt that is wired otherwise than by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Override {
    /// The ISA interrupt.
    pub isa: u8,
    /// The line that it is wired to.
    pub line: u32,
    /// Whether it is active when low.
    pub active_low: bool,
    /// Whether it is a level, not an edge.
    pub level: bool,
}

/// What the tables say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acpi {
    /// Where the local APIC's registers lie.
    pub local_apic: u64,
    /// Local APIC ids of the CPUs that may be started.
    pub cpus: heapless::Vec<u32, MAX_CPUS>,
    /// The I/O APICs.
    pub io_apics: heapless::Vec<IoApic, MAX_IO_APICS>,
    /// Where legacy interrupts differ.
    pub overrides: heapless::Vec<Override, MAX_OVERRIDES>,
    /// Where the HPET's registers lie.
    pub hpet: Option<u64>,
    /// The port of the ACPI timer, and its width.
    pub timer: Option<(u16, Width)>,
    /// Entries for which there was no room.
    pub left_out: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// Reads the tables that the RSDP at this physical address leads to.
///
/// `None`: there is no RSDP or no root table that its checksum confirms.
pub fn read(memory: &mut impl Memory, rsdp: u64) -> Option<Acpi> {
    let (root, width) = root_table(memory, rsdp)?;
    let length = table(memory, root)?.len();
    let mut acpi = Acpi::default();
    for at in (HEADER..length).step_by(width) {
        let bytes = table(memory, root)?;
        let address = match width {
            8 => u64_at(bytes, at),
            _ => u32_at(bytes, at).map(u64::from),
        };
        let Some(found) = address.and_then(|address| table(memory, address)) else {
            continue;
        };
        match found.get(..4) {
            Some(b"APIC") => read_madt(&mut acpi, found),
            Some(b"HPET") => acpi.hpet = u64_at(found, 44),
            Some(b"FACP") => acpi.timer = read_fadt(found),
            _ => {}
        }
    }
    Some(acpi)
}

/// The root table's address, and how many bytes each of its entries has.
fn root_table(memory: &mut impl Memory, rsdp: u64) -> Option<(u64, usize)> {
    let first = memory.bytes(rsdp, 20)?;
    if !first.starts_with(b"RSD PTR ") || !sums_to_zero(first) {
        return None;
    }
    let short = (u64::from(u32_at(first, 16)?), 4);
    if first.get(15)? < &2 {
        return Some(short);
    }
    let whole = memory.bytes(rsdp, 36)?;
    match u64_at(whole, 24)? {
        0 => Some(short),
        _ if !sums_to_zero(whole) => Some(short),
        long => Some((long, 8)),
    }
}

/// A whole table, if its length makes sense and its checksum is right.
fn table(memory: &mut impl Memory, address: u64) -> Option<&[u8]> {
    let length = u32_at(memory.bytes(address, HEADER)?, 4)? as usize;
    if !(HEADER..=MAX_TABLE).contains(&length) {
        return None;
    }
    let bytes = memory.bytes(address, length)?;
    sums_to_zero(bytes).then_some(bytes)
}

fn read_fadt(table: &[u8]) -> Option<(u16, Width)> {
    let port = u16::try_from(u32_at(table, 76)?)
        .ok()
        .filter(|port| *port != 0)?;
    // Bit 8 of the flags: the timer has 32 bits.
    let wide = u32_at(table, 112)? & 1 << 8 != 0;
    Some((port, if wide { Width::Bits32 } else { Width::Bits24 }))
}

fn read_madt(acpi: &mut Acpi, table: &[u8]) {
    acpi.local_apic = u32_at(table, HEADER).map_or(0, u64::from);
    let mut rest = table.get(HEADER + 8..).unwrap_or_default();
    while let [_, length, ..] = rest {
        let length = usize::from(*length);
        if length < 2 {
            return;
        }
        let Some((entry, next)) = rest.split_at_checked(length) else {
            return;
        };
        // An entry that is too short for its kind reads as `None`.
        if read_madt_entry(acpi, entry).is_none() {
            acpi.left_out += 1;
        }
        rest = next;
    }
}

fn read_madt_entry(acpi: &mut Acpi, entry: &[u8]) -> Option<()> {
    match entry.first()? {
        // Local APIC. Flags: enabled, or may be enabled (online capable: not present now).
        0 => add_cpu(acpi, u32::from(*entry.get(3)?), u32_at(entry, 4)?),
        1 => {
            let found = IoApic {
                address: u64::from(u32_at(entry, 4)?),
                first_line: u32_at(entry, 8)?,
            };
            acpi.left_out += usize::from(acpi.io_apics.push(found).is_err());
        }
        2 => {
            let (isa, line, flags) = (*entry.get(3)?, u32_at(entry, 4)?, u16_at(entry, 8)?);
            let found = Override {
                isa,
                line,
                active_low: flags & 3 == 3,
                level: flags >> 2 & 3 == 3,
            };
            acpi.left_out += usize::from(acpi.overrides.push(found).is_err());
        }
        5 => acpi.local_apic = u64_at(entry, 4)?,
        9 => add_cpu(acpi, u32_at(entry, 4)?, u32_at(entry, 8)?),
        _ => {}
    }
    Some(())
}

fn add_cpu(acpi: &mut Acpi, id: u32, flags: u32) {
    if flags & 1 != 0 && !acpi.cpus.contains(&id) {
        acpi.left_out += usize::from(acpi.cpus.push(id).is_err());
    }
}

#[cfg(test)]
mod tests;
