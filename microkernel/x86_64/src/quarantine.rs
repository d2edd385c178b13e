//! [`Quarantine`]: pages that nothing maps any more, but of which some CPU may still have translations.
//!
//! Until that CPU has forgotten them, a program may go on writing to such a page. So nothing may lie in it that the kernel
//! relies on: not even the link to another one, as in a [`Chain`](crate::chain::Chain). They are known by numbers beside them.

use crate::layout::PAGE;

/// Up to `MOST` pages.
#[derive(Debug)]
pub struct Quarantine<const MOST: usize> {
    numbers: heapless::Vec<u32, MOST>,
}

impl<const MOST: usize> Default for Quarantine<MOST> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const MOST: usize> Quarantine<MOST> {
    /// No pages.
    pub const fn new() -> Self {
        Self {
            numbers: heapless::Vec::new(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Whether it has no room.
    pub fn is_full(&self) -> bool {
        self.numbers.is_full()
    }

    /// Adds a page, by its address, which is below 16 TiB. Without room it is lost.
    pub fn push(&mut self, page: u64) {
        let pushed = self.numbers.push((page / PAGE) as u32);
        debug_assert!(pushed.is_ok(), "no room for {page:#x}");
    }

    /// Takes a page: every CPU has forgotten it.
    pub fn pop(&mut self) -> Option<u64> {
        Some(u64::from(self.numbers.pop()?) * PAGE)
    }
}
