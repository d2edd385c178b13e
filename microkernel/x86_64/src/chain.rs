//! [`Chain`]: free pages as a list through the pages themselves. Programs can write to none of them: those to which they
//! could a moment ago wait in a [`Quarantine`](crate::quarantine::Quarantine) first.

use crate::physical::Physical;

/// No page follows. Page 0 is never given out.
const END: u64 = 0;

/// Free pages, linked through their first words. Pages are physical addresses.
#[derive(Debug)]
pub struct Chain {
    first: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// No pages.
    pub const fn new() -> Self {
        Self { first: END }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.first == END
    }

    /// Adds a page.
    pub fn push(&mut self, memory: &mut impl Physical, page: u64) {
        memory.store(page, self.first);
        self.first = page;
    }

    /// Takes the page that was added last.
    pub fn pop(&mut self, memory: &impl Physical) -> Option<u64> {
        if self.first == END {
            return None;
        }
        let page = self.first;
        self.first = memory.load(page);
        Some(page)
    }
}
