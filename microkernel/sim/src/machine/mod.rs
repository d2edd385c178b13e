//! [`SimMachine`]: the kernel's [`Machine`], made of ordinary data.
//!
//! It is deterministic, and stricter than hardware: what hardware would punish rarely is a panic here
//! at once. It watches that
//! - pages are used only while allocated, and freed once ([`memory`]),
//! - no CPU may go on with a mapping that was taken away ([`space`]), and no page is given back while a
//!   space that a CPU runs still maps it,
//! - no mapping is writable and executable, unaligned, or outside user space,
//! - a thread runs on one CPU at a time, and its frame is left alone while it runs on another one,
//! - at most 64 pages change per call where the interface says so.
//!
//! Deliberately absent: user code. Tests act as the threads (see [`crate::Sim`]).

pub mod memory;
pub mod space;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Arguments;
use std::ops::Range;

use abi::PAGE_SIZE;
use abi::thread_state::DebugState;
use abi::vm::{LARGE_PAGE_SIZE, MAX_ADDRESS, MIN_ADDRESS, protection};
use arena::Region;
use microkernel::machine::{
    Access, Caching, Cpu, Frame, FrameIndex, LARGE, Machine, NEVER, Next, OutOfPages, Page, Resume,
    Root, Time, Vectors,
};

use memory::Memory;
use space::{Spaces, lowest};

/// The most pages that one `unmap` or `protect` may touch.
const STEP: u64 = 64;

/// How large a machine is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// CPUs, 1 to 4.
    pub cpus: u32,
    /// Pages of memory.
    pub pages: u32,
    /// The most bytes that one arena can reserve.
    pub arena_bytes: usize,
    /// How many interrupt lines there are.
    pub lines: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            cpus: 1,
            pages: 4096,
            arena_bytes: 4 << 20,
            lines: 24,
        }
    }
}

/// One CPU, as far as it is not in [`Spaces`].
#[derive(Clone, Copy, Debug)]
struct Processor {
    running: Option<FrameIndex>,
    timer: Time,
    kicked: bool,
}

/// An access to an I/O port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortAccess {
    /// The port.
    pub port: u16,
    /// Bytes.
    pub width: u8,
    /// What was written; `None` for a read.
    pub written: Option<u32>,
}

/// The simulated machine.
pub struct SimMachine {
    /// Physical memory.
    pub memory: Memory,
    /// Address spaces and what CPUs cached of them.
    pub spaces: Spaces,
    /// Every line that the kernel logged.
    pub log: Vec<String>,
    /// Every access to an I/O port, in order.
    pub port_log: Vec<PortAccess>,
    /// What reads of an I/O port give; 0 where nothing is set.
    pub port_values: BTreeMap<u16, u32>,
    /// Whether the kernel switched the machine off.
    pub off: bool,
    /// How often it was told to start again, which it does not.
    pub resets: u32,
    /// Interrupts that asked CPUs to forget mappings.
    shootdowns: u64,
    size: Size,
    now: Time,
    frames: Vec<Option<Frame>>,
    /// Of threads that have any.
    vectors: BTreeMap<FrameIndex, Vectors>,
    /// Of threads that have any.
    debug: BTreeMap<FrameIndex, DebugState>,
    /// Frames made since the last look: a new thread has this index.
    created: Vec<FrameIndex>,
    processors: Vec<Processor>,
    /// The CPU whose event the kernel handles at the moment.
    inside: Option<Cpu>,
    unmasked: BTreeSet<u32>,
    raised: BTreeSet<u32>,
}

impl SimMachine {
    /// A machine that was just switched on.
    ///
    /// # Panics
    /// For a number of CPUs that is not 1 to 4.
    pub fn new(size: Size) -> Self {
        assert!((1..=4).contains(&size.cpus), "1 to 4 CPUs");
        let processor = Processor {
            running: None,
            timer: NEVER,
            kicked: false,
        };
        Self {
            memory: Memory::new(size.pages),
            spaces: Spaces::new(size.cpus),
            log: Vec::new(),
            port_log: Vec::new(),
            port_values: BTreeMap::new(),
            off: false,
            resets: 0,
            shootdowns: 0,
            size,
            now: 0,
            frames: Vec::new(),
            vectors: BTreeMap::new(),
            debug: BTreeMap::new(),
            created: Vec::new(),
            processors: vec![processor; size.cpus as usize],
            inside: None,
            unmasked: BTreeSet::new(),
            raised: BTreeSet::new(),
        }
    }

    /// All CPUs.
    pub fn cpus(&self) -> impl Iterator<Item = Cpu> + use<> {
        (0..self.size.cpus).map(Cpu)
    }

    /// Lets time pass.
    pub fn advance(&mut self, nanoseconds: u64) {
        self.now = self.now.saturating_add(nanoseconds);
    }

    /// When the next timer of any CPU goes off, or [`NEVER`].
    pub fn next_timer(&self) -> Time {
        self.processors
            .iter()
            .map(|processor| processor.timer)
            .min()
            .unwrap_or(NEVER)
    }

    /// When a CPU's timer goes off, or [`NEVER`].
    pub fn timer(&self, cpu: Cpu) -> Time {
        self.processors[cpu.0 as usize].timer
    }

    /// Takes a CPU's timer away if it is due: hardware fires once.
    pub fn take_due_timer(&mut self, cpu: Cpu) -> bool {
        let timer = &mut self.processors[cpu.0 as usize].timer;
        let due = *timer <= self.now;
        if due {
            *timer = NEVER;
        }
        due
    }

    /// Takes a CPU's kick away if there is one.
    pub fn take_kick(&mut self, cpu: Cpu) -> bool {
        std::mem::take(&mut self.processors[cpu.0 as usize].kicked)
    }

    /// Whether the CPU was kicked and has not looked yet.
    pub fn is_kicked(&self, cpu: Cpu) -> bool {
        self.processors[cpu.0 as usize].kicked
    }

    /// A device raises its line (level-triggered: it stays raised until [`lower`](Self::lower)).
    pub fn raise(&mut self, line: u32) {
        self.raised.insert(line);
    }

    /// A device is served and lowers its line.
    pub fn lower(&mut self, line: u32) {
        self.raised.remove(&line);
    }

    /// A raised line that may fire; masks it, as the entry code does.
    pub fn take_interrupt(&mut self) -> Option<u32> {
        let line = *self.raised.intersection(&self.unmasked).next()?;
        self.unmasked.remove(&line);
        Some(line)
    }

    /// Whether a line may fire.
    pub fn is_unmasked(&self, line: u32) -> bool {
        self.unmasked.contains(&line)
    }

    /// The thread that a CPU runs.
    pub fn running(&self, cpu: Cpu) -> Option<FrameIndex> {
        self.processors[cpu.0 as usize].running
    }

    /// Threads made since the last call.
    pub fn take_created(&mut self) -> Vec<FrameIndex> {
        std::mem::take(&mut self.created)
    }

    /// A thread's registers, for a look from outside.
    ///
    /// # Panics
    /// When there is no such thread.
    pub fn registers(&mut self, thread: FrameIndex) -> &mut Frame {
        match self.frames.get_mut(thread as usize) {
            Some(Some(frame)) => frame,
            _ => panic!("thread {thread} has no frame"),
        }
    }

    /// A CPU enters the kernel.
    pub(crate) fn enter(&mut self, cpu: Cpu) {
        assert_eq!(self.inside, None, "one CPU at a time is in the kernel");
        self.inside = Some(cpu);
    }

    /// The CPU leaves the kernel: what was to be flushed is flushed, pages leave quarantine, and the
    /// CPU goes on with `next`.
    pub(crate) fn leave(&mut self, cpu: Cpu, next: Next) {
        self.inside = None;
        self.shootdowns += self.spaces.ask(cpu);
        self.resume(cpu, next);
        self.spaces.check();
        if self.memory.has_quarantine() {
            self.check_reachable();
            self.memory.release_quarantine();
        }
    }

    fn resume(&mut self, cpu: Cpu, next: Next) {
        let thread = match next {
            Next::Run(thread) => thread,
            Next::Pass(thread) => {
                let from = self
                    .running(cpu)
                    .expect("words to pass are those of a thread");
                assert_ne!(from, thread, "a thread does not pass words to itself");
                self.registers(thread).words = self.registers(from).words;
                thread
            }
            Next::Idle | Next::Continue => {
                self.processors[cpu.0 as usize].running = None;
                // The CPU keeps the space loaded, as hardware does.
                return;
            }
        };
        for other in self.cpus().filter(|other| *other != cpu) {
            assert_ne!(
                self.running(other),
                Some(thread),
                "{other:?} already runs thread {thread}"
            );
        }
        self.processors[cpu.0 as usize].running = Some(thread);
        let frame = self.registers(thread);
        if frame.resume == Resume::Trap {
            (frame.rcx, frame.r11) = (frame.rip, frame.rflags);
        }
        let root = Root(frame.root);
        assert!(
            self.spaces.exists(root),
            "thread {thread} runs in {root:?}, which is gone"
        );
        self.spaces.load(cpu, Some(root));
    }

    /// Where a user access of a CPU leads; `None`: it faults.
    ///
    /// # Panics
    /// When it leads to a page that nobody has.
    pub fn translate(&mut self, cpu: Cpu, address: u64, access: Access) -> Option<Page> {
        let page = self.spaces.translate(cpu, address, access)?;
        assert!(
            self.memory.is_allocated(page),
            "{cpu:?} reaches the freed {page:?} through {address:#x}"
        );
        Some(page)
    }

    /// Checks that no CPU runs a space that leads to a page which was given back.
    fn check_reachable(&self) {
        for cpu in self.cpus().filter(|cpu| self.running(*cpu).is_some()) {
            for (address, page) in self.spaces.reachable(cpu) {
                assert!(
                    self.memory.is_allocated(page),
                    "{page:?} was freed, and {cpu:?} still reaches it at {address:#x}"
                );
            }
        }
    }
}

fn check_range(range: &Range<u64>, limit: u64) {
    assert!(
        range.start.is_multiple_of(PAGE_SIZE)
            && range.end.is_multiple_of(PAGE_SIZE)
            && range.start <= range.end,
        "{range:x?} is no range of pages"
    );
    assert!(
        range.start >= MIN_ADDRESS && range.end <= MAX_ADDRESS,
        "{range:x?} lies outside user space"
    );
    let pages = (range.end - range.start) / PAGE_SIZE;
    assert!(pages <= limit, "{pages} pages in one step");
}

/// What changes in one step is small, or a large page.
fn check_step(range: &Range<u64>) {
    check_range(range, if is_large(range) { LARGE } else { STEP });
}

fn is_large(range: &Range<u64>) -> bool {
    range.start.is_multiple_of(LARGE_PAGE_SIZE) && range.end - range.start == LARGE_PAGE_SIZE
}

impl SimMachine {
    /// What is a thread's alone may be touched by the CPU in the kernel only, and while no other one runs it.
    fn assert_free(&self, thread: FrameIndex) {
        for cpu in self.cpus().filter(|cpu| Some(*cpu) != self.inside) {
            assert_ne!(
                self.running(cpu),
                Some(thread),
                "registers of a thread that runs on {cpu:?}"
            );
        }
    }
}

impl Machine for SimMachine {
    fn reserve(&mut self, bytes: usize) -> Region {
        Region::on_heap(bytes.min(self.size.arena_bytes))
    }

    fn now(&mut self) -> Time {
        self.now
    }

    fn set_timer(&mut self, cpu: Cpu, deadline: Time) {
        self.processors[cpu.0 as usize].timer = deadline;
    }

    fn kick(&mut self, cpu: Cpu) {
        assert_ne!(Some(cpu), self.inside, "a CPU kicks itself");
        self.processors[cpu.0 as usize].kicked = true;
    }

    fn frame(&mut self, thread: FrameIndex) -> &mut Frame {
        self.assert_free(thread);
        self.registers(thread)
    }

    fn create_frame(&mut self, thread: FrameIndex) -> Result<(), OutOfPages> {
        let index = thread as usize;
        if self.frames.len() <= index {
            self.frames.resize(index + 1, None);
        }
        self.frames[index] = Some(Frame::default());
        self.vectors.remove(&thread);
        self.debug.remove(&thread);
        self.created.push(thread);
        Ok(())
    }

    fn vectors(&mut self, thread: FrameIndex) -> Vectors {
        self.assert_free(thread);
        self.vectors.get(&thread).copied().unwrap_or(Vectors::CLEAN)
    }

    fn set_vectors(&mut self, thread: FrameIndex, vectors: &Vectors) -> Result<(), OutOfPages> {
        self.assert_free(thread);
        self.vectors.insert(thread, *vectors);
        Ok(())
    }

    fn debug_state(&mut self, thread: FrameIndex) -> DebugState {
        self.assert_free(thread);
        self.debug.get(&thread).copied().unwrap_or_default()
    }

    fn set_debug_state(&mut self, thread: FrameIndex, state: &DebugState) {
        self.assert_free(thread);
        self.debug.insert(thread, *state);
    }

    fn allocate_page(&mut self) -> Option<Page> {
        self.memory.allocate()
    }

    fn free_page(&mut self, page: Page) {
        self.memory.free(page);
    }

    fn allocate_large(&mut self) -> Option<Page> {
        self.memory.allocate_large()
    }

    fn free_large(&mut self, first: Page) {
        assert!(u64::from(first.0).is_multiple_of(LARGE), "no large page");
        for page in 0..LARGE as u32 {
            self.memory.free(Page(first.0 + page));
        }
    }

    fn free_pages(&self) -> u64 {
        self.memory.available()
    }

    fn zero_page(&mut self, page: Page) {
        self.memory.content_mut(page).fill(0);
    }

    fn copy(&mut self, from: (Page, usize), to: (Page, usize), length: usize) {
        let bytes = self.memory.content(from.0)[from.1..from.1 + length].to_vec();
        self.memory.content_mut(to.0)[to.1..to.1 + length].copy_from_slice(&bytes);
    }

    fn read(&mut self, from: (Page, usize), bytes: &mut [u8]) {
        let content = self.memory.content(from.0);
        bytes.copy_from_slice(&content[from.1..from.1 + bytes.len()]);
    }

    fn write(&mut self, to: (Page, usize), bytes: &[u8]) {
        let content = self.memory.content_mut(to.0);
        content[to.1..to.1 + bytes.len()].copy_from_slice(bytes);
    }

    fn read_u32(&mut self, from: (Page, usize)) -> u32 {
        assert!(from.1.is_multiple_of(4), "a misaligned word");
        let mut bytes = [0; 4];
        self.read(from, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn create_space(&mut self) -> Result<Root, OutOfPages> {
        let table = self.memory.allocate().ok_or(OutOfPages)?;
        Ok(self.spaces.create(table))
    }

    fn destroy_space(&mut self, root: Root) -> bool {
        let inside = self.inside;
        for cpu in self.cpus().filter(|cpu| Some(*cpu) != inside) {
            if let Some(thread) = self.running(cpu) {
                assert_ne!(
                    self.registers(thread).root,
                    root.0,
                    "{cpu:?} runs in {root:?}"
                );
            }
        }
        match self.spaces.dismantle(root) {
            None => true,
            Some(pages) => {
                for page in pages {
                    self.memory.free(page);
                }
                self.spaces.tables(root) == 0 && self.spaces.dismantle(root).is_none()
            }
        }
    }

    fn map(
        &mut self,
        root: Root,
        address: u64,
        page: Page,
        allowed: u32,
        _caching: Caching,
    ) -> Result<(), OutOfPages> {
        check_range(&(address..address + PAGE_SIZE), 1);
        let both = protection::WRITE | protection::EXECUTE;
        assert_ne!(
            allowed & both,
            both,
            "{address:#x} is writable and executable"
        );
        let missing = self.spaces.missing_tables(root, address);
        if (self.memory.available() as usize) < missing.len() {
            return Err(OutOfPages);
        }
        for key in missing {
            let table = self.memory.allocate().ok_or(OutOfPages)?;
            self.spaces.add_table(root, key, table);
        }
        self.spaces.map(root, address, (page, allowed));
        Ok(())
    }

    fn map_large(
        &mut self,
        root: Root,
        address: u64,
        first: Page,
        allowed: u32,
        caching: Caching,
    ) -> Result<bool, OutOfPages> {
        let range = address..address + LARGE_PAGE_SIZE;
        assert!(
            is_large(&range) && u64::from(first.0).is_multiple_of(LARGE),
            "{address:#x} or {first:?} is no large page's"
        );
        let table = self.spaces.lowest_table(root, address);
        if let Some(old) = table.filter(|_| !self.spaces.is_large(root, address)) {
            let new = self.memory.allocate().ok_or(OutOfPages)?;
            self.memory.free(old);
            self.spaces.add_table(root, lowest(address), new);
        }
        for (page, address) in (first.0..).zip(range.step_by(PAGE_SIZE as usize)) {
            self.map(root, address, Page(page), allowed, caching)?;
        }
        self.spaces.set_large(root, address);
        Ok(table.is_some())
    }

    fn large_pages(&self, root: Root) -> u64 {
        self.spaces.large_pages(root)
    }

    fn is_large(&self, root: Root, address: u64) -> bool {
        self.spaces.is_large(root, address)
    }

    fn unmap(&mut self, root: Root, range: Range<u64>) {
        check_step(&range);
        self.spaces.unmap(root, range);
    }

    fn detach(&mut self, root: Root, range: Range<u64>) -> Result<(), OutOfPages> {
        check_range(&range, u64::MAX);
        // It holds those that are set aside.
        let table = self.memory.allocate().ok_or(OutOfPages)?;
        self.spaces.detach(root, &range, table);
        Ok(())
    }

    fn free_detached(&mut self, root: Root) -> bool {
        let few = self.spaces.take_detached(root);
        let none = few.is_empty();
        few.into_iter().for_each(|page| self.memory.free(page));
        none
    }

    fn protect(&mut self, root: Root, range: Range<u64>, protection: u32) {
        check_step(&range);
        self.spaces.protect(root, range, protection);
    }

    fn flush(&mut self, root: Root, range: Range<u64>) {
        self.spaces.flush(root, &range);
    }

    fn shootdowns(&self) -> u64 {
        self.shootdowns
    }

    fn table_pages(&self, root: Root) -> u64 {
        self.spaces.tables(root)
    }

    fn port_read(&mut self, port: u16, width: u8) -> u32 {
        self.port_log.push(PortAccess {
            port,
            width,
            written: None,
        });
        self.port_values.get(&port).copied().unwrap_or(0)
    }

    fn port_write(&mut self, port: u16, width: u8, value: u32) {
        self.port_log.push(PortAccess {
            port,
            width,
            written: Some(value),
        });
    }

    fn unmask_interrupt(&mut self, line: u32) -> bool {
        if line < self.size.lines {
            self.unmasked.insert(line);
        }
        line < self.size.lines
    }

    fn is_device_memory(&self, pages: Range<Page>) -> bool {
        pages.start.0 >= self.size.pages && pages.start < pages.end
    }

    fn mask_interrupt(&mut self, line: u32) -> bool {
        self.unmasked.remove(&line);
        line < self.size.lines
    }

    fn log(&mut self, text: Arguments<'_>) {
        self.log.push(text.to_string());
    }

    fn power_off(&mut self) {
        self.off = true;
    }

    fn reset(&mut self) {
        self.resets += 1;
    }
}
