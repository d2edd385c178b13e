//! Making large pages: zero-filled, in steps, before anybody sees them.
//!
//! Memory that was asked for by large pages has them from the beginning, and they are wired: no fault fills them, no copy of them
//! is late, and page-out leaves them alone. An object gets them one after the other, each from the machine as a whole; the
//! entry comes last. As in `snapshot.rs`, a map keeps up to [`FILLINGS`] objects that are being filled, since `map` is called again
//! with the same arguments alone; who wants one more helps with the oldest first, and throws it away when it is whole.
//!
//! Who pays pays for a large page as a whole, before it is filled. Pages that are not yet filled are in no object: only
//! [`Filling`] knows of them.

use core::ops::Range;

use abi::kern_return::KernReturn;
use abi::vm::{LARGE_PAGE_SIZE, flags};

use super::allocate::{MapRequest, Source};
use super::marks::Content;
use super::object::Kind;
use super::tree::node_mut;
use super::{COPY_STEP, Context, MapId, ObjectId, Progress, STEP, Vm};
use crate::base::KernResult;
use crate::base::ledger::Resource;
use crate::machine::{LARGE, Machine, Page};

const _: () = assert!(LARGE.is_multiple_of(COPY_STEP));

/// Objects of a map that are being filled at a time. What nobody comes for takes large pages that others may need: few.
const FILLINGS: usize = 2;

/// Those of a map, the oldest first.
pub(super) type Fillings = heapless::Vec<Filling, FILLINGS>;

/// An object of large pages that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// With a reference.
    pub(super) to: ObjectId,
    pages: u64,
    done: u64,
    /// The large page that is being filled.
    first: Option<Page>,
}

impl Filling {
    /// Pages that are not yet in the object.
    pub(super) fn unfilled(&self) -> u64 {
        self.first.map_or(0, |_| LARGE - self.done % LARGE)
    }
}

/// A request for large pages as one for a range that they fill; any other as it is.
///
/// # Errors
/// `InvalidArgument`: no such size of pages, a size that is not of whole large pages, or not anonymous memory. A fixed address that
/// is none of a large page's is left to [`Vm::find_place`], which says `NoSpace`, as XNU does.
pub(super) fn of_whole_pages(request: MapRequest) -> KernResult<MapRequest> {
    let invalid = KernReturn::InvalidArgument;
    let size = match request.flags & flags::SUPERPAGE_MASK {
        0 => return Ok(request),
        flags::SUPERPAGE_SIZE_ANY => request.size.checked_next_multiple_of(LARGE_PAGE_SIZE),
        flags::SUPERPAGE_SIZE_2MB => Some(request.size),
        _ => None,
    };
    let size = size.ok_or(invalid)?;
    if !size.is_multiple_of(LARGE_PAGE_SIZE) || request.source != Source::Anonymous {
        return Err(invalid);
    }
    Ok(MapRequest {
        size,
        mask: request.mask | (LARGE_PAGE_SIZE - 1),
        ..request
    })
}

impl Vm {
    /// Fills some more of an object of large pages for a map. `Done`: [`take_filled`](Self::take_filled) gives it.
    ///
    /// # Errors
    /// `ResourceShortage`: a ledger is full, or the machine has no large page. Nothing is left of it.
    pub(super) fn fill_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        pages: u64,
    ) -> KernResult<Progress> {
        let known = |found: &Filling| found.pages == pages;
        let own = self.map_ref(map)?.fillings.iter().position(known);
        let at = match own {
            Some(at) => at,
            None => self.next_filling(context, map, pages)?,
        };
        let found = self.map_ref(map)?.fillings.get(at).copied();
        let mut found = found.ok_or(KernReturn::Failure)?;
        let filled = self.fill_some(context, &mut found);
        if let Some(place) = node_mut(&mut self.maps, map).fillings.get_mut(at) {
            *place = found;
        }
        if filled.is_err() {
            self.drop_filling(context, map, at);
        }
        match filled {
            // What another one failed at is not this one's.
            _ if found.pages != pages => Ok(Progress::More),
            Ok(()) if found.done < pages => Ok(Progress::More),
            filled => filled.map(Progress::Done),
        }
    }

    /// Which of a map's objects a caller goes on with who has none: a new one; the oldest, while there is no room.
    fn next_filling<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        pages: u64,
    ) -> KernResult<usize> {
        let here = self.map_ref(map)?;
        let ledger = here.ledger;
        if here.fillings.is_full() {
            let whole = |found: &Filling| found.done == found.pages;
            let Some(at) = here.fillings.iter().position(whole) else {
                return Ok(0);
            };
            self.drop_filling(context, map, at);
        }
        let to = self.create_object(context, Kind::Anonymous, pages, Some(ledger))?;
        self.object_mut(to).large = true;
        let fillings = &mut node_mut(&mut self.maps, map).fillings;
        let pushed = fillings.push(Filling {
            to,
            pages,
            done: 0,
            first: None,
        });
        debug_assert!(pushed.is_ok(), "room was made");
        Ok(fillings.len() - 1)
    }

    fn fill_some<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        found: &mut Filling,
    ) -> KernResult<()> {
        if found.done == found.pages {
            return Ok(());
        }
        let first = match found.first {
            Some(first) => first,
            None => self.allocate_large(context, found.to)?,
        };
        found.first = Some(first);
        for _ in 0..COPY_STEP {
            let page = Page(first.0 + (found.done % LARGE) as u32);
            self.attach_page(context, found.to, (found.done, Content::Page(page)))?;
            context.machine.zero_page(page);
            found.done += 1;
        }
        if found.done.is_multiple_of(LARGE) {
            found.first = None;
        }
        Ok(())
    }

    /// A large page for an object, which is charged to its ledger.
    fn allocate_large<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
    ) -> KernResult<Page> {
        let shortage = KernReturn::ResourceShortage;
        let ledger = self.object(object).ledger.ok_or(shortage)?;
        // It is not what page-out has to make room for.
        if context.machine.free_pages() < self.free_target() + LARGE {
            return Err(shortage);
        }
        context.charge(ledger, Resource::Pages, LARGE)?;
        context.machine.allocate_large().ok_or_else(|| {
            context.release(ledger, Resource::Pages, LARGE);
            shortage
        })
    }

    /// The object that is whole, with its reference.
    pub(super) fn take_filled(&mut self, map: MapId, pages: u64) -> KernResult<ObjectId> {
        let here = self.maps.get_mut(map).ok_or(KernReturn::InvalidTask)?;
        let whole = |found: &Filling| found.pages == pages && found.done == pages;
        let at = here.fillings.iter().position(whole);
        let at = at.ok_or(KernReturn::Failure)?;
        Ok(here.fillings.remove(at).to)
    }

    /// Gives all objects up that are being filled.
    pub(super) fn drop_fillings<M: Machine>(&mut self, context: &mut Context<'_, M>, map: MapId) {
        while self
            .maps
            .get(map)
            .is_some_and(|map| !map.fillings.is_empty())
        {
            self.drop_filling(context, map, 0);
        }
    }

    /// Gives one up.
    fn drop_filling<M: Machine>(&mut self, context: &mut Context<'_, M>, map: MapId, at: usize) {
        let found = node_mut(&mut self.maps, map).fillings.remove(at);
        if let Some(first) = found.first {
            let begun = found.done - found.done % LARGE..found.done;
            self.free_large(context, found.to, (first, begun));
        }
        self.dereference(found.to);
    }

    /// Frees a large page of an object that has these pages of it. Nothing maps them any more.
    pub(super) fn free_large<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        (first, pages): (Page, Range<u64>),
    ) {
        let here = node_mut(&mut self.objects, object);
        let (before, ledger) = (here.pages.nodes(), here.ledger);
        let mut left = pages.end - pages.start;
        while left > 0 {
            let rest = pages.start..=pages.end - 1;
            let gone = here.pages.take_run(&mut self.residents, rest, STEP, |_| ());
            debug_assert!(gone > 0, "pages are missing");
            left = match gone {
                0 => 0,
                gone => left - gone,
            };
        }
        self.release_nodes(context, object, before);
        context.machine.free_large(first);
        if let Some(ledger) = ledger {
            context.release(ledger, Resource::Pages, LARGE);
        }
    }
}
