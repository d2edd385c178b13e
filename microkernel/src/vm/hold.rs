//! Pages of a pager's object that stay because a region that shows them is wired.
//!
//! A page of anonymous memory stays when the one entry that reaches it is wired (`reclaim.rs`). A pager's page may be shown by any
//! number of entries, in many maps: it counts those that are wired. Neither page-out nor an order of its pager takes it away
//! then; what an order says of its content and of accesses still holds.
//!
//! Invariant ([`Vm::check`]): each page that a wired entry shows of a pager's object is in memory, and counts it.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;

use super::tree::node_mut;
use super::{Entry, EntryId, ObjectId, Vm};
use crate::base::KernResult;

impl Vm {
    /// Whether a wired entry holds a page of a pager's object.
    pub(super) fn is_held(&self, object: ObjectId, page: u64) -> bool {
        self.object(object).pages.holds(&self.residents, page) > 0
    }

    /// The object whose pages an entry holds when it is wired.
    pub(super) fn holdable(&self, entry: &Entry) -> Option<ObjectId> {
        let object = entry.object?;
        self.object(object).is_paged().then_some(object)
    }

    /// An entry, whose pages are there, begins to hold them.
    ///
    /// # Errors
    /// `ResourceShortage`: too many hold one of them. None is held then.
    pub(super) fn hold(&mut self, id: EntryId) -> KernResult<()> {
        let entry = self.entry(id);
        let Some(object) = self.holdable(entry) else {
            return Ok(());
        };
        let (first, last) = (entry.index, entry.page_at(entry.end));
        for page in first..last {
            let here = node_mut(&mut self.objects, object);
            if !here.pages.hold(&mut self.residents, page) {
                self.release_pages(object, first..page);
                return Err(KernReturn::ResourceShortage);
            }
        }
        Ok(())
    }

    /// A wired entry does not hold the pages of a part of it any more; how many they were.
    pub(super) fn release(&mut self, id: EntryId, part: &Range<u64>) -> u64 {
        let entry = self.entry(id);
        let object = self.holdable(entry).filter(|_| entry.wires > 0);
        let Some(object) = object.filter(|_| !part.is_empty()) else {
            return 0;
        };
        self.release_pages(object, entry.page_at(part.start)..entry.page_at(part.end));
        (part.end - part.start) / PAGE_SIZE
    }

    fn release_pages(&mut self, object: ObjectId, pages: Range<u64>) {
        for page in pages {
            let here = node_mut(&mut self.objects, object);
            here.pages.release(&mut self.residents, page);
        }
    }
}
