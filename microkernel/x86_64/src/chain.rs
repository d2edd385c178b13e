//! [`Chain`]: free pages as a list through the pages themselves, such as the quarantine of those that some CPU may still have
//! mappings of.

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
