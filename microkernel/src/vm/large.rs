//! Large pages: 2 MiB that the hardware maps by one entry.
//!
//! For this layer a large mapping is [`LARGE`] small ones that were made at once. An object keeps each of its pages by itself, large
//! or not, so that everything but a fault treats them as ever; what changes a part of a large mapping makes the
//! machine map the rest of it by small ones, which cannot fail ([`Machine::map_large`]).
//!
//! A fault maps a large page where an entry shows all of one at an address that is a multiple of its size:
//! pages that exist by themselves (a frame buffer, a BAR), wherever they do, and anonymous memory that was made of
//! large pages (`filling.rs`), while it is wired, so that none of its pages leaves memory, or shared, where page-out makes
//! small mappings of a large one as it takes a page (`leaving.rs`). The fault that finds the last page of such a one used again maps
//! it as a large one again, if none of them had gone.
//!
//! Deliberately absent: making a large page of small ones. Pages that came by a fault each, or came back from the store, lie in one
//! block of memory and in order only by chance: all would have to be copied, in steps in which nobody may write them, for a
//! program that can ask for large pages to begin with.

use core::ops::{Range, RangeInclusive};

use abi::PAGE_SIZE;
use abi::vm::{LARGE_PAGE_SIZE, flags};

use super::object::Kind;
use super::pages::{Mapping, check_tables};
use super::{Context, Entry, EntryId, MapId, MapRequest, ObjectId, Vm};
use crate::machine::{LARGE, Machine, Page};

/// Whether a page has the place in a large page that its address has in one. What most faults find that it does not.
#[inline(always)]
pub(super) fn could_be_large(address: u64, page: Page) -> bool {
    (address / PAGE_SIZE) as u32 % LARGE as u32 == page.0 % LARGE as u32
}

impl Vm {
    /// A request for memory that exists by itself, such that a place that is free to choose is one for large pages, if its pages
    /// could be some.
    pub(super) fn align_large(
        &self,
        request: MapRequest,
        object: Option<ObjectId>,
        index: u64,
    ) -> MapRequest {
        let could_be = request.flags & flags::ANYWHERE != 0
            && request.size >= LARGE_PAGE_SIZE
            && object.is_some_and(|object| self.physical_large(object, index).is_some());
        let mask = match could_be {
            true => LARGE_PAGE_SIZE - 1,
            false => 0,
        };
        MapRequest {
            mask: request.mask | mask,
            ..request
        }
    }

    /// Maps the large page around an address, of which one page was found there, if it can be; says where it ends.
    #[cold]
    pub(super) fn install_large<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        mapping: Mapping,
    ) -> Option<u64> {
        let start = address - address % LARGE_PAGE_SIZE;
        let range = start..start + LARGE_PAGE_SIZE;
        let entry = self.entry(self.find_entry(map, address).ok()?);
        if entry.start > range.start || range.end > entry.end {
            return None;
        }
        let first = self.large_page(entry, start)?;
        let here = u64::from(first.0) + (address - start) / PAGE_SIZE;
        if u64::from(mapping.page.0) != here {
            return None;
        }
        let root = self.root(map)?;
        check_tables(context, self.ledger(map)?).ok()?;
        let Mapping {
            protection,
            caching,
            ..
        } = mapping;
        let mapped = context
            .machine
            .map_large(root, start, first, protection, caching);
        self.charge_tables(context, map, root);
        if mapped.ok()? {
            context.machine.flush(root, range.clone());
        }
        Some(range.end)
    }

    /// The large page that an entry shows from an address on.
    fn large_page(&self, entry: &Entry, start: u64) -> Option<Page> {
        let (object, index) = (entry.object?, entry.page_at(start));
        let here = self.object(object);
        if here.kind != Kind::Anonymous {
            return self.physical_large(object, index);
        }
        let stays = entry.is_wired() || here.shared;
        if !here.large || !stays || entry.needs_copy {
            return None;
        }
        here.pages.large_at(&self.residents, index)
    }

    /// The first pages that an object has in a range, if they are a large page.
    pub(super) fn first_large(
        &self,
        object: ObjectId,
        range: &RangeInclusive<u64>,
    ) -> Option<(Page, Range<u64>)> {
        let here = self.object(object);
        if !here.large {
            return None;
        }
        let index = self.resident_from(object, *range.start())?;
        let pages = index..index.checked_add(LARGE)?;
        let whole = pages.end - 1 <= *range.end();
        let first = here
            .pages
            .large_at(&self.residents, index)
            .filter(|_| whole);
        Some((first?, pages))
    }

    /// The large page of those that exist by themselves at an index of an object.
    fn physical_large(&self, object: ObjectId, index: u64) -> Option<Page> {
        let Kind::Physical { first, .. } = self.object(object).kind else {
            return None;
        };
        let page = u32::try_from(index).ok()?.checked_add(first.0)?;
        page.is_multiple_of(LARGE as u32).then_some(Page(page))
    }

    /// Whether an object may have large pages.
    pub(super) fn is_large(&self, object: ObjectId) -> bool {
        let here = self.object(object);
        here.large || matches!(here.kind, Kind::Physical { .. })
    }

    /// The pages of an entry's object, from the first one of a range on, that may be mapped as a large page.
    pub(super) fn large_run(&self, id: EntryId, pages: Range<u64>) -> Option<Range<u64>> {
        let entry = self.entry(id);
        let start = entry.address_of(pages.start);
        let object = entry.object?;
        let whole = start.is_multiple_of(LARGE_PAGE_SIZE) && pages.end - pages.start >= LARGE;
        (whole && self.is_large(object)).then_some(pages.start..pages.start + LARGE)
    }
}
