//! A machine of memory alone, which notices what real hardware would suffer silently: a page freed while it is
//! mapped, a mapping taken away without a flush, memory mapped writable and executable.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::thread_state::DebugState;
use abi::vm::{LARGE_PAGE_SIZE, protection};
use arena::Region;

use crate::machine::{
    Caching, Cpu, Frame, FrameIndex, LARGE, Machine, OutOfPages, Page, Root, Time, Vectors,
};

const BYTES: usize = PAGE_SIZE as usize;

/// The most that an arena of a test holds.
const ARENA_BYTES: usize = 96 * 1024;

/// Pages from here on are never allocated: archive and devices.
pub(super) const PHYSICAL: u32 = 1 << 20;

#[derive(Default)]
pub(super) struct Space {
    pub(super) mapped: BTreeMap<u64, (Page, u32, Caching)>,
    tables: BTreeSet<(u32, u64)>,
    /// How many were set aside.
    detached: u64,
    stale: BTreeSet<u64>,
    /// Where large pages lie of which no part was changed.
    pub(super) large: BTreeSet<u64>,
}

impl Space {
    fn split(&mut self, range: Range<u64>) {
        self.large
            .retain(|large| *large + LARGE_PAGE_SIZE <= range.start || range.end <= *large);
    }
}

/// What changes in one step is small, or a large page.
fn check_step(range: &Range<u64>) {
    let small = range.end - range.start <= 64 * PAGE_SIZE;
    assert!(small || is_large(range), "more than 64 pages");
}

fn is_large(range: &Range<u64>) -> bool {
    range.start.is_multiple_of(LARGE_PAGE_SIZE) && range.end - range.start == LARGE_PAGE_SIZE
}

pub(super) struct TestMachine {
    contents: BTreeMap<u32, [u8; BYTES]>,
    free: Vec<u32>,
    allocated: BTreeSet<u32>,
    pub(super) spaces: BTreeMap<u64, Space>,
    next_root: u64,
    pub(super) flushes: u64,
    pub(super) copies: u64,
}

impl TestMachine {
    pub(super) fn new(pages: u32) -> Self {
        Self {
            contents: BTreeMap::new(),
            free: (0..pages).rev().collect(),
            allocated: BTreeSet::new(),
            spaces: BTreeMap::new(),
            next_root: 1,
            flushes: 0,
            copies: 0,
        }
    }

    pub(super) fn allocated(&self) -> usize {
        self.allocated.len()
    }

    pub(super) fn assert_flushed(&self) {
        for space in self.spaces.values() {
            assert!(space.stale.is_empty(), "not flushed: {:x?}", space.stale);
        }
    }

    /// The page that a user access reaches without a fault.
    pub(super) fn translate(&self, root: Root, address: u64, right: u32) -> Option<Page> {
        let page = address - address % PAGE_SIZE;
        let (page, rights, _) = self.spaces.get(&root.0)?.mapped.get(&page)?;
        (rights & right != 0).then_some(*page)
    }

    pub(super) fn page(&mut self, page: Page) -> &mut [u8; BYTES] {
        assert!(
            page.0 >= PHYSICAL || self.allocated.contains(&page.0),
            "not allocated: {page:?}"
        );
        self.contents.entry(page.0).or_insert([0xaa; BYTES])
    }

    fn space(&mut self, root: Root) -> &mut Space {
        self.spaces.get_mut(&root.0).expect("no such space")
    }
}

impl Machine for TestMachine {
    fn reserve(&mut self, bytes: usize) -> Region {
        Region::on_heap(bytes.min(ARENA_BYTES))
    }

    fn now(&mut self) -> Time {
        0
    }

    fn set_timer(&mut self, _: Cpu, _: Time) {}

    fn kick(&mut self, _: Cpu) {}

    fn frame(&mut self, _: FrameIndex) -> &mut Frame {
        unreachable!("this machine has no threads")
    }

    fn create_frame(&mut self, _: FrameIndex) -> Result<(), OutOfPages> {
        Err(OutOfPages)
    }

    fn vectors(&mut self, _: FrameIndex) -> Vectors {
        Vectors::CLEAN
    }

    fn set_vectors(&mut self, _: FrameIndex, _: &Vectors) -> Result<(), OutOfPages> {
        Err(OutOfPages)
    }

    fn debug_state(&mut self, _: FrameIndex) -> DebugState {
        DebugState::default()
    }

    fn set_debug_state(&mut self, _: FrameIndex, _: &DebugState) {}

    fn allocate_page(&mut self) -> Option<Page> {
        let page = self.free.pop()?;
        assert!(self.allocated.insert(page));
        self.contents.insert(page, [0xaa; BYTES]);
        Some(Page(page))
    }

    fn free_page(&mut self, page: Page) {
        assert!(
            self.allocated.remove(&page.0),
            "freed twice, or never allocated: {page:?}"
        );
        // The machine may ask other CPUs to forget what changed as soon as a page comes free.
        self.assert_flushed();
        for space in self.spaces.values() {
            assert!(
                space.mapped.values().all(|(mapped, ..)| *mapped != page),
                "still mapped: {page:?}"
            );
        }
        self.free.push(page.0);
    }

    fn allocate_large(&mut self) -> Option<Page> {
        let free: BTreeSet<u32> = self.free.iter().copied().collect();
        let pages = |first: u32| first..first + LARGE as u32;
        let mut starts = (0..PHYSICAL / LARGE as u32).map(|n| n * LARGE as u32);
        let first = starts.find(|n| free.range(pages(*n)).count() as u64 == LARGE)?;
        self.free.retain(|page| !pages(first).contains(page));
        for page in pages(first) {
            assert!(self.allocated.insert(page));
            self.contents.insert(page, [0xaa; BYTES]);
        }
        Some(Page(first))
    }

    fn free_large(&mut self, first: Page) {
        for page in 0..LARGE as u32 {
            self.free_page(Page(first.0 + page));
        }
    }

    fn free_pages(&self) -> u64 {
        self.free.len() as u64
    }

    fn zero_page(&mut self, page: Page) {
        *self.page(page) = [0; BYTES];
    }

    fn copy(&mut self, from: (Page, usize), to: (Page, usize), length: usize) {
        assert!(from.0 != to.0, "one page copied to itself");
        self.copies += 1;
        let bytes = *self.page(from.0);
        self.page(to.0)[to.1..to.1 + length].copy_from_slice(&bytes[from.1..from.1 + length]);
    }

    fn read(&mut self, from: (Page, usize), bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.page(from.0)[from.1..from.1 + bytes.len()]);
    }

    fn write(&mut self, to: (Page, usize), bytes: &[u8]) {
        self.page(to.0)[to.1..to.1 + bytes.len()].copy_from_slice(bytes);
    }

    fn read_u32(&mut self, from: (Page, usize)) -> u32 {
        assert!(from.1.is_multiple_of(4));
        let mut word = [0; 4];
        self.read(from, &mut word);
        u32::from_le_bytes(word)
    }

    fn create_space(&mut self) -> Result<Root, OutOfPages> {
        let root = self.next_root;
        self.next_root += 1;
        let mut space = Space::default();
        space.tables.insert((0, 0));
        self.spaces.insert(root, space);
        Ok(Root(root))
    }

    fn destroy_space(&mut self, root: Root) -> bool {
        // In several steps, as a real one.
        let space = self.space(root);
        for _ in 0..64 {
            if space.mapped.pop_first().is_none() {
                self.spaces.remove(&root.0);
                return true;
            }
        }
        false
    }

    fn map(
        &mut self,
        root: Root,
        address: u64,
        page: Page,
        protection: u32,
        caching: Caching,
    ) -> Result<(), OutOfPages> {
        let both = protection::WRITE | protection::EXECUTE;
        assert!(protection & both != both, "writable and executable");
        assert!(address.is_multiple_of(PAGE_SIZE));
        assert!(
            page.0 >= PHYSICAL || self.allocated.contains(&page.0),
            "maps a free page"
        );
        let space = self.space(root);
        for (level, shift) in [(1, 39), (2, 30), (3, 21)] {
            space.tables.insert((level, address >> shift));
        }
        space.split(address..address + PAGE_SIZE);
        let old = space.mapped.insert(address, (page, protection, caching));
        if old.is_some_and(|(old, rights, _)| old != page || rights & !protection != 0) {
            space.stale.insert(address);
        }
        Ok(())
    }

    fn map_large(
        &mut self,
        root: Root,
        address: u64,
        first: Page,
        protection: u32,
        caching: Caching,
    ) -> Result<bool, OutOfPages> {
        let range = address..address + LARGE_PAGE_SIZE;
        assert!(is_large(&range) && u64::from(first.0).is_multiple_of(LARGE));
        let replaces = self.space(root).tables.contains(&(3, address >> 21));
        for (page, address) in (first.0..).zip(range.step_by(BYTES)) {
            self.map(root, address, Page(page), protection, caching)?;
        }
        let space = self.space(root);
        space.large.insert(address);
        if replaces {
            // Even where nothing else changed: what led there did.
            space.stale.insert(address);
        }
        Ok(replaces)
    }

    fn large_pages(&self, root: Root) -> u64 {
        self.spaces[&root.0].large.len() as u64
    }

    fn is_large(&self, root: Root, address: u64) -> bool {
        let large = &self.spaces[&root.0].large;
        large.contains(&(address - address % LARGE_PAGE_SIZE))
    }

    fn unmap(&mut self, root: Root, range: Range<u64>) {
        check_step(&range);
        let space = self.space(root);
        space.split(range.clone());
        for address in range.step_by(BYTES) {
            if space.mapped.remove(&address).is_some() {
                space.stale.insert(address);
            }
        }
    }

    fn detach(&mut self, root: Root, range: Range<u64>) -> Result<(), OutOfPages> {
        if self.free.is_empty() {
            return Err(OutOfPages);
        }
        let space = self.space(root);
        space.split(range.clone());
        let gone = space.mapped.extract_if(range.clone(), |_, _| true);
        space.stale.extend(gone.map(|(address, _)| address));
        let before = space.tables.len();
        space.tables.retain(|(level, number)| {
            let shift = 48 - 9 * level;
            *level == 0 || number << shift < range.start || (number + 1) << shift > range.end
        });
        // One holds the others.
        space.detached += (before - space.tables.len()) as u64 + 1;
        Ok(())
    }

    fn free_detached(&mut self, root: Root) -> bool {
        let space = self.space(root);
        let none = space.detached == 0;
        space.detached = space.detached.saturating_sub(1);
        none
    }

    fn protect(&mut self, root: Root, range: Range<u64>, protection: u32) {
        check_step(&range);
        let space = self.space(root);
        if !is_large(&range) {
            space.split(range.clone());
        }
        for (address, (_, rights, _)) in space.mapped.range_mut(range) {
            if *rights & !protection != 0 {
                *rights &= protection;
                space.stale.insert(*address);
            }
        }
    }

    fn flush(&mut self, root: Root, range: Range<u64>) {
        self.flushes += 1;
        self.space(root)
            .stale
            .retain(|address| !range.contains(address));
    }

    fn table_pages(&self, root: Root) -> u64 {
        let space = &self.spaces[&root.0];
        space.tables.len() as u64 + space.detached
    }

    fn port_read(&mut self, _: u16, _: u8) -> u32 {
        0
    }

    fn port_write(&mut self, _: u16, _: u8, _: u32) {}

    fn unmask_interrupt(&mut self, _: u32) -> bool {
        false
    }

    fn mask_interrupt(&mut self, _: u32) -> bool {
        false
    }

    fn log(&mut self, _: core::fmt::Arguments<'_>) {}

    fn power_off(&mut self) {}
    fn reset(&mut self) {}
}
