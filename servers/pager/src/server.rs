//! The store as content of a memory object, and what it says of itself.

use alloc::rc::Rc;
use core::cell::RefCell;

use interfaces::default_pager::{DefaultPager, Statistics};
use libmach::pager::{Content, PAGE};
use libmach::{KernReturn, Result};

use crate::store::Store;

/// How many pages the kernel may put away: as many as this task could keep if none of them could be packed.
pub const CAPACITY: u64 = 5120;

/// The store and its numbers, for all that is served of it.
#[derive(Clone, Debug, Default)]
pub struct Shared(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    store: Store,
    kept: u64,
    supplied: u64,
}

/// The number of the page at a byte.
fn number_of(offset: u64) -> u64 {
    offset / PAGE as u64
}

impl Content for Shared {
    const PRECIOUS: bool = true;

    async fn fill(&mut self, offset: u64, page: &mut [u8]) -> Result<()> {
        let mut state = self.0.borrow_mut();
        state.supplied += 1;
        match state.store.take(number_of(offset), page) {
            true => Ok(()),
            false => Err(KernReturn::MemoryError.into()),
        }
    }

    async fn keep(&mut self, offset: u64, pages: &[u8]) {
        let mut state = self.0.borrow_mut();
        for (number, page) in (number_of(offset)..).zip(pages.chunks_exact(PAGE)) {
            let kept = state.store.keep(number, page);
            debug_assert!(kept.is_ok(), "chunks are pages");
            state.kept += 1;
        }
    }

    fn forget(&mut self, offset: u64, size: u64) {
        let first = number_of(offset);
        let mut state = self.0.borrow_mut();
        for number in first..first.saturating_add(number_of(size)) {
            state.store.forget(number);
        }
    }
}

/// What the store says of itself.
#[derive(Debug)]
pub struct Teller(pub Shared);

impl DefaultPager for Teller {
    async fn statistics(&self) -> Result<Statistics> {
        let state = self.0.0.borrow();
        Ok(Statistics {
            capacity: CAPACITY,
            pages: state.store.len() as u64,
            bytes: state.store.bytes() as u64,
            kept: state.kept,
            supplied: state.supplied,
        })
    }
}
