//! The store as a memory object, and what it says of itself.

use alloc::rc::Rc;
use core::cell::RefCell;

use interfaces::default_pager::{DefaultPager, Statistics};
use interfaces::memory_object::{Attributes, MemoryControl, MemoryObject};
use libmach::abi::transport::Untyped;
use libmach::{KernReturn, Mach, Memory, ReceiveRight, Result, SendRight};

use crate::store::{PAGE, Store};

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

/// The store, as a memory object.
#[derive(Debug)]
pub struct Object {
    shared: Shared,
    /// What is supplied next: memory of its own, since pages are supplied from whole pages.
    page: Memory,
    control: Option<SendRight<dyn MemoryControl>>,
}

impl Object {
    /// An object of the shared store.
    ///
    /// # Errors
    /// When there is no memory for a page.
    pub fn new(shared: Shared) -> Result<Self> {
        Ok(Self {
            shared,
            page: Memory::new(PAGE)?,
            control: None,
        })
    }
}

/// The number of the page at a byte.
fn number_of(offset: u64) -> u64 {
    offset / PAGE as u64
}

impl MemoryObject for Object {
    type Rights = Mach;

    async fn init(
        &mut self,
        control: SendRight<dyn MemoryControl>,
        _name: SendRight<Untyped>,
        _page_size: u64,
    ) {
        // When it fails, the kernel has another default pager already, and never asks.
        if control
            .client()
            .set_attributes(Attributes::default())
            .is_ok()
        {
            self.control = Some(control);
        }
    }

    async fn terminate(
        &mut self,
        _control: ReceiveRight<dyn MemoryControl>,
        _name: ReceiveRight<Untyped>,
    ) {
        self.control = None;
    }

    async fn data_request(&mut self, offset: u64, length: u64, _access: u32) {
        let Some(control) = &self.control else {
            return;
        };
        let control = control.client();
        let taken = {
            let mut state = self.shared.0.borrow_mut();
            state.supplied += 1;
            state.store.take(number_of(offset), &mut self.page)
        };
        // Precious: it comes back if it is not needed in memory.
        if !taken || control.data_supply(offset, &self.page, 0, 1).is_err() {
            let code = KernReturn::MemoryError.0;
            // It fails when the object has ended, and then nobody waits.
            control.data_error(offset, length, code).ok();
        }
    }

    /// Nothing is ever locked.
    async fn data_unlock(&mut self, _offset: u64, _length: u64, _access: u32) {}

    async fn data_return(&mut self, offset: u64, data: Memory, _dirty: u32, _kernel_copy: u32) {
        let mut state = self.shared.0.borrow_mut();
        for (number, page) in (number_of(offset)..).zip(data.chunks_exact(PAGE)) {
            let kept = state.store.keep(number, page);
            debug_assert!(kept.is_ok(), "chunks are pages");
            state.kept += 1;
        }
    }

    async fn discard_request(&mut self, offset: u64, size: u64) {
        let first = number_of(offset);
        let mut state = self.shared.0.borrow_mut();
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
