//! From what the loader said to a machine that only has to jump: the stub's whole work, without touching the machine.

use heapless::Vec;

use crate::archive;
use crate::choices::{Choices, JUNK};
use crate::error::Error;
use crate::info::BootInfo;
use crate::kernel::{self, Access, MAX_SEGMENTS, Plan};
use crate::memory_map::{FLOOR, Kind, MAX_REGIONS, MemoryMap, PAGE, REACH};
use crate::paging::{self, Mapping, NoExecute, PageSize};
use crate::physical::Physical;
use crate::requests::{self, BASE_REVISION, RESPONSE, Request, Requests};
use crate::responses::{self, AREA, Facts, File};

/// The first stack has at least this many bytes (boot protocol, machine state at entry).
const LEAST_STACK: u64 = 64 << 10;

/// The kernel may ask for a first stack of this many bytes at most.
const MOST_STACK: u64 = 16 << 20;

/// The mappings: each region, each segment, and the page of the jump.
const MAX_MAPPINGS: usize = MAX_REGIONS + MAX_SEGMENTS + 1;

/// What the stub knows of itself and of the processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Machine {
    /// Where the stub lies: its first byte and the one after its last.
    pub stub: (u64, u64),
    /// The page of the stub with the code that loads the page tables and jumps.
    pub jump_page: u64,
    /// Whether pages can be made not executable.
    pub no_execute: NoExecute,
    /// The largest pages of the processor.
    pub largest_page: PageSize,
}

/// What the jump needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handoff {
    /// The page tables, physical.
    pub root: u64,
    /// The kernel's entry.
    pub entry: u64,
    /// The first stack's top, in the direct map; the eight bytes there are the return address 0.
    pub stack: u64,
    /// The segment descriptor table, in the direct map.
    pub descriptors: u64,
}

/// Loads the kernel and answers its requests.
///
/// # Errors
/// Everything that is wrong with the archive, the kernel, its requests, or the machine's memory.
pub fn prepare(
    memory: &mut impl Physical,
    info: BootInfo,
    machine: &Machine,
) -> Result<Handoff, Error> {
    let BootInfo {
        memory: mut map,
        module,
        command_line,
        rsdp,
        firmware,
    } = info;
    let choices = Choices::of(&command_line);
    map.order = choices.order();
    map.claim(machine.stub.0, machine.stub.1, Kind::Bootloader)?;
    let archive = take_archive(memory, &mut map, module)?;

    let bytes = memory
        .bytes(archive.start, archive.size)
        .ok_or(Error::ModuleOutside(module.0, module.1))?;
    let contents = archive::find(bytes)?;
    let kernel_file = slice(bytes, contents.kernel);
    let plan = kernel::plan(kernel_file).map_err(Error::Kernel)?;

    let loaded = load_kernel(memory, &mut map, &plan, archive.start + contents.kernel.0)?;
    let first_task = copy_file(
        memory,
        &mut map,
        &archive,
        contents.first_task,
        "/boot/bootstrap.img",
    )?;
    let no_room = Error::NoRoom("kernel", plan.span);
    let image = memory.bytes(loaded, plan.span).ok_or(no_room)?;
    let requests = requests::scan(image)?;
    let entry = entry(&plan, &requests)?;
    let file = match requests.at(Request::ExecutableFile) {
        Some(_) => Some(copy_file(
            memory,
            &mut map,
            &archive,
            contents.kernel,
            "/boot/kernel",
        )?),
        None => None,
    };

    let stack = take_stack(memory, &mut map, requests.stack_size)?;
    let area = map.allocate("responses", AREA, Kind::Bootloader)?;
    let direct_map = choices.direct_map();
    let root = build_tables(memory, &mut map, (&plan, loaded), (machine, direct_map))?;
    if choices == Choices::Odd {
        spoil(memory, &mut map)?;
    }
    let facts = Facts {
        regions: map.regions(),
        direct_map,
        command_line: &command_line,
        kernel: (loaded, plan.start),
        file,
        modules: [first_task, archive],
        rsdp,
        firmware,
    };
    let place = memory
        .bytes_mut(area, AREA)
        .ok_or(Error::NoRoom("responses", AREA))?;
    let written = responses::write(place, area, &facts)?;
    let image = memory.bytes_mut(loaded, plan.span).ok_or(no_room)?;
    answer(image, &requests, &written.answers);
    Ok(Handoff {
        root,
        entry,
        stack: direct_map + stack,
        descriptors: written.descriptors,
    })
}

/// Checks where the archive lies and claims it. One that does not begin at a page, or lies below [`FLOOR`] where all
/// is left to the kernel, is moved.
fn take_archive(
    memory: &mut impl Physical,
    map: &mut MemoryMap,
    (start, end): (u64, u64),
) -> Result<File, Error> {
    let outside = Error::ModuleOutside(start, end);
    if start > end || end > REACH || !map.is_usable(start, end) {
        return Err(outside);
    }
    let size = end - start;
    let path = "/boot/boot.tar";
    if start >= FLOOR && start.is_multiple_of(PAGE) {
        map.claim(start, end, Kind::Executable)?;
        return Ok(File { start, size, path });
    }
    // What is below FLOOR needs no claim: nothing is allocated there.
    map.claim(start.max(FLOOR), end, Kind::Bootloader)?;
    let moved = map.allocate("boot archive", size, Kind::Executable)?;
    memory.copy(start, moved, size).ok_or(outside)?;
    Ok(File {
        start: moved,
        size,
        path,
    })
}

/// Lays the segments out in one piece of physical memory and gives its address.
fn load_kernel(
    memory: &mut impl Physical,
    map: &mut MemoryMap,
    plan: &Plan,
    file: u64,
) -> Result<u64, Error> {
    let no_room = Error::NoRoom("kernel", plan.span);
    let loaded = map.allocate("kernel", plan.span, Kind::Executable)?;
    memory.bytes_mut(loaded, plan.span).ok_or(no_room)?.fill(0);
    for segment in &plan.segments {
        let to = loaded + (segment.start - plan.start);
        memory
            .copy(file + segment.file_offset, to, segment.file_size)
            .ok_or(no_room)?;
    }
    Ok(loaded)
}

/// Copies a file of the archive to pages of its own; what is left of the last one is undefined.
fn copy_file(
    memory: &mut impl Physical,
    map: &mut MemoryMap,
    archive: &File,
    (offset, size): (u64, u64),
    path: &'static str,
) -> Result<File, Error> {
    let no_room = Error::NoRoom(path, size);
    let start = map.allocate(path, size, Kind::Executable)?;
    let pages = size.max(1).next_multiple_of(PAGE);
    memory.bytes_mut(start, pages).ok_or(no_room)?.fill(JUNK);
    memory
        .copy(archive.start + offset, start, size)
        .ok_or(no_room)?;
    Ok(File { start, size, path })
}

fn entry(plan: &Plan, requests: &Requests) -> Result<u64, Error> {
    let entry = requests.entry.unwrap_or(plan.entry);
    if plan.is_code(entry) {
        Ok(entry)
    } else {
        Err(Error::EntryOutside(entry))
    }
}

/// Makes the first stack, with the return address 0 on it, and gives its top.
fn take_stack(memory: &mut impl Physical, map: &mut MemoryMap, asked: u64) -> Result<u64, Error> {
    if asked > MOST_STACK {
        return Err(Error::LargeStack(asked));
    }
    let size = asked.max(LEAST_STACK).next_multiple_of(PAGE);
    let start = map.allocate("first stack", size, Kind::Bootloader)?;
    let no_room = Error::NoRoom("first stack", size);
    let stack = memory.bytes_mut(start, size).ok_or(no_room)?;
    let (below, top) = stack.split_last_chunk_mut::<8>().ok_or(no_room)?;
    below.fill(JUNK);
    top.fill(0);
    Ok(start + size - 8)
}

/// Takes what is free below 1 MiB, and fills the rest with what nobody expects there.
fn spoil(memory: &mut impl Physical, map: &mut MemoryMap) -> Result<(), Error> {
    map.claim_low(Kind::Bootloader)?;
    for region in map.regions() {
        let (start, end) = (region.start.max(PAGE), region.end.min(REACH));
        if region.kind != Kind::Usable || start >= end {
            continue;
        }
        if let Some(bytes) = memory.bytes_mut(start, end - start) {
            bytes.fill(JUNK);
        }
    }
    Ok(())
}

fn build_tables(
    memory: &mut impl Physical,
    map: &mut MemoryMap,
    (plan, loaded): (&Plan, u64),
    (machine, direct_map): (&Machine, u64),
) -> Result<u64, Error> {
    let mut mappings: Vec<Mapping, MAX_MAPPINGS> = Vec::new();
    for region in map
        .regions()
        .iter()
        .filter(|region| region.kind.is_mapped())
    {
        let length = region.end - region.start;
        match mappings.last_mut() {
            Some(last) if last.physical + last.length == region.start => last.length += length,
            _ => mappings
                .push(Mapping {
                    address: direct_map + region.start,
                    physical: region.start,
                    length,
                    largest: machine.largest_page,
                    access: Access::Write,
                })
                .map_err(|_| Error::TooManyRegions)?,
        }
    }
    let mut add = |mapping| mappings.push(mapping).map_err(|_| Error::TooManyRegions);
    for segment in &plan.segments {
        let (address, end) = segment.pages();
        let (physical, length) = (loaded + (address - plan.start), end - address);
        add(Mapping {
            address,
            physical,
            length,
            largest: PageSize::Small,
            access: segment.access,
        })?;
    }
    add(Mapping {
        address: machine.jump_page,
        physical: machine.jump_page,
        length: PAGE,
        largest: PageSize::Small,
        access: Access::Execute,
    })?;
    paging::build(memory, map, &mappings, machine.no_execute)
}

/// Writes the answers' addresses, and what the base revision tag is answered with, into the kernel.
fn answer(image: &mut [u8], requests: &Requests, answers: &[(Request, u64)]) {
    for &(kind, address) in answers {
        if let Some(at) = requests.at(kind) {
            put(image, at + RESPONSE, address);
        }
    }
    put(image, requests.base_revision_tag + 8, BASE_REVISION);
    if requests.base_revision == BASE_REVISION {
        put(image, requests.base_revision_tag + 16, 0);
    }
}

fn put(image: &mut [u8], at: usize, word: u64) {
    if let Some(place) = image.get_mut(at..).and_then(|rest| rest.get_mut(..8)) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

fn slice(bytes: &[u8], (offset, size): (u64, u64)) -> &[u8] {
    let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
    range
        .and_then(|(offset, size)| bytes.get(offset..)?.get(..size))
        .unwrap_or_default()
}
