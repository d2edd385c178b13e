//! Why a boot fails, in words for the person at the screen.
//!
//! Every failure of the stub is one of these values; the binary prints it and stops. None of them is a reset.

use core::fmt;

use tar_no_std::CorruptDataError;

use crate::kernel::KernelError;
use crate::memory_map::MINIMUM_MEMORY;

/// Why the kernel cannot be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The loader did not hand over what its protocol says; the first word found instead.
    NotBootInfo(u32),
    /// The PVH start info has this version, which carries no memory map.
    OldStartInfo(u32),
    /// A structure of the loader ends early or lies outside the memory the stub can reach.
    Truncated(&'static str),
    /// The loader gave no memory map.
    NoMemoryMap,
    /// The memory map has more pieces than the stub holds.
    TooManyRegions,
    /// The loader gave no module: the boot archive is missing.
    NoModule,
    /// The loader gave this many modules; one is expected.
    SeveralModules(u32),
    /// The module does not lie in usable memory: its first byte and the one after its last.
    ModuleOutside(u64, u64),
    /// The command line is longer than the stub holds.
    LongCommandLine,
    /// The machine has this many usable bytes, less than the minimum.
    LittleMemory(u64),
    /// The archive is not a tar archive or is damaged.
    Archive(CorruptDataError),
    /// The archive holds no such file.
    NotInArchive(&'static str),
    /// The kernel's file cannot be loaded.
    Kernel(KernelError),
    /// No free piece of memory of this many bytes for this purpose.
    NoRoom(&'static str, u64),
    /// The kernel has no base revision tag, so it does not speak the protocol.
    NoBaseRevision,
    /// The kernel asks for this base revision, older than the one offered.
    OldBaseRevision(u64),
    /// The kernel holds two requests of this kind.
    DoubleRequest(&'static str),
    /// A request of this kind lies across the end of the kernel.
    CutRequest(&'static str),
    /// The kernel asks for a stack of this many bytes.
    LargeStack(u64),
    /// The kernel cannot run with four levels of page tables.
    PagingMode,
    /// The kernel asks to be entered at this address, where it has no code.
    EntryOutside(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotBootInfo(word) => write!(
                f,
                "the loader's information begins with {word:#x}, not with its magic number"
            ),
            Self::OldStartInfo(version) => {
                write!(
                    f,
                    "the PVH start info has version {version}, which has no memory map; 1 is needed"
                )
            }
            Self::Truncated(what) => {
                write!(f, "the loader's {what} ends early or lies out of reach")
            }
            Self::NoMemoryMap => f.write_str("the loader gave no memory map"),
            Self::TooManyRegions => f.write_str("the firmware's memory map has too many pieces"),
            Self::NoModule => {
                f.write_str("the boot archive is missing (-initrd boot.tar, or module2 in GRUB)")
            }
            Self::SeveralModules(count) => write!(
                f,
                "{count} modules were given; the boot archive alone is expected"
            ),
            Self::ModuleOutside(start, end) => {
                write!(
                    f,
                    "the boot archive at {start:#x}..{end:#x} is not in usable memory below 4 GiB"
                )
            }
            Self::LongCommandLine => f.write_str("the command line is longer than 4095 bytes"),
            Self::LittleMemory(usable) => write!(
                f,
                "the machine has {} KiB of usable memory; {} MiB of memory are the minimum",
                usable >> 10,
                MINIMUM_MEMORY >> 20
            ),
            Self::Archive(why) => write!(f, "the boot archive is damaged: {why}"),
            Self::NotInArchive(path) => write!(f, "the boot archive holds no file {path}"),
            Self::Kernel(why) => write!(f, "the kernel cannot be loaded: {why}"),
            Self::NoRoom(what, length) => write!(
                f,
                "no {length:#x} bytes of free memory below 4 GiB for the {what}"
            ),
            Self::NoBaseRevision => {
                f.write_str("the kernel has no base revision tag of the boot protocol")
            }
            Self::OldBaseRevision(revision) => {
                write!(
                    f,
                    "the kernel asks for base revision {revision} of the boot protocol; 3 is offered"
                )
            }
            Self::DoubleRequest(name) => write!(f, "the kernel holds two {name} requests"),
            Self::CutRequest(name) => write!(f, "the kernel ends inside a {name} request"),
            Self::LargeStack(size) => write!(
                f,
                "the kernel asks for a stack of {size:#x} bytes, which is too much"
            ),
            Self::PagingMode => {
                f.write_str("the kernel asks for five levels of page tables; four are offered")
            }
            Self::EntryOutside(entry) => write!(
                f,
                "the kernel asks to be entered at {entry:#x}, where it has no code"
            ),
        }
    }
}

impl core::error::Error for Error {}
