//! Making memory shareable: an object that no other entry has and that has nothing behind it.
//!
//! An object that is shared is copied at once where others copy late, and must not show, in the mappings that
//! exist, what is behind it. So what has a past, or only a part of an object, gets an object of its own, by up to [`COPY_STEP`]
//! pages a step. Between two steps a range consists of an entry on the new object, which is private still, and of what
//! is left: that is how a step knows where to go on. A pager's object is shared as it is, and a private copy of its memory
//! stays in front of it.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;

use super::object::Kind;
use super::pages::Withdraw;
use super::{COPY_STEP, Context, Entry, EntryId, MapId, ObjectId, Progress, Vm};
use crate::base::KernResult;
use crate::machine::Machine;

/// A part of an object that is larger than this many pages is not moved to an object of its own: all of the object
/// becomes shared.
const LARGE_PART: u64 = 1024;

impl Vm {
    /// Makes a range, which has no holes and no message buffers, memory that others may map too; its object.
    ///
    /// # Errors
    /// `InvalidArgument`: the range is not in one region. `ResourceShortage`.
    pub(super) fn share<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: &Range<u64>,
    ) -> KernResult<Progress<ObjectId>> {
        let id = self.find_entry(map, range.start)?;
        let entry = self.entry(id);
        if entry.end < range.end {
            return self.share_rest(context, map, id, range);
        }
        let Some(object) = entry.object else {
            let id = self.clip(context, map, id, range)?;
            let object = self.entry_object(context, map, id)?;
            self.object_mut(object).shared = true;
            self.note_object(map, id);
            return Ok(Progress::Done(object));
        };
        if entry.needs_copy && self.object(object).references == 1 {
            // Nobody else is left; else what follows copies.
            self.make_private(context, map, id)?;
        }
        let (entry, here) = (self.entry(id), self.object(object));
        if !entry.needs_copy {
            if !here.is_private() {
                return Ok(Progress::Done(object));
            }
            let whole = *range == (entry.start..entry.end)
                || (range.end - range.start) / PAGE_SIZE > LARGE_PART;
            if whole && here.references == 1 && self.has_no_past(object) {
                self.object_mut(object).shared = true;
                self.note_object(map, id);
                return Ok(Progress::Done(object));
            }
        }
        self.isolate(context, map, id, range)
    }

    /// Begins an object for a range of one entry.
    fn isolate<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        range: &Range<u64>,
    ) -> KernResult<Progress<ObjectId>> {
        let pages = (range.end - range.start) / PAGE_SIZE;
        let owner = self.entry(id).object.filter(|_| !self.entry(id).needs_copy);
        let payer = owner.and_then(|object| self.object(object).ledger);
        let payer = payer.unwrap_or(self.map_ref(map)?.ledger);
        let entry = self.entry(id);
        let behind = entry
            .object
            .and_then(|object| self.paged_behind(object, entry.page_at(range.start)));
        let to = match behind {
            Some((_, pager, page)) => self.shadow_of(context, (pager, page), pages, payer)?,
            None => self.create_object(context, Kind::Anonymous, pages, Some(payer))?,
        };
        let end = self.isolation_end(id, range.clone(), (to, 0));
        let moved = self.isolate_part(context, map, range.start..end, (to, 0));
        // The entry has its own reference, if it got so far.
        self.dereference(to);
        moved?;
        Ok(Progress::More)
    }

    /// Goes on, when the first part of a range has the object that is meant for all of it.
    fn share_rest<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        first: EntryId,
        range: &Range<u64>,
    ) -> KernResult<Progress<ObjectId>> {
        let entry = self.entry(first);
        let rest = entry.next.map(|next| self.entry(next));
        let (Some(to), Some(rest), Some(next)) = (entry.object, rest, entry.next) else {
            return Err(KernReturn::InvalidArgument);
        };
        // What is left of a range is as it was before the first step: had others seen it, there were no steps.
        let shared = rest
            .object
            .is_some_and(|object| !rest.needs_copy && !self.object(object).is_private());
        let one_region = rest.attributes == entry.attributes
            && rest.wires == entry.wires
            && rest.end >= range.end
            && !shared;
        // Where neither has a page, both show zeros, or what the same pager would supply.
        let here = self.paged_behind(to, entry.size());
        let there = rest
            .object
            .and_then(|from| self.paged_behind(from, rest.index));
        if !one_region || !self.is_begun(entry, to, range) || here != there {
            return Err(KernReturn::InvalidArgument);
        }
        let place = entry.size();
        let start = entry.end;
        let end = self.isolation_end(next, start..range.end, (to, place));
        self.isolate_part(context, map, start..end, (to, place))?;
        Ok(Progress::More)
    }

    /// Whether an entry's object can take the pages behind the entry.
    fn is_begun(&self, entry: &Entry, to: ObjectId, range: &Range<u64>) -> bool {
        let object = self.object(to);
        entry.start == range.start
            && entry.index == 0
            && !entry.needs_copy
            && object.is_private()
            && object.references == 1
            && self.has_no_past(to)
            && object.size == (range.end - range.start) / PAGE_SIZE
            && (object.backing.is_some() || self.resident_from(to, entry.size()).is_none())
    }

    /// Whether no mapping of an object shows what is behind it. What a pager supplied is copied at the first touch.
    fn has_no_past(&self, object: ObjectId) -> bool {
        let backing = self.object(object).backing;
        backing.is_none_or(|backing| self.object(backing.object).is_paged())
    }

    /// How much of a range of one entry a step takes from its front: few pages that are there, however far apart they lie.
    fn isolation_end(&self, id: EntryId, range: Range<u64>, (to, place): (ObjectId, u64)) -> u64 {
        let entry = self.entry(id);
        let first = entry.page_at(range.start);
        let mut last = entry.page_at(range.end);
        // What the new object has there goes, too.
        if let Some(kept) = self.resident_from(to, place) {
            last = last.min(first + COPY_STEP.max(kept - place));
        }
        let last = match entry.object {
            Some(object) => self.few_shown(object, first..last),
            None => last,
        };
        entry.address_of(last)
    }

    /// Lets pages, which lie in one entry and are as many as [`isolation_end`](Self::isolation_end) says, be an object's from a
    /// place on.
    fn isolate_part<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        part: Range<u64>,
        (to, place): (ObjectId, u64),
    ) -> KernResult<()> {
        let id = self.find_entry(map, part.start)?;
        let id = self.clip(context, map, id, &part)?;
        let entry = self.entry(id);
        let (from, index, pages) = (entry.object, entry.index, entry.size());
        let needs_copy = entry.needs_copy;
        // What was kept there of a pager's page, before it could be seen.
        self.drop_from(context, (to, place), pages);
        if let Some(from) = from {
            let own = !needs_copy
                && self.object(from).is_private()
                && self.object(from).ledger == self.object(to).ledger;
            let source = (from, index..index + pages);
            // Pages of its own move, others are copied.
            let skip = u32::from(own);
            let mut taken = self.copy_pages(context, source.clone(), (to, place), skip);
            if taken.is_ok() && own {
                taken = self.make_places(context, source.clone(), (to, place));
            }
            if let Err(shortage) = taken {
                self.drop_from(context, (to, place), pages);
                if place == 0 {
                    // Else nodes without pages wait for the next try, or for the object's end.
                    self.prune_pages(context, to);
                }
                self.join_ends(context, map, &part);
                return Err(shortage);
            }
            self.withdraw_all(context, (map, id), part.clone(), Withdraw::All);
            if own {
                self.move_pages(context, source, (to, place));
            }
        }
        let entry = self.entry_mut(id);
        entry.object = Some(to);
        entry.index = place;
        entry.needs_copy = false;
        self.reference(to);
        if let Some(from) = from {
            self.dereference(from);
        }
        self.join(context, map, part.start);
        Ok(())
    }

    /// Frees pages of an object from one on, which nothing maps.
    fn drop_from<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, first): (ObjectId, u64),
        pages: u64,
    ) {
        while let Some(page) = self.resident_from(object, first)
            && page < first + pages
        {
            self.drop_page(context, object, page);
        }
    }
}
