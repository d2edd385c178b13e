//! Physical memory: pages that know whether anybody may use them.
//!
//! An allocated page is full of [`POISON`], so that content which was never zeroed shows. Reading or
//! writing a page that is not allocated is a panic: the kernel kept a page that it gave back. A freed
//! page stays in quarantine until the kernel call that freed it is over and its flushes are done.

use std::collections::BTreeSet;

use abi::PAGE_SIZE;
use microkernel::machine::{LARGE, Page};

/// What an allocated page holds before anybody wrote it.
pub const POISON: u8 = 0xdb;

const SIZE: usize = PAGE_SIZE as usize;

/// The simulated machine's first page. Not 0, so that a page number that was never set shows.
const FIRST: u32 = 0x100;

/// All pages.
pub struct Memory {
    /// Content by page number less [`FIRST`]; `None` for a page that is free.
    pages: Vec<Option<Box<[u8; SIZE]>>>,
    free: BTreeSet<u32>,
    quarantine: Vec<u32>,
    /// How many more allocations succeed; `None`: as many as there are pages.
    budget: Option<u64>,
}

impl Memory {
    /// `pages` pages, all free.
    pub fn new(pages: u32) -> Self {
        Self {
            pages: (0..pages).map(|_| None).collect(),
            free: (0..pages).collect(),
            quarantine: Vec::new(),
            budget: None,
        }
    }

    /// Takes pages in ascending order that hold `bytes`, the last one filled up with zeros.
    ///
    /// # Panics
    /// When they do not fit: a test asked for too small a machine.
    pub fn place(&mut self, bytes: &[u8]) -> core::ops::Range<Page> {
        let count = bytes.len().div_ceil(SIZE) as u32;
        let start = *self
            .free
            .first()
            .expect("memory for what the boot loader brings");
        for (n, chunk) in (start..start + count).zip(bytes.chunks(SIZE)) {
            assert!(
                self.free.remove(&n),
                "the boot loader found no contiguous pages"
            );
            let mut content = Box::new([0; SIZE]);
            content[..chunk.len()].copy_from_slice(chunk);
            self.pages[n as usize] = Some(content);
        }
        Page(start + FIRST)..Page(start + count + FIRST)
    }

    /// Lets `allocations` more succeed, or as many as there is memory for.
    pub fn limit(&mut self, allocations: Option<u64>) {
        self.budget = allocations;
    }

    /// A poisoned page.
    pub fn allocate(&mut self) -> Option<Page> {
        if let Some(budget) = &mut self.budget {
            *budget = budget.checked_sub(1)?;
        }
        let n = self.free.pop_first()?;
        self.pages[n as usize] = Some(Box::new([POISON; SIZE]));
        Some(Page(n + FIRST))
    }

    /// A large page, poisoned: the highest one that is free.
    pub fn allocate_large(&mut self) -> Option<Page> {
        let last = (self.pages.len() as u32 + FIRST) / LARGE as u32;
        let first = (1..last).rev().map(|n| n * LARGE as u32 - FIRST);
        let pages = |first: u32| first..first + LARGE as u32;
        let mut whole = first.filter(|n| self.free.range(pages(*n)).count() as u64 == LARGE);
        let found = whole.next()?;
        if let Some(budget) = &mut self.budget {
            *budget = budget.checked_sub(LARGE)?;
        }
        for n in pages(found) {
            self.free.remove(&n);
            self.pages[n as usize] = Some(Box::new([POISON; SIZE]));
        }
        Some(Page(found + FIRST))
    }

    /// Puts a page into quarantine.
    ///
    /// # Panics
    /// When it is not allocated: it was freed twice, or never belonged to the kernel.
    pub fn free(&mut self, page: Page) {
        let n = index(page);
        let freed = self.pages.get_mut(n).and_then(Option::take);
        assert!(freed.is_some(), "freed {page:?}, which is not allocated");
        self.quarantine.push(n as u32);
    }

    /// Whether the kernel call that is just over freed pages.
    pub fn has_quarantine(&self) -> bool {
        !self.quarantine.is_empty()
    }

    /// Ends the quarantine of all pages.
    pub fn release_quarantine(&mut self) {
        self.free.extend(self.quarantine.drain(..));
    }

    /// How many pages [`allocate`](Self::allocate) can still give.
    pub fn available(&self) -> u64 {
        let free = self.free.len() as u64;
        self.budget.map_or(free, |budget| budget.min(free))
    }

    /// How many pages somebody has.
    pub fn in_use(&self) -> u64 {
        (self.pages.len() - self.free.len() - self.quarantine.len()) as u64
    }

    /// Whether somebody has this page.
    pub fn is_allocated(&self, page: Page) -> bool {
        page.0 >= FIRST && self.pages.get(index(page)).is_some_and(Option::is_some)
    }

    /// The content of a page.
    ///
    /// # Panics
    /// When nobody has it.
    pub fn content(&self, page: Page) -> &[u8; SIZE] {
        match self.pages.get(index(page)) {
            Some(Some(content)) => content,
            _ => panic!("access to {page:?}, which is not allocated"),
        }
    }

    /// As [`content`](Self::content), to change it.
    ///
    /// # Panics
    /// When nobody has the page.
    pub fn content_mut(&mut self, page: Page) -> &mut [u8; SIZE] {
        match self.pages.get_mut(index(page)) {
            Some(Some(content)) => content,
            _ => panic!("access to {page:?}, which is not allocated"),
        }
    }
}

fn index(page: Page) -> usize {
    page.0.wrapping_sub(FIRST) as usize
}
