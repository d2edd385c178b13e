//! Pagers: tasks that supply the pages of memory objects.
//!
//! Who has [`Content`] exports it as a memory object with [`export`]; whoever gets the right can map it. The rest of
//! the protocol of `interfaces::memory_object` is done here: one page is asked for at a time, and answered by what
//! the content makes of it.
//!
//! Pages that were written come back in time, at the latest when nobody maps the object any more; content that
//! nobody is to write leaves that out. Content that gives its pages away (`PRECIOUS`) gets all of them back: the
//! default pager's.

use abi::kern_return::KernReturn;
use abi::transport::{Result, Untyped};
use abi::vm::copy_strategy;
use interfaces::memory_object::{Attributes, MemoryControl, MemoryObject};

use crate::packet::Mach;
use crate::rights::{ReceiveRight, SendRight};
use crate::server::Runtime;
use crate::{Memory, ignore};

/// Bytes of a page.
pub const PAGE: usize = abi::PAGE_SIZE as usize;

/// What a memory object holds.
pub trait Content {
    /// Whether a page that was filled is not kept: it comes back even when nobody has written it.
    const PRECIOUS: bool = false;

    /// Fills a page of [`PAGE`] zeros with what lies `offset` bytes from the object's beginning.
    ///
    /// # Errors
    /// Any: there is no such page. Who needs it gets `KernReturn::MemoryError`.
    fn fill(&mut self, offset: u64, page: &mut [u8]) -> impl Future<Output = Result<()>>;

    /// Keeps pages that come back, from `offset` bytes on. Unless it is there, what is written is forgotten.
    fn keep(&mut self, offset: u64, pages: &[u8]) -> impl Future<Output = ()> {
        let _ = (offset, pages);
        core::future::ready(())
    }

    /// The `size` bytes from `offset` on will never be asked for again. Only a default pager is told.
    fn forget(&mut self, offset: u64, size: u64) {
        let _ = (offset, size);
    }
}

/// A memory object of this content, served beside what the runtime serves until nobody has a right to it.
///
/// # Errors
/// When the task may have no more names.
pub fn export<C: Content + 'static>(
    runtime: &Runtime,
    content: C,
) -> Result<SendRight<dyn MemoryObject>> {
    runtime.export::<dyn MemoryObject, _>(Object {
        content,
        page: Memory::new(PAGE)?,
        control: None,
    })
}

/// A memory object, as its pager has it.
#[derive(Debug)]
struct Object<C> {
    content: C,
    /// What is supplied next: memory of its own, since pages are supplied from whole pages.
    page: Memory,
    /// While somebody maps it.
    control: Option<SendRight<dyn MemoryControl>>,
}

impl<C: Content> MemoryObject for Object<C> {
    type Rights = Mach;

    async fn init(
        &mut self,
        control: SendRight<dyn MemoryControl>,
        _name: SendRight<Untyped>,
        _page_size: u64,
    ) {
        // It fails when the object has ended meanwhile, and `terminate` is on its way then, or when it was to be
        // the default pager's and there is another one: then nothing is ever asked.
        let attributes = Attributes {
            copy_strategy: copy_strategy::DELAY,
            ..Attributes::default()
        };
        ignore(control.client().set_attributes(attributes));
        self.control = Some(control);
    }

    async fn terminate(
        &mut self,
        _control: ReceiveRight<dyn MemoryControl>,
        _name: ReceiveRight<Untyped>,
    ) {
        self.control = None;
    }

    async fn data_request(&mut self, offset: u64, length: u64, _access: u32) {
        self.page.fill(0);
        let filled = self.content.fill(offset, &mut self.page).await;
        let Some(control) = &self.control else {
            return;
        };
        let control = control.client();
        // A page that the kernel has no room for, or has already, it has answered itself.
        let supplied =
            filled.and_then(|()| control.data_supply(offset, &self.page, 0, C::PRECIOUS.into()));
        if let Err(error) = supplied {
            let code: KernReturn = error.code();
            ignore(control.data_error(offset, length, code.0));
        }
    }

    /// Nothing is ever locked.
    async fn data_unlock(&mut self, _offset: u64, _length: u64, _access: u32) {}

    async fn discard_request(&mut self, offset: u64, size: u64) {
        self.content.forget(offset, size);
    }

    async fn data_return(&mut self, offset: u64, data: Memory, _dirty: u32, _kernel_copy: u32) {
        self.content.keep(offset, &data).await;
    }
}
