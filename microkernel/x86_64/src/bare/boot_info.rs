//! What the boot loader tells, by the Limine boot protocol, base revision 3. Only this file knows it.
//!
//! Everything is copied out: the loader's memory becomes free memory once the kernel has its own tables.

use core::ops::Range;

use limine::BaseRevision;
use limine::memory_map::{Entry, EntryType};
use limine::paging::Mode;
use limine::request::{
    ExecutableAddressRequest, ExecutableCmdlineRequest, HhdmRequest, MemoryMapRequest,
    ModuleRequest, PagingModeRequest, RequestsEndMarker, RequestsStartMarker, RsdpRequest,
};
use microkernel::machine::Page;
use microkernel_x86_64::command_line::Options;
use microkernel_x86_64::layout::{IMAGE as LINKED_AT, PAGE};
use microkernel_x86_64::memory_map::Ranges;

use super::asm;
use super::log::log;

/// The first task's image.
const IMAGE: &str = "/boot/bootstrap.img";
/// The boot archive.
const ARCHIVE: &str = "/boot/boot.tar";

#[used]
#[unsafe(link_section = ".requests_start")]
static START: RequestsStartMarker = RequestsStartMarker::new();
#[used]
#[unsafe(link_section = ".requests_end")]
static END: RequestsEndMarker = RequestsEndMarker::new();

macro_rules! request {
    ($name:ident: $kind:ident) => {
        request!($name: $kind = $kind::new());
    };
    ($name:ident: $kind:ident = $value:expr) => {
        #[used]
        #[unsafe(link_section = ".requests")]
        static $name: $kind = $value;
    };
}

// Named, since what an answer means depends on it: in revision 4 the RSDP's address is a virtual one again.
request!(REVISION: BaseRevision = BaseRevision::with_revision(3));
// Four levels, no more and no less: long mode cannot go from five to the kernel's own four.
request!(PAGING_MODE: PagingModeRequest = PagingModeRequest::new()
    .with_mode(Mode::FOUR_LEVEL)
    .with_max_mode(Mode::FOUR_LEVEL)
    .with_min_mode(Mode::FOUR_LEVEL));
request!(DIRECT_MAP: HhdmRequest);
request!(MEMORY_MAP: MemoryMapRequest);
request!(MODULES: ModuleRequest);
request!(RSDP: RsdpRequest);
request!(ADDRESS: ExecutableAddressRequest);
request!(COMMAND_LINE: ExecutableCmdlineRequest);

/// CR4's bit for five levels of page tables (Intel SDM vol. 3, 2.5).
const FIVE_LEVELS: u64 = 1 << 12;

/// What the loader told.
pub(crate) struct BootInfo {
    /// Where the loader maps physical address 0.
    pub(crate) direct_map: u64,
    /// Memory that is free now.
    pub(crate) usable: Ranges,
    /// Memory that is free when the loader's tables and answers are not used any more.
    pub(crate) reclaimable: Ranges,
    /// All memory there is, to be reached through the direct map.
    pub(crate) memory: Ranges,
    /// Where the kernel image lies.
    pub(crate) kernel: u64,
    /// The first task's image.
    pub(crate) image: Range<Page>,
    /// The boot archive.
    pub(crate) archive: Range<Page>,
    /// ACPI's root pointer.
    pub(crate) rsdp: Option<u64>,
    /// The command line.
    pub(crate) options: Options,
}

/// Reads what the loader told.
///
/// # Errors
/// What is missing.
pub(crate) fn read() -> Result<BootInfo, &'static str> {
    if !REVISION.is_supported() {
        return Err("the boot loader does not know revision 3 of the Limine protocol");
    }
    if asm::read_cr4() & FIVE_LEVELS != 0 {
        return Err("the boot loader has turned five levels of page tables on");
    }
    let direct_map = DIRECT_MAP
        .get_response()
        .ok_or("no direct map from the boot loader")?
        .offset();
    let entries = MEMORY_MAP
        .get_response()
        .ok_or("no memory map from the boot loader")?
        .entries();
    let [usable, reclaimable, memory] = ranges(entries);
    let kernel = ADDRESS
        .get_response()
        .ok_or("no address of the kernel from the boot loader")?;
    if kernel.virtual_base() != LINKED_AT {
        return Err("the boot loader has moved the kernel in its address space");
    }
    Ok(BootInfo {
        direct_map,
        usable,
        reclaimable,
        memory,
        kernel: kernel.physical_base(),
        image: module(IMAGE, direct_map).ok_or("no module /boot/bootstrap.img: the first task")?,
        archive: module(ARCHIVE, direct_map).ok_or("no module /boot/boot.tar: the boot archive")?,
        rsdp: RSDP
            .get_response()
            .map(|response| response.address() as u64),
        options: options(),
    })
}

/// Usable memory, memory of the loader, and all memory.
fn ranges(entries: &[&Entry]) -> [Ranges; 3] {
    let (mut usable, mut reclaimable, mut all) = (Ranges::new(), Ranges::new(), Ranges::new());
    for entry in entries {
        let range = entry.base..entry.base.saturating_add(entry.length);
        match entry.entry_type {
            EntryType::USABLE => usable.add(range.clone()),
            EntryType::BOOTLOADER_RECLAIMABLE => reclaimable.add(range.clone()),
            EntryType::ACPI_RECLAIMABLE | EntryType::EXECUTABLE_AND_MODULES => {}
            _ => continue,
        }
        all.add(range);
    }
    for entry in entries {
        let range = entry.base..entry.base.saturating_add(entry.length);
        if entry.entry_type != EntryType::USABLE {
            usable.remove(range.clone());
        }
        if entry.entry_type != EntryType::BOOTLOADER_RECLAIMABLE {
            reclaimable.remove(range);
        }
    }
    [usable, reclaimable, all]
}

/// The pages of the module whose path ends like this.
fn module(path: &str, direct_map: u64) -> Option<Range<Page>> {
    let modules = MODULES.get_response()?.modules();
    let file = modules
        .iter()
        .find(|file| file.path().to_bytes().ends_with(path.as_bytes()))?;
    let start = (file.addr() as u64).checked_sub(direct_map)?;
    let end = start.checked_add(file.size())?;
    if !start.is_multiple_of(PAGE) {
        return None;
    }
    let page = |address: u64| u32::try_from(address / PAGE).ok().map(Page);
    Some(page(start)?..page(end.next_multiple_of(PAGE))?)
}

fn options() -> Options {
    let line = COMMAND_LINE
        .get_response()
        .and_then(|response| response.cmdline().to_str().ok());
    Options::parse(line.unwrap_or_default(), |word| {
        log!("kernel: unknown word on the command line: {word}");
    })
}
