//! What a loader tells the stub, whatever its protocol: copied out before the stub writes to memory for the first time.

use heapless::Vec;

use crate::memory_map::MemoryMap;

/// The most bytes of a command line.
pub const MAX_COMMAND_LINE: usize = 4095;

/// The bytes of an ACPI root pointer of revision 2.
pub const RSDP_SIZE: usize = 36;

/// Where the ACPI root pointer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rsdp {
    /// The loader knows none.
    Absent,
    /// At this physical address.
    At(u64),
    /// The loader gave a copy; that many of its bytes count.
    Copy([u8; RSDP_SIZE], usize),
}

/// What started the machine; the values are the boot protocol's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Firmware {
    /// A BIOS.
    Bios = 0,
    /// UEFI with 32-bit tables.
    Uefi32 = 1,
    /// UEFI with 64-bit tables.
    Uefi64 = 2,
}

/// The loader's information.
#[derive(Clone, Debug)]
pub struct BootInfo {
    /// The firmware's memory map, settled.
    pub memory: MemoryMap,
    /// The boot archive: its first byte and the one after its last.
    pub module: (u64, u64),
    /// The command line, without a NUL.
    pub command_line: Vec<u8, MAX_COMMAND_LINE>,
    /// The ACPI root pointer.
    pub rsdp: Rsdp,
    /// The firmware.
    pub firmware: Firmware,
}
