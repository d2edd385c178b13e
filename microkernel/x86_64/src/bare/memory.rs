//! Physical memory and the kernel's own mappings.
//!
//! One small lock guards free frames and the shared upper half. It is taken inside the kernel lock (arenas
//! grow while the kernel runs) and never the other way round; nobody waits for another CPU while holding it.

use core::ops::Range;
use core::ptr::NonNull;

use arena::Region;
use ksync::Lock;
use microkernel::machine::{Cpu, MAX_CPUS, OutOfPages};
use microkernel_x86_64::blocks::{Blocks, Use};
use microkernel_x86_64::contexts::Contexts;
use microkernel_x86_64::frames::Frames;
use microkernel_x86_64::layout::{
    ARENAS, ARENAS_SIZE, DEVICES, DIRECT, IMAGE, LARGE_PAGE, PAGE, SHARED_ENTRIES, STACKS,
    THREAD_SIZE, THREADS,
};
use microkernel_x86_64::memory_map::Ranges;
use microkernel_x86_64::physical::Physical;
use microkernel_x86_64::tables::{NoTable, TablePages, Tables, flags};

/// Pages of a CPU's stack for traps. The kernel, made at boot, passes through the first CPU's by value.
const STACK_PAGES: u64 = 64;
/// Pages of each stack for faults that may come anywhere.
const FAULT_STACK_PAGES: u64 = 4;
/// Stacks of that kind: NMI, double fault, machine check.
pub(crate) const FAULT_STACKS: usize = 4;
/// Addresses for each CPU's stacks.
const STACK_STRIDE: u64 = 128 * PAGE;
/// Addresses left free between two arenas, so that running over an end is a fault.
const ARENA_GAP: u64 = 1 << 20;

/// Where CPUs can start.
const LOW: u64 = 1 << 20;

/// Physical memory, as it is mapped at some offset.
#[derive(Clone, Copy)]
pub(crate) struct Direct {
    offset: u64,
}

impl Direct {
    /// The kernel's own direct map.
    pub(crate) const KERNEL: Self = Self { offset: DIRECT };

    #[inline(always)]
    fn pointer(self, address: u64) -> *mut u64 {
        (self.offset + address) as *mut u64
    }
}

impl Physical for Direct {
    #[inline(always)]
    fn load(&self, address: u64) -> u64 {
        // SAFETY: tables and free pages are RAM, all of which is mapped at the offset. The hardware may
        // set bits of an entry meanwhile, so the access is volatile.
        unsafe { self.pointer(address).read_volatile() }
    }

    #[inline(always)]
    fn store(&mut self, address: u64, value: u64) {
        // SAFETY: as in `load`; the caller owns the page.
        unsafe { self.pointer(address).write_volatile(value) };
    }

    #[inline(always)]
    fn clear_page(&mut self, address: u64) {
        // SAFETY: as in `store`.
        unsafe { self.pointer(address).write_bytes(0, 512) };
    }
}

/// Frames and the kernel's tables.
pub(crate) struct Memory {
    frames: Frames,
    direct: Direct,
    /// The root whose upper half all others share, and whose lower half is empty.
    root: u64,
    /// A page below 1 MiB, kept from being used otherwise.
    low_page: Option<u64>,
    /// Pages behind the kernel's own mappings, their tables included. They are never given back.
    kept: u64,
    next_arena: u64,
    next_device: u64,
    /// Memory, and the devices that the kernel drives itself: nobody else gets a window on them.
    own: Ranges,
    pub(crate) contexts: Contexts,
}

pub(crate) static MEMORY: Lock<Memory> = Lock::new(Memory {
    frames: Frames::new(),
    direct: Direct::KERNEL,
    root: 0,
    low_page: None,
    kept: 0,
    next_arena: ARENAS,
    next_device: DEVICES,
    own: Ranges::new(),
    contexts: Contexts::new(),
});

/// Pages for the kernel's own tables, which are never given back.
struct KernelTables<'a> {
    frames: &'a mut Frames,
    kept: &'a mut u64,
    direct: Direct,
}

impl TablePages for KernelTables<'_> {
    fn allocate(&mut self) -> Option<u64> {
        let page = self.frames.allocate(&mut self.direct, Use::Kernel)?;
        *self.kept += 1;
        Some(page)
    }

    fn release(&mut self, page: u64) {
        self.frames.free_page(&mut self.direct, page);
        *self.kept -= 1;
    }
}

/// The parts of the kernel image.
pub(crate) struct Sections {
    pub(crate) text_end: u64,
    pub(crate) constants_end: u64,
    pub(crate) end: u64,
}

impl Memory {
    /// Makes the kernel's tables, while the boot loader's are in use with RAM mapped at `offset`.
    ///
    /// # Errors
    /// Not enough memory.
    pub(crate) fn build(
        &mut self,
        offset: u64,
        usable: &Ranges,
        all: &Ranges,
        image: (u64, &Sections),
    ) -> Result<(), NoTable> {
        self.direct = Direct { offset };
        self.own = all.clone();
        let mut usable = usable.clone();
        self.low_page = take_low_page(&mut usable);
        let end = all.iter().map(|range| range.end).max().ok_or(NoTable)?;
        let table = usable.take(Blocks::bytes(end), LOW..end).ok_or(NoTable)?;
        self.frames.set_table(&mut self.direct, table);
        self.frames.add(&usable);
        self.root = self.allocate(Use::Kernel).ok_or(NoTable)?;
        self.direct.clear_page(self.root);
        for range in all.iter() {
            self.map_direct(range.start, range.end - range.start)?;
        }
        for entry in SHARED_ENTRIES {
            self.with_tables(|tables, root, pages| tables.share(root, entry, pages))?;
        }
        // The second half of the range of thread frames.
        self.with_tables(|tables, root, pages| tables.share(root, THREADS + (512 << 30), pages))?;
        let (physical, sections) = image;
        let parts = [
            (IMAGE, sections.text_end, flags::CODE),
            (sections.text_end, sections.constants_end, flags::CONSTANT),
            (sections.constants_end, sections.end, flags::DATA),
        ];
        for (start, end, kind) in parts {
            for address in (start..end).step_by(PAGE as usize) {
                self.map(address, (physical + (address - IMAGE)) | kind)?;
            }
        }
        Ok(())
    }

    /// The boot loader's tables are not used any more.
    pub(crate) fn take_over(&mut self) {
        self.direct = Direct::KERNEL;
    }

    /// The boot loader's memory is free too. On UEFI machines all that is low may be in it.
    pub(crate) fn add(&mut self, ranges: &Ranges) {
        let mut ranges = ranges.clone();
        if self.low_page.is_none() {
            self.low_page = take_low_page(&mut ranges);
        }
        self.frames.add(&ranges);
    }

    /// Reaches a range of physical memory through the direct map from now on.
    ///
    /// # Errors
    /// No page for a table.
    pub(crate) fn map_direct(&mut self, start: u64, length: u64) -> Result<(), NoTable> {
        let first = start / LARGE_PAGE * LARGE_PAGE;
        for address in (first..start + length).step_by(LARGE_PAGE as usize) {
            let entry = address | flags::DATA;
            self.with_tables(|tables, root, pages| {
                tables.map_large(root, DIRECT + address, entry, pages)
            })?;
        }
        Ok(())
    }

    /// Maps a page of device registers; answers where.
    ///
    /// # Errors
    /// No page for a table.
    pub(crate) fn map_device(&mut self, address: u64) -> Result<u64, NoTable> {
        let place = self.next_device;
        self.map(place, address & flags::ADDRESS | flags::DEVICE)?;
        self.next_device += PAGE;
        self.own
            .add(address / PAGE * PAGE..address / PAGE * PAGE + PAGE);
        Ok(place + address % PAGE)
    }

    /// Whether a range is neither memory nor a device that the kernel drives itself.
    pub(crate) fn is_device_memory(&self, range: &Range<u64>) -> bool {
        !self.own.touches(range) && self.own.lost() == 0
    }

    /// Maps a CPU's stacks; answers where they begin (their upper ends): the one for traps first.
    ///
    /// # Errors
    /// Not enough memory.
    pub(crate) fn map_stacks(&mut self, cpu: Cpu) -> Result<[u64; 1 + FAULT_STACKS], NoTable> {
        let mut address = STACKS + u64::from(cpu.0) * STACK_STRIDE;
        let mut ends = [0; 1 + FAULT_STACKS];
        for (index, end) in ends.iter_mut().enumerate() {
            let pages = if index == 0 {
                STACK_PAGES
            } else {
                FAULT_STACK_PAGES
            };
            // The page below each stack stays empty.
            address += PAGE;
            for _ in 0..pages {
                self.map_new(address)?;
                address += PAGE;
            }
            *end = address;
        }
        Ok(ends)
    }

    /// Puts a zeroed page behind an address of the kernel, if none is there.
    fn map_new(&mut self, address: u64) -> Result<(), NoTable> {
        if Tables::new(&mut self.direct)
            .entry(self.root, address)
            .is_some()
        {
            return Ok(());
        }
        let page = self.allocate(Use::Kernel).ok_or(NoTable)?;
        self.direct.clear_page(page);
        let result = self.map(address, page | flags::DATA);
        match result {
            Ok(()) => self.kept += 1,
            Err(NoTable) => self.frames.free_page(&mut self.direct, page),
        }
        result
    }

    fn map(&mut self, address: u64, entry: u64) -> Result<(), NoTable> {
        self.with_tables(|tables, root, pages| tables.map(root, address, entry, pages).map(|_| ()))
    }

    /// Maps a page at its physical address, executable, or takes that mapping away again: for the code
    /// that CPUs start in.
    ///
    /// # Errors
    /// No page for a table.
    pub(crate) fn map_identity(&mut self, page: u64, entry: u64) -> Result<(), NoTable> {
        self.map(page, if entry == 0 { 0 } else { page | entry })
    }

    fn with_tables<T>(
        &mut self,
        work: impl FnOnce(&mut Tables<'_, Direct>, u64, &mut KernelTables<'_>) -> T,
    ) -> T {
        let mut pages = KernelTables {
            frames: &mut self.frames,
            kept: &mut self.kept,
            direct: self.direct,
        };
        work(&mut Tables::new(&mut self.direct), self.root, &mut pages)
    }

    /// The kernel's own root.
    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    /// The page below 1 MiB that was kept for starting CPUs.
    pub(crate) fn low_page(&self) -> Option<u64> {
        self.low_page
    }

    /// A page, its content undefined.
    pub(crate) fn allocate(&mut self, purpose: Use) -> Option<u64> {
        self.frames.allocate(&mut self.direct, purpose)
    }

    /// A large page, its content undefined.
    pub(crate) fn allocate_large(&mut self) -> Option<u64> {
        self.frames.allocate_large(&mut self.direct)
    }

    /// Takes a page back that no CPU has mappings of.
    pub(crate) fn free(&mut self, page: u64) {
        self.frames.free_page(&mut self.direct, page);
    }

    /// As [`free`](Self::free), a large one.
    pub(crate) fn free_large(&mut self, page: u64) {
        self.frames.free_large(&mut self.direct, page);
    }

    /// How many pages are free.
    pub(crate) fn free_pages(&self) -> u64 {
        self.frames.free()
    }

    /// How many pages the kernel has for itself, for ever.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    /// A range of addresses for an arena that should hold `bytes`; less when there are not so many left.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Region {
        let left = ARENAS + ARENAS_SIZE - self.next_arena;
        let size = (bytes as u64)
            .saturating_add(PAGE - 1)
            .min(left.saturating_sub(ARENA_GAP))
            / PAGE
            * PAGE;
        let base = NonNull::new(self.next_arena as *mut u8).unwrap_or(NonNull::dangling());
        self.next_arena += (size + ARENA_GAP).min(left);
        // SAFETY: (1) the range is page-aligned, and `next_arena` has moved past it for good.
        // (2) `commit` maps zeroed frames, and takes the lock that makes it callable anywhere.
        unsafe { Region::new(base, size as usize, commit) }
    }
}

/// A page below 1 MiB.
fn take_low_page(ranges: &mut Ranges) -> Option<u64> {
    ranges.take(PAGE, PAGE..LOW).map(|page| page.start)
}

/// Puts zeroed memory behind a part of an arena's range.
fn commit(base: NonNull<u8>, bytes: usize) -> bool {
    let start = base.as_ptr() as u64;
    let mut memory = MEMORY.lock();
    // Pages that were mapped before memory ran out stay: the next attempt finds them.
    (start..start + bytes as u64)
        .step_by(PAGE as usize)
        .all(|address| memory.map_new(address).is_ok())
}

/// Puts memory behind the place of a thread's frame.
///
/// # Errors
/// [`OutOfPages`]: nothing changed.
pub(crate) fn map_thread(thread: u32) -> Result<(), OutOfPages> {
    let address = THREADS + u64::from(thread) * THREAD_SIZE;
    MEMORY
        .lock()
        .map_new(address / PAGE * PAGE)
        .map_err(|NoTable| OutOfPages)
}

/// The stack that an address lies in, or that it has overflowed from: from its lower to its upper end.
pub(crate) fn stack_around(address: u64) -> Option<Range<u64>> {
    let offset = address.checked_sub(STACKS)?;
    if offset >= MAX_CPUS as u64 * STACK_STRIDE {
        return None;
    }
    let mut guard = STACKS + offset / STACK_STRIDE * STACK_STRIDE;
    for index in 0..=FAULT_STACKS {
        let pages = if index == 0 {
            STACK_PAGES
        } else {
            FAULT_STACK_PAGES
        };
        let stack = guard + PAGE..guard + PAGE + pages * PAGE;
        if (guard..stack.end).contains(&address) {
            return Some(stack);
        }
        guard = stack.end;
    }
    None
}
