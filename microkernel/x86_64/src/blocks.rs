//! [`Blocks`]: the free pages of each aligned 2 MiB of memory, so that one that is free as a whole is a large page again.
//!
//! A table has an entry for each block, whether there is memory or not: its [`Pile`], its neighbours in the list of the blocks with
//! the same [`Use`] that have one, and that use. To put a page costs the same whatever is free: a block that becomes whole leaves the
//! list, and its pile is forgotten without a look at the pages.
//!
//! A block that has just got its first page heads the list: pages come from blocks that are nearly all in use, and the
//! others have time to become whole.

use core::ops::Range;

use crate::layout::{LARGE_PAGE, PAGE};
use crate::physical::Physical;

/// Bytes of an entry.
const ENTRY: u64 = 32;
/// Where the words lie in it that follow the pile.
const LINKS: u64 = 8;
const USE: u64 = 16;
/// No block follows.
const END: u32 = u32::MAX;

/// Where the block begins that an address lies in.
pub fn block_of(address: u64) -> u64 {
    address / LARGE_PAGE * LARGE_PAGE
}

/// What the pages of a block are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// The memory of programs.
    Programs,
    /// What the kernel has beside it: page tables, and what it never gives back.
    Kernel,
}

impl Use {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Programs => Self::Kernel,
            Self::Kernel => Self::Programs,
        }
    }
}

/// Free pages of one block, as a word: where the first one lies, and in the bits below a page how many they are. The
/// first word of each is the pile without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pile(u64);

impl Pile {
    /// No page. Page 0 is never given out.
    pub const NONE: Self = Self(0);

    /// How many it has.
    pub fn len(self) -> u64 {
        self.0 % PAGE
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Where its block begins, if it has pages.
    pub fn block(self) -> Option<u64> {
        (!self.is_empty()).then(|| block_of(self.0))
    }

    /// Adds a page of the block.
    fn push(&mut self, memory: &mut impl Physical, page: u64) {
        memory.store(page, self.0);
        self.0 = page | (self.len() + 1);
    }

    /// Takes the page that was added last.
    pub fn pop(&mut self, memory: &impl Physical) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let page = self.0 / PAGE * PAGE;
        self.0 = memory.load(page);
        Some(page)
    }
}

/// The piles of all blocks.
#[derive(Debug)]
pub struct Blocks {
    /// Where it lies.
    table: u64,
    /// Where the memory ends that it has entries for.
    end: u64,
    /// By use, the number of the first block that has a pile.
    first: [u32; Use::COUNT],
}

impl Blocks {
    /// No entry.
    pub const fn new() -> Self {
        Self {
            table: 0,
            end: 0,
            first: [END; Use::COUNT],
        }
    }

    /// The size of a table for the memory below an address, whole pages.
    pub fn bytes(end: u64) -> u64 {
        (end.div_ceil(LARGE_PAGE) * ENTRY).next_multiple_of(PAGE)
    }

    /// Without any free page, in a table of whole pages.
    pub fn in_table(memory: &mut impl Physical, table: Range<u64>) -> Self {
        for page in table.clone().step_by(PAGE as usize) {
            memory.clear_page(page);
        }
        Self {
            table: table.start,
            end: (table.end - table.start) / ENTRY * LARGE_PAGE,
            first: [END; Use::COUNT],
        }
    }

    /// Where the memory ends that it has entries for.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds a page below [`end`](Self::end). When it makes its block whole, that is the answer, and no pile has it any more.
    pub fn put(&mut self, memory: &mut impl Physical, page: u64) -> Option<u64> {
        debug_assert!(page < self.end, "no entry for {page:#x}");
        let block = number_of(page);
        let entry = self.entry(block);
        let mut pile = Pile(memory.load(entry));
        pile.push(memory, page);
        memory.store(entry, pile.0);
        if pile.len() == 1 {
            self.link(memory, block);
        }
        if pile.len() < LARGE_PAGE / PAGE {
            return None;
        }
        self.remove(memory, block);
        Some(block_of(page))
    }

    /// Says what a block is for of which no page is free here.
    pub fn set_use(&mut self, memory: &mut impl Physical, block: u64, purpose: Use) {
        debug_assert!(self.free_in(memory, block) == 0, "{block:#x} is in a list");
        memory.store(self.entry(number_of(block)) + USE, purpose as u64);
    }

    /// Takes all pages of some block with this use.
    pub fn take(&mut self, memory: &mut impl Physical, purpose: Use) -> Pile {
        match self.first[purpose as usize] {
            END => Pile::NONE,
            block => self.remove(memory, block),
        }
    }

    /// Takes all pages of a block, which may have none.
    pub fn take_out(&mut self, memory: &mut impl Physical, block: u64) {
        if self.free_in(memory, block) > 0 {
            self.remove(memory, number_of(block));
        }
    }

    /// How many pages it has of a block.
    pub fn free_in(&self, memory: &impl Physical, block: u64) -> u64 {
        Pile(memory.load(self.entry(number_of(block)))).len()
    }

    fn entry(&self, block: u32) -> u64 {
        self.table + u64::from(block) * ENTRY
    }

    /// Where the list begins that a block belongs to.
    fn list(&mut self, memory: &impl Physical, block: u32) -> &mut u32 {
        let of_kernel = memory.load(self.entry(block) + USE) == Use::Kernel as u64;
        &mut self.first[usize::from(of_kernel)]
    }

    /// Takes the pile of a block that has one.
    fn remove(&mut self, memory: &mut impl Physical, block: u32) -> Pile {
        let entry = self.entry(block);
        let pile = Pile(memory.load(entry));
        memory.store(entry, Pile::NONE.0);
        let (before, next) = split(memory.load(entry + LINKS));
        if next != END {
            self.change_links(memory, next, |(_, next)| (before, next));
        }
        if before == END {
            *self.list(memory, block) = next;
        } else {
            self.change_links(memory, before, |(before, _)| (before, next));
        }
        pile
    }

    /// Makes a block the first one of the list.
    fn link(&mut self, memory: &mut impl Physical, block: u32) {
        let next = core::mem::replace(self.list(memory, block), block);
        if next != END {
            self.change_links(memory, next, |(_, next)| (block, next));
        }
        self.change_links(memory, block, |_| (END, next));
    }

    /// Changes the blocks before and behind a block.
    fn change_links(
        &self,
        memory: &mut impl Physical,
        block: u32,
        change: impl FnOnce((u32, u32)) -> (u32, u32),
    ) {
        let place = self.entry(block) + LINKS;
        let (before, next) = change(split(memory.load(place)));
        memory.store(place, u64::from(before) << 32 | u64::from(next));
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

fn split(links: u64) -> (u32, u32) {
    ((links >> 32) as u32, links as u32)
}

/// Physical memory ends at 16 TiB.
fn number_of(address: u64) -> u32 {
    (address / LARGE_PAGE) as u32
}
