//! [`Hardware`]: the machine as the kernel sees it.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering;

use abi::thread_state::DebugState;
use arena::Region;
use microkernel::machine::{
    Caching, Cpu, Frame, FrameIndex, Machine, OutOfPages, Page, Root, Time, Vectors,
};
use microkernel_x86_64::acpi::Acpi;
use microkernel_x86_64::blocks::Use;
use microkernel_x86_64::contexts::{context_of, table_of};
use microkernel_x86_64::layout::{MAX_THREADS, PAGE};
use microkernel_x86_64::tables::{NoTable, TablePages, Tables, user_entry};

use super::cpu::features;
use super::interrupts::number;
use super::io_apic::Interrupts;
use super::log::{self, Ending};
use super::memory::{self, Direct, MEMORY};
use super::percpu::{self, PerCpu};
use super::time::Clocks;
use super::{apic, debug, exit, lock, ports, shootdown, stretch, user_memory, vector};

/// What the kernel lock guards of the machine.
pub(crate) struct Hardware {
    pub(crate) time: Clocks,
    interrupts: Interrupts,
}

/// Pages for tables of user memory.
struct UserTables<'a>(&'a PerCpu);

impl TablePages for UserTables<'_> {
    fn allocate(&mut self) -> Option<u64> {
        MEMORY.lock().allocate(Use::Kernel)
    }

    fn release(&mut self, page: u64) {
        shootdown::quarantine_table(self.0, page);
    }
}

fn address_of(page: Page) -> u64 {
    u64::from(page.0) * PAGE
}

impl Hardware {
    /// Nothing found yet.
    pub(crate) const fn new() -> Self {
        Self {
            time: Clocks::new(),
            interrupts: Interrupts::new(),
        }
    }

    /// Starts clock and interrupt controllers.
    ///
    /// # Errors
    /// The machine has no clock.
    pub(crate) fn set_up(&mut self, acpi: &Acpi) -> Result<(), &'static str> {
        let mut memory = MEMORY.lock();
        self.interrupts.set_up(acpi, &mut memory);
        self.time.set_up(acpi, &mut memory)
    }

    /// A device's line fired; whether the kernel hears of it.
    pub(crate) fn line_fired(&mut self, line: u32) -> bool {
        self.interrupts.fired(line)
    }
}

impl Machine for Hardware {
    fn reserve(&mut self, bytes: usize) -> Region {
        MEMORY.lock().reserve(bytes)
    }

    fn now(&mut self) -> Time {
        self.time.now()
    }

    fn set_timer(&mut self, cpu: Cpu, deadline: Time) {
        let area = percpu::of(cpu);
        let deadline = deadline.min(self.time.latest(cpu));
        let before = area.deadline.swap(deadline, Ordering::Relaxed);
        if deadline >= before {
            return;
        }
        if cpu == percpu::number() {
            self.time.program(area);
        } else {
            apic::interrupt(cpu, number::DEADLINE);
        }
    }

    fn kick(&mut self, cpu: Cpu) {
        apic::interrupt(cpu, number::KICK);
    }

    #[inline(always)]
    fn frame(&mut self, thread: FrameIndex) -> &mut Frame {
        // SAFETY: the range of frames covers every index. The frame is this CPU's thread's, or of one
        // that runs nowhere (contract), and `&mut self` is held under the kernel lock.
        unsafe { &mut *exit::frame_of(thread) }
    }

    fn create_frame(&mut self, thread: FrameIndex) -> Result<(), OutOfPages> {
        if thread >= MAX_THREADS {
            return Err(OutOfPages);
        }
        memory::map_thread(thread)?;
        vector::reset(percpu::this(), thread);
        Ok(())
    }

    fn vectors(&mut self, thread: FrameIndex) -> Vectors {
        vector::get(thread)
    }

    fn set_vectors(&mut self, thread: FrameIndex, vectors: &Vectors) -> Result<(), OutOfPages> {
        vector::set(thread, vectors)
    }

    fn debug_state(&mut self, thread: FrameIndex) -> DebugState {
        debug::get(thread)
    }

    fn set_debug_state(&mut self, thread: FrameIndex, state: &DebugState) {
        debug::set(thread, state);
    }

    fn allocate_page(&mut self) -> Option<Page> {
        let address = MEMORY.lock().allocate(Use::Programs)?;
        // Memory beyond what a page number reaches is not used.
        Some(Page((address / PAGE) as u32))
    }

    fn free_page(&mut self, page: Page) {
        shootdown::quarantine(percpu::this(), address_of(page));
    }

    fn allocate_large(&mut self) -> Option<Page> {
        let address = MEMORY.lock().allocate_large()?;
        Some(Page((address / PAGE) as u32))
    }

    fn free_large(&mut self, first: Page) {
        shootdown::quarantine_large(percpu::this(), address_of(first));
    }

    fn free_pages(&self) -> u64 {
        MEMORY.lock().free_pages()
    }

    fn kept_pages(&self) -> u64 {
        MEMORY.lock().kept()
    }

    fn zero_page(&mut self, page: Page) {
        user_memory::zero(page);
    }

    #[inline(always)]
    fn copy(&mut self, from: (Page, usize), to: (Page, usize), length: usize) {
        user_memory::copy(from, to, length);
    }

    fn read(&mut self, from: (Page, usize), bytes: &mut [u8]) {
        user_memory::read(from, bytes);
    }

    #[inline(always)]
    fn write(&mut self, to: (Page, usize), bytes: &[u8]) {
        user_memory::write(to, bytes);
    }

    #[inline(always)]
    fn read_words<const COUNT: usize>(&mut self, from: (Page, usize)) -> [u64; COUNT] {
        user_memory::read_words(from)
    }

    #[inline(always)]
    fn write_words<const COUNT: usize>(&mut self, to: (Page, usize), words: [u64; COUNT]) {
        user_memory::write_words(to, words);
    }

    fn read_u32(&mut self, from: (Page, usize)) -> u32 {
        user_memory::read_u32(from)
    }

    fn create_space(&mut self) -> Result<Root, OutOfPages> {
        let template = MEMORY.lock().root();
        let mut pages = UserTables(percpu::this());
        let root = Tables::new(&mut { Direct::KERNEL }).create(template, &mut pages);
        let table = root.map_err(|NoTable| OutOfPages)?;
        if !features().pcid {
            return Ok(Root(table));
        }
        Ok(Root(MEMORY.lock().contexts.tag(table)))
    }

    fn destroy_space(&mut self, root: Root) -> bool {
        let area = percpu::this();
        shootdown::add_all(area, root.0);
        let mut memory = Direct::KERNEL;
        let gone = Tables::new(&mut memory).destroy_step(table_of(root.0), &mut UserTables(area));
        if gone {
            shootdown::retire(area, context_of(root.0));
        }
        gone
    }

    fn map(
        &mut self,
        root: Root,
        address: u64,
        page: Page,
        protection: u32,
        caching: Caching,
    ) -> Result<(), OutOfPages> {
        let entry = user_entry(address_of(page), protection, caching).unwrap_or(0);
        let mut pages = UserTables(percpu::this());
        let old =
            Tables::new(&mut { Direct::KERNEL }).map(table_of(root.0), address, entry, &mut pages);
        old.map(|_| ()).map_err(|NoTable| OutOfPages)
    }

    fn map_large(
        &mut self,
        root: Root,
        address: u64,
        first: Page,
        protection: u32,
        caching: Caching,
    ) -> Result<bool, OutOfPages> {
        let Some(entry) = user_entry(address_of(first), protection, caching) else {
            return Ok(false);
        };
        let mut memory = Direct::KERNEL;
        let (mut tables, root) = (Tables::new(&mut memory), table_of(root.0));
        let mut pages = UserTables(percpu::this());
        let mapped = tables.map_splittable(root, address, entry, &mut pages);
        mapped.map_err(|NoTable| OutOfPages)
    }

    fn large_pages(&self, root: Root) -> u64 {
        Tables::new(&mut { Direct::KERNEL }).large_pages(table_of(root.0))
    }

    fn is_large(&self, root: Root, address: u64) -> bool {
        Tables::new(&mut { Direct::KERNEL }).is_large(table_of(root.0), address)
    }

    fn unmap(&mut self, root: Root, range: Range<u64>) {
        Tables::new(&mut { Direct::KERNEL }).unmap(table_of(root.0), range);
    }

    fn detach(&mut self, root: Root, range: Range<u64>) -> Result<(), OutOfPages> {
        let area = percpu::this();
        shootdown::add_all(area, root.0);
        let mut pages = UserTables(area);
        let detached =
            Tables::new(&mut { Direct::KERNEL }).detach(table_of(root.0), range, &mut pages);
        detached.map_err(|NoTable| OutOfPages)
    }

    fn free_detached(&mut self, root: Root) -> bool {
        let mut pages = UserTables(percpu::this());
        Tables::new(&mut { Direct::KERNEL }).free_aside(table_of(root.0), &mut pages)
    }

    fn protect(&mut self, root: Root, range: Range<u64>, protection: u32) {
        Tables::new(&mut { Direct::KERNEL }).protect(table_of(root.0), range, protection);
    }

    fn flush(&mut self, root: Root, range: Range<u64>) {
        shootdown::add(percpu::this(), root.0, range);
    }

    fn shootdowns(&self) -> u64 {
        shootdown::asked()
    }

    fn table_pages(&self, root: Root) -> u64 {
        Tables::new(&mut { Direct::KERNEL }).count(table_of(root.0))
    }

    fn port_read(&mut self, port: u16, width: u8) -> u32 {
        ports::read(port, width)
    }

    fn port_write(&mut self, port: u16, width: u8, value: u32) {
        ports::write(port, width, value);
        stretch::written(port, value);
    }

    fn unmask_interrupt(&mut self, line: u32) -> bool {
        self.interrupts.unmask(line)
    }

    fn is_device_memory(&self, pages: Range<Page>) -> bool {
        let range = address_of(pages.start)..address_of(pages.end);
        MEMORY.lock().is_device_memory(&range)
    }

    fn mask_interrupt(&mut self, line: u32) -> bool {
        self.interrupts.mask(line)
    }

    fn log(&mut self, text: fmt::Arguments<'_>) {
        log::line(text);
    }

    fn power_off(&mut self) {
        lock::report();
        log::end(Ending::Finished)
    }

    fn reset(&mut self) {
        log::restart()
    }
}
