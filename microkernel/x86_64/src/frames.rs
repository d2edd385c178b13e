//! [`Frames`]: which pages of physical memory are free.
//!
//! Pages that were never used lie in ranges of the memory map and are taken from their front; pages that
//! came back are kept by the block of 2 MiB that they lie in ([`Blocks`]), and given out block by block. All is O(1), and nothing
//! but the table of blocks is touched at boot.
//!
//! Large pages come from the other end of the ranges, the highest range first, and a block that came back, whole or page by page, is one
//! again. One is broken up when there is no other page left.
//!
//! For each page table, and each piece of an arena, programs have some hundred pages, which may go while it stays: so that few blocks
//! stay broken, the kernel's own pages come from other blocks ([`Use`]) than those of programs, while there are any.
//!
//! Deliberately absent: moving pages that are in use, so as to make their block whole.

use core::ops::Range;

use crate::blocks::{Blocks, Pile, Use, block_of};
use crate::chain::Chain;
use crate::layout::{LARGE_PAGE, PAGE};
use crate::memory_map::{MAX_RANGES, Ranges};
use crate::physical::Physical;

/// Small pages of a large one.
const SMALL: u64 = LARGE_PAGE / PAGE;

/// Where the next pages of one use come from.
#[derive(Debug)]
struct Source {
    /// Pages of a block that were not used since it was taken. They go first.
    front: Range<u64>,
    /// Those of one block that came back. They go next.
    pile: Pile,
}

impl Source {
    const NONE: Self = Self {
        front: 0..0,
        pile: Pile::NONE,
    };

    #[inline(always)]
    fn next(&mut self, memory: &impl Physical) -> Option<u64> {
        let page = self.front.start;
        if page == self.front.end {
            return self.pile.pop(memory);
        }
        self.front.start += PAGE;
        Some(page)
    }

    /// The blocks that it has pages of.
    fn blocks(&self) -> [Option<u64>; 2] {
        let front = !self.front.is_empty();
        [front.then(|| block_of(self.front.start)), self.pile.block()]
    }

    /// How many pages it has of a block.
    fn free_in(&self, block: u64) -> u64 {
        let counts = [(self.front.end - self.front.start) / PAGE, self.pile.len()];
        let of_block = self.blocks().into_iter().zip(counts);
        of_block
            .filter(|(of, _)| *of == Some(block))
            .map(|(_, count)| count)
            .sum()
    }

    /// A block is no source any more.
    fn forget(&mut self, block: u64) {
        let [front, pile] = self.blocks();
        if front == Some(block) {
            self.front = 0..0;
        }
        if pile == Some(block) {
            self.pile = Pile::NONE;
        }
    }
}

/// All free pages.
#[derive(Debug)]
pub struct Frames {
    /// Each ends where a large page does, or is too small for one.
    fresh: heapless::Vec<Range<u64>, { 2 * MAX_RANGES }>,
    /// By [`Use`].
    sources: [Source; Use::COUNT],
    blocks: Blocks,
    /// Large pages.
    large: Chain,
    /// How many there are in all of these.
    free: u64,
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames {
    /// No free page.
    pub const fn new() -> Self {
        Self {
            fresh: heapless::Vec::new(),
            sources: [Source::NONE; Use::COUNT],
            blocks: Blocks::new(),
            large: Chain::new(),
            free: 0,
        }
    }

    /// Gives it the memory for its table of blocks, before any page: [`Blocks::bytes`] of it, whole pages.
    pub fn set_table(&mut self, memory: &mut impl Physical, table: Range<u64>) {
        self.blocks = Blocks::in_table(memory, table);
    }

    /// Adds the ranges of the memory map, without page 0 and what lies beyond the table of blocks.
    pub fn add(&mut self, ranges: &Ranges) {
        // The lowest range goes last, as ranges are used from the end of the table: what must lie
        // below 4 GiB (the tables of the kernel) is allocated first.
        for range in ranges.iter() {
            let range = range.start.max(PAGE)..range.end.min(self.blocks.end());
            let end = range.end / LARGE_PAGE * LARGE_PAGE;
            let end = end.max(range.start);
            for part in [range.start..end, end..range.end] {
                if part.start < part.end && self.fresh.insert(0, part.clone()).is_ok() {
                    self.free += (part.end - part.start) / PAGE;
                }
            }
        }
    }

    /// How many pages are free.
    pub fn free(&self) -> u64 {
        self.free
    }

    /// A page, its content undefined.
    #[inline(always)]
    pub fn allocate(&mut self, memory: &mut impl Physical, purpose: Use) -> Option<u64> {
        let page = match self.sources[purpose as usize].next(memory) {
            Some(page) => page,
            None => self.allocate_more(memory, purpose)?,
        };
        self.free -= 1;
        Some(page)
    }

    /// A page of another block than the last ones: of one with the same use if there is one.
    #[cold]
    fn allocate_more(&mut self, memory: &mut impl Physical, purpose: Use) -> Option<u64> {
        let mut source = Source::NONE;
        source.pile = self.blocks.take(memory, purpose);
        if source.pile.is_empty() {
            source.front = self.fresh_block(memory);
            if source.front.is_empty() {
                source.pile = self.blocks.take(memory, purpose.other());
            } else {
                self.blocks.set_use(memory, source.front.start, purpose);
            }
        }
        let page = source.next(memory);
        if page.is_some() {
            self.sources[purpose as usize] = source;
            return page;
        }
        self.sources[purpose.other() as usize].next(memory)
    }

    /// A block, as far as there is memory, that was never used, or else a large page. Its pages still count as free.
    fn fresh_block(&mut self, memory: &impl Physical) -> Range<u64> {
        let Some(range) = self.fresh.last_mut() else {
            let page = self.large.pop(memory);
            return page.map_or(0..0, |page| page..page + LARGE_PAGE);
        };
        let end = range.end.min(block_of(range.start) + LARGE_PAGE);
        let block = range.start..end;
        range.start = end;
        if range.is_empty() {
            self.fresh.pop();
        }
        block
    }

    /// A large page, its content undefined.
    pub fn allocate_large(&mut self, memory: &mut impl Physical) -> Option<u64> {
        let page = match self.large.pop(memory) {
            Some(page) => page,
            None => self.fresh_large().or_else(|| self.reunite(memory))?,
        };
        self.blocks.set_use(memory, page, Use::Programs);
        self.free -= SMALL;
        Some(page)
    }

    fn fresh_large(&mut self) -> Option<u64> {
        let has_one = |range: &Range<u64>| {
            range.end.is_multiple_of(LARGE_PAGE) && range.end - range.start >= LARGE_PAGE
        };
        let place = self.fresh.iter().position(has_one)?;
        let range = self.fresh.get_mut(place)?;
        range.end -= LARGE_PAGE;
        let page = range.end;
        if range.is_empty() {
            self.fresh.remove(place);
        }
        Some(page)
    }

    /// A block of which pages are to be given out next, if all others came back.
    fn reunite(&mut self, memory: &mut impl Physical) -> Option<u64> {
        let begun = self.sources.iter().flat_map(Source::blocks).flatten();
        let free_in = |block: &u64| {
            let next = self.sources.iter().map(|source| source.free_in(*block));
            self.blocks.free_in(memory, *block) + next.sum::<u64>()
        };
        let block = begun.into_iter().find(|block| free_in(block) == SMALL)?;
        self.blocks.take_out(memory, block);
        for source in &mut self.sources {
            source.forget(block);
        }
        Some(block)
    }

    /// Gives a large page back that no CPU has a mapping of any more.
    pub fn free_large(&mut self, memory: &mut impl Physical, page: u64) {
        self.free += SMALL;
        self.large.push(memory, page);
    }

    /// Gives a page back that no CPU has a mapping of any more.
    pub fn free_page(&mut self, memory: &mut impl Physical, page: u64) {
        self.free += 1;
        self.put(memory, page);
    }

    fn put(&mut self, memory: &mut impl Physical, page: u64) {
        if let Some(whole) = self.blocks.put(memory, page) {
            self.large.push(memory, whole);
        }
    }
}

#[cfg(test)]
mod tests;
