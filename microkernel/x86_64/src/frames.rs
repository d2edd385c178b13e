//! [`Frames`]: which pages of physical memory are free.
//!
//! Pages that were never used lie in ranges of the memory map and are taken from their front; pages that
//! came back are a list through the pages themselves. Both are O(1), and nothing is touched at boot.
//!
//! Large pages come from the other end of the ranges, the highest range first, and those that come back whole are a list of their own. One is
//! broken up when there is no other page left.
//!
//! Deliberately absent: making a large page of pages that came back one by one.
//!
//! [`Chain`] is such a list on its own: the quarantine of pages that some CPU may still have mappings of.

use core::ops::Range;

use crate::layout::{LARGE_PAGE, PAGE};
use crate::memory_map::{MAX_RANGES, Ranges};
use crate::physical::Physical;

/// No page follows. Page 0 is never given out.
const END: u64 = 0;

/// Free pages, linked through their first words. Pages are physical addresses.
#[derive(Debug)]
pub struct Chain {
    first: u64,
    last: u64,
    length: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// No pages.
    pub const fn new() -> Self {
        Self {
            first: END,
            last: END,
            length: 0,
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many it holds.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Adds a page.
    pub fn push(&mut self, memory: &mut impl Physical, page: u64) {
        memory.store(page, self.first);
        if self.first == END {
            self.last = page;
        }
        self.first = page;
        self.length += 1;
    }

    /// Takes the page that was added last.
    pub fn pop(&mut self, memory: &impl Physical) -> Option<u64> {
        if self.first == END {
            return None;
        }
        let page = self.first;
        self.first = memory.load(page);
        self.length -= 1;
        Some(page)
    }

    /// Takes all pages of another chain.
    pub fn append(&mut self, memory: &mut impl Physical, other: &mut Self) {
        if other.first == END {
            return;
        }
        memory.store(other.last, self.first);
        if self.first == END {
            self.last = other.last;
        }
        self.first = other.first;
        self.length += other.length;
        *other = Self::new();
    }
}

/// All free pages.
#[derive(Debug)]
pub struct Frames {
    /// Each ends where a large page does, or is too small for one.
    fresh: heapless::Vec<Range<u64>, { 2 * MAX_RANGES }>,
    fresh_pages: u64,
    returned: Chain,
    /// Large pages.
    large: Chain,
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
            fresh_pages: 0,
            returned: Chain::new(),
            large: Chain::new(),
        }
    }

    /// Adds the ranges of the memory map, without page 0.
    pub fn add(&mut self, ranges: &Ranges) {
        // The lowest range goes last, as ranges are used from the end of the table: what must lie
        // below 4 GiB (the tables of the kernel) is allocated first.
        for range in ranges.iter() {
            let range = range.start.max(PAGE)..range.end;
            let end = range.end / LARGE_PAGE * LARGE_PAGE;
            let end = end.max(range.start);
            for part in [range.start..end, end..range.end] {
                if part.start < part.end && self.fresh.insert(0, part.clone()).is_ok() {
                    self.fresh_pages += (part.end - part.start) / PAGE;
                }
            }
        }
    }

    /// How many pages are free.
    pub fn free(&self) -> u64 {
        self.fresh_pages + self.returned.len() + self.large.len() * (LARGE_PAGE / PAGE)
    }

    /// A page, its content undefined.
    pub fn allocate(&mut self, memory: &impl Physical) -> Option<u64> {
        if let Some(page) = self.returned.pop(memory) {
            return Some(page);
        }
        if self.fresh.is_empty() {
            self.break_up(memory)?;
        }
        let range = self.fresh.last_mut()?;
        let page = range.start;
        range.start += PAGE;
        if range.start == range.end {
            self.fresh.pop();
        }
        self.fresh_pages -= 1;
        Some(page)
    }

    /// Lets a large page be given out as small ones. There are no fresh ranges.
    fn break_up(&mut self, memory: &impl Physical) -> Option<()> {
        let page = self.large.pop(memory)?;
        self.fresh_pages += LARGE_PAGE / PAGE;
        self.fresh.push(page..page + LARGE_PAGE).ok()
    }

    /// A large page, its content undefined.
    pub fn allocate_large(&mut self, memory: &impl Physical) -> Option<u64> {
        if let Some(page) = self.large.pop(memory) {
            return Some(page);
        }
        let has_one = |range: &Range<u64>| {
            range.end.is_multiple_of(LARGE_PAGE) && range.end - range.start >= LARGE_PAGE
        };
        let place = self.fresh.iter().position(has_one)?;
        let range = self.fresh.get_mut(place)?;
        range.end -= LARGE_PAGE;
        let page = range.end;
        if range.start == range.end {
            self.fresh.remove(place);
        }
        self.fresh_pages -= LARGE_PAGE / PAGE;
        Some(page)
    }

    /// Gives large pages back that no CPU has a mapping of any more.
    pub fn free_large(&mut self, memory: &mut impl Physical, pages: &mut Chain) {
        self.large.append(memory, pages);
    }

    /// Gives a page back that no CPU has a mapping of any more.
    pub fn free_page(&mut self, memory: &mut impl Physical, page: u64) {
        self.returned.push(memory, page);
    }

    /// Gives many pages back.
    pub fn free_chain(&mut self, memory: &mut impl Physical, pages: &mut Chain) {
        self.returned.append(memory, pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physical::Simulated;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn some() -> Frames {
        let mut ranges = Ranges::new();
        ranges.add(0..0x3000);
        ranges.add(0x8000..0xa000);
        let mut frames = Frames::new();
        frames.add(&ranges);
        frames
    }

    #[test]
    fn every_page_but_the_first_is_given_out_once_low_ones_first() {
        let memory = Simulated::default();
        let mut frames = some();
        assert_eq!(frames.free(), 4);
        let pages: Vec<_> = core::iter::from_fn(|| frames.allocate(&memory)).collect();
        assert_eq!(pages, [0x1000, 0x2000, 0x8000, 0x9000]);
        assert_eq!(frames.free(), 0);
    }

    #[test]
    fn large_pages_lie_where_they_can_be_mapped_and_are_broken_up_last() {
        let mut memory = Simulated::default();
        let mut ranges = Ranges::new();
        ranges.add(LARGE_PAGE - 2 * PAGE..3 * LARGE_PAGE + PAGE);
        ranges.add(8 * LARGE_PAGE..9 * LARGE_PAGE);
        ranges.add(11 * LARGE_PAGE - PAGE..12 * LARGE_PAGE - PAGE);
        let mut frames = Frames::new();
        frames.add(&ranges);
        let all = 4 * 512 + 3;
        assert_eq!(frames.free(), all);
        let mut large = Vec::new();
        while let Some(page) = frames.allocate_large(&memory) {
            large.push(page);
        }
        assert_eq!(large, [8, 2, 1].map(|n| n * LARGE_PAGE));
        assert_eq!(frames.free(), all - 3 * 512);
        let mut chain = Chain::new();
        chain.push(&mut memory, large[1]);
        frames.free_large(&mut memory, &mut chain);
        assert_eq!(frames.allocate_large(&memory), Some(large[1]));
        chain.push(&mut memory, large[2]);
        frames.free_large(&mut memory, &mut chain);
        assert_eq!(frames.free(), all - 2 * 512);
        let small: Vec<_> = core::iter::from_fn(|| frames.allocate(&memory)).collect();
        assert_eq!(small.len() as u64, all - 2 * 512);
        assert_eq!(small[0], LARGE_PAGE - 2 * PAGE);
        assert!(small.ends_with(&[2 * LARGE_PAGE - 2 * PAGE, 2 * LARGE_PAGE - PAGE]));
        assert_eq!(small.iter().collect::<BTreeSet<_>>().len(), small.len());
        assert_eq!((frames.free(), frames.allocate_large(&memory)), (0, None));
    }

    #[test]
    fn pages_come_back_through_the_quarantine() {
        let mut memory = Simulated::default();
        let mut frames = some();
        let mut quarantine = Chain::new();
        for _ in 0..3 {
            let page = frames.allocate(&memory).unwrap();
            quarantine.push(&mut memory, page);
        }
        frames.free_page(&mut memory, 0x9000_0000);
        frames.free_chain(&mut memory, &mut quarantine);
        assert!(quarantine.is_empty());
        assert_eq!(frames.free(), 5);
        let pages: BTreeSet<_> = core::iter::from_fn(|| frames.allocate(&memory)).collect();
        assert_eq!(pages, [0x1000, 0x2000, 0x8000, 0x9000, 0x9000_0000].into());
        frames.free_chain(&mut memory, &mut Chain::new());
        assert_eq!(frames.allocate(&memory), None);
    }
}
