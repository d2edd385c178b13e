//! The reports that are kept, the newest [`CAPACITY`] of them.
//!
//! Invariant: numbers ascend by one; a reader that finds a gap knows how many it missed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use interfaces::bounded::{Bytes, List};
use interfaces::crash::Summary;

/// How many reports are kept.
pub const CAPACITY: usize = 16;
/// Bytes of a report's text; a longer one is cut.
pub const MAX_TEXT: usize = 12 << 10;

/// Text that is cut where its memory ends.
#[derive(Debug)]
pub struct Page(Vec<u8>);

impl Page {
    /// An empty page, whose memory is taken and touched now.
    pub fn new() -> Self {
        let mut bytes = alloc::vec![1; MAX_TEXT];
        bytes.clear();
        Self(bytes)
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT - self.0.len();
        let end = text.floor_char_boundary(text.len().min(room));
        self.0.extend_from_slice(&text.as_bytes()[..end]);
        Ok(())
    }
}

/// The reports. All their memory is taken when the shelf is made: crashes do not let this server grow.
#[derive(Debug)]
pub struct Shelf {
    reports: VecDeque<(Summary, Page)>,
    /// Pages without a report.
    spare: Vec<Page>,
    last: u64,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            reports: VecDeque::with_capacity(CAPACITY),
            spare: (0..CAPACITY).map(|_| Page::new()).collect(),
            last: 0,
        }
    }
}

impl Shelf {
    /// An empty page for the next report, and its number. The oldest report is given up for it.
    pub fn begin(&mut self) -> (u64, Page) {
        self.last += 1;
        let oldest = || self.reports.pop_front().map(|(_, page)| page);
        let mut page = self.spare.pop().or_else(oldest).unwrap_or_default();
        page.0.clear();
        (self.last, page)
    }

    /// Keeps a report.
    pub fn put(&mut self, mut summary: Summary, page: Page) {
        summary.size = page.0.len() as u32;
        self.reports.push_back((summary, page));
    }

    /// The reports from number `first` on.
    pub fn list(&self, first: u64) -> List<Summary, 8> {
        let mut list = List::default();
        for (summary, _) in &self.reports {
            if summary.number >= first && !list.push(*summary) {
                break;
            }
        }
        list
    }

    /// Text of a report from `offset` on.
    pub fn read(&self, number: u64, offset: u32) -> Option<Bytes<1024>> {
        let mut all = self.reports.iter();
        let (_, page) = all.find(|(summary, _)| summary.number == number)?;
        let rest = page.0.get(offset as usize..).unwrap_or(&[]);
        Bytes::new(&rest[..rest.len().min(1024)])
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    fn put(shelf: &mut Shelf, text: &str) -> u64 {
        let (number, mut page) = shelf.begin();
        page.write_str(text).expect("pages take everything");
        let summary = Summary {
            number,
            ..Summary::default()
        };
        shelf.put(summary, page);
        number
    }

    #[test]
    fn the_newest_reports_are_kept_and_read_in_pieces() {
        let mut shelf = Shelf::default();
        assert!(shelf.list(0).is_empty());
        let long = "x".repeat(1500);
        for _ in 0..CAPACITY {
            put(&mut shelf, "old");
        }
        let last = put(&mut shelf, &long);
        assert_eq!(last, CAPACITY as u64 + 1);
        assert_eq!(shelf.read(1, 0), None, "given up");
        assert_eq!(shelf.read(2, 0).as_deref(), Some(&b"old"[..]));
        let pieces = [0, 1024, 1500, 9000].map(|at| shelf.read(last, at).map(|b| b.len()));
        assert_eq!(pieces, [Some(1024), Some(476), Some(0), Some(0)]);
        let page = shelf.list(0);
        assert_eq!((page.len(), page[0].number), (8, 2));
        assert_eq!(shelf.list(last)[0].size, 1500);
        assert!(shelf.list(last + 1).is_empty());
    }

    #[test]
    fn a_report_that_is_too_long_is_cut_between_characters() {
        let mut page = Page::new();
        page.write_str(&"ab".repeat(MAX_TEXT / 2 - 1)).unwrap();
        page.write_str("äöü").unwrap();
        assert_eq!(page.bytes().len(), MAX_TEXT);
        page.write_str("ü").unwrap();
        assert!(core::str::from_utf8(page.bytes()).is_ok());
    }
}
