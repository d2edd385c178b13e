//! The memory map: from the boot loader's entries to ranges of whole free pages.
//!
//! Entries may overlap, be unsorted, or begin and end inside a page: a page is free only when it lies
//! wholly in usable entries and no other entry touches it.

use core::ops::Range;

use crate::layout::{DIRECT_SIZE, PAGE};

/// The most ranges that are kept. What a machine has beyond them is lost, and reported.
pub const MAX_RANGES: usize = 64;

/// Ranges of physical addresses, whole pages, ascending, disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: heapless::Vec<Range<u64>, MAX_RANGES>,
    /// Pages that found no place in the table.
    lost: u64,
}

impl Ranges {
    /// No range.
    pub const fn new() -> Self {
        Self {
            ranges: heapless::Vec::new(),
            lost: 0,
        }
    }

    /// Pages in the ranges.
    pub fn pages(&self) -> u64 {
        self.iter()
            .map(|range| (range.end - range.start) / PAGE)
            .sum()
    }

    /// Pages that were usable but found no place in the table.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.ranges.iter()
    }

    /// Whether a part of an entry lies in the ranges.
    pub fn touches(&self, entry: &Range<u64>) -> bool {
        self.iter()
            .any(|range| range.start < entry.end && entry.start < range.end)
    }

    /// Adds a usable entry, cut to whole pages that lie below the end of the direct map.
    pub fn add(&mut self, entry: Range<u64>) {
        let start = entry.start.div_ceil(PAGE).saturating_mul(PAGE);
        let end = entry.end.min(DIRECT_SIZE) / PAGE * PAGE;
        if start >= end {
            return;
        }
        let mut merged = start..end;
        self.ranges.retain(|range| {
            let apart = range.end < merged.start || merged.end < range.start;
            if !apart {
                merged.start = merged.start.min(range.start);
                merged.end = merged.end.max(range.end);
            }
            apart
        });
        self.insert(merged);
    }

    /// Takes an entry out again, grown to whole pages.
    pub fn remove(&mut self, entry: Range<u64>) {
        let start = entry.start / PAGE * PAGE;
        let end = entry.end.min(DIRECT_SIZE).div_ceil(PAGE) * PAGE;
        if start >= end {
            return;
        }
        let old = core::mem::take(&mut self.ranges);
        for range in old {
            if range.start < start.min(range.end) {
                self.insert(range.start..start.min(range.end));
            }
            if end.max(range.start) < range.end {
                self.insert(end.max(range.start)..range.end);
            }
        }
    }

    /// Takes the lowest pages out that lie together within a range of addresses: so many bytes of them.
    pub fn take(&mut self, bytes: u64, within: Range<u64>) -> Option<Range<u64>> {
        let taken = self.iter().find_map(|range| {
            let start = range.start.max(within.start);
            let end = start + bytes;
            (end <= range.end && end <= within.end).then_some(start..end)
        })?;
        self.remove(taken.clone());
        Some(taken)
    }

    fn insert(&mut self, range: Range<u64>) {
        let place = self
            .ranges
            .iter()
            .take_while(|other| other.start < range.start)
            .count();
        if let Err(range) = self.ranges.insert(place, range) {
            self.lost += (range.end - range.start) / PAGE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn list(ranges: &Ranges) -> Vec<(u64, u64)> {
        ranges
            .iter()
            .map(|range| (range.start, range.end))
            .collect()
    }

    #[test]
    fn partial_pages_are_not_free() {
        let mut ranges = Ranges::new();
        ranges.add(0x1001..0x3fff);
        ranges.add(0x5000..0x5fff);
        assert_eq!(list(&ranges), [(0x2000, 0x3000)]);
    }

    #[test]
    fn entries_are_sorted_and_merged() {
        let mut ranges = Ranges::new();
        ranges.add(0x8000..0x9000);
        ranges.add(0x1000..0x2000);
        ranges.add(0x2000..0x4000);
        assert_eq!(list(&ranges), [(0x1000, 0x4000), (0x8000, 0x9000)]);
        ranges.add(0x3000..0x8000);
        assert_eq!(list(&ranges), [(0x1000, 0x9000)]);
    }

    #[test]
    fn what_is_removed_splits_a_range_and_takes_whole_pages() {
        let mut ranges = Ranges::new();
        ranges.add(0x1000..0x9000);
        ranges.remove(0x3fff..0x5001);
        assert_eq!(list(&ranges), [(0x1000, 0x3000), (0x6000, 0x9000)]);
        ranges.remove(0..0x7000);
        assert_eq!(list(&ranges), [(0x7000, 0x9000)]);
        ranges.remove(0x20_0000..0x20_0001);
        assert_eq!(list(&ranges), [(0x7000, 0x9000)]);
    }

    #[test]
    fn ranges_are_touched_by_what_shares_an_address_with_them() {
        let mut ranges = Ranges::new();
        ranges.add(0x1000..0x3000);
        for (start, end) in [
            (0, 0x1001),
            (0x2fff, 0x9000),
            (0x1800, 0x1900),
            (0, u64::MAX),
        ] {
            assert!(ranges.touches(&(start..end)), "{start:#x}..{end:#x}");
        }
        for (start, end) in [(0, 0x1000), (0x3000, 0x4000)] {
            assert!(!ranges.touches(&(start..end)), "{start:#x}..{end:#x}");
        }
    }

    #[test]
    fn hostile_entries_do_no_harm() {
        let mut ranges = Ranges::new();
        ranges.add(u64::MAX - 10..u64::MAX);
        let (start, end) = (0x9000, 0x1000);
        ranges.add(start..end);
        ranges.remove(start..end);
        assert_eq!(ranges.pages(), 0);
        for n in 0..200 {
            ranges.add(n * 0x2000..n * 0x2000 + 0x1000);
        }
        assert_eq!(ranges.pages() + ranges.lost(), 200);
    }

    #[test]
    fn pages_are_taken_together_from_within_a_range() {
        let mut ranges = Ranges::new();
        ranges.add(0..0x9_0000);
        ranges.add(0x10_0000..0x80_0000);
        assert_eq!(ranges.take(PAGE, 0x1000..0x10_0000), Some(0x1000..0x2000));
        assert_eq!(list(&ranges)[0], (0, 0x1000));
        assert_eq!(ranges.take(PAGE, 0x9_0000..0x10_0000), None);
        let many = ranges.take(0x9_0000, 0..u64::MAX);
        assert_eq!(many, Some(0x10_0000..0x19_0000));
        assert_eq!(ranges.take(0x70_0000, 0..u64::MAX), None);
    }
}
