//! Page-out of memory that several may reach: shared memory, memory entries, and what forks and copies left shared.
//!
//! Nothing leads from a page to its mappings, so pages leave in *batches*. A hand that goes over objects marks pages as
//! [leaving](Marks::LEAVING), up to [`BATCH`] of them; a second one goes over the entries of all maps, and takes mappings of such
//! pages away; then those that still have the mark are mapped nowhere, and become idle. Who uses a page meanwhile clears the
//! mark, and so does the second hand where an entry is wired, or the default pager's. An idle page that the first hand meets
//! again goes to the store. So each page costs a look at all entries, divided by the pages of its batch.
//!
//! What is on its way stays: a piece of a copy keeps all objects that it shows in memory ([`Vm::keep_in_flight`]) until a batch
//! finds no piece that shows them. What may move mappings from an entry that the second hand has before it to one that is
//! behind it takes their objects out of the batch ([`Vm::leave_batch`]); their pages have the mark still, and wait for
//! the next one.
//!
//! Invariant ([`Vm::check`]): what a piece shows is kept in memory.

use abi::PAGE_SIZE;

use super::marks::{Content, Marks};
use super::object::Kind;
use super::reclaim::Hand;
use super::tree::node_mut;
use super::{Context, EntryId, MapId, ObjectId, ReclaimStep, Room, STEP, Victim, Vm};
use crate::machine::Machine;

/// Pages of a batch: so many that a look at all entries is little for each.
const BATCH: u64 = 4096;

/// As how many pages one counts that is looked for, and unmapped, by itself.
const SINGLE: u64 = 2;

/// The pages that are being unmapped everywhere.
#[derive(Clone, Copy, Default)]
pub(super) struct Batch {
    /// How many there were before.
    closed: u32,
    /// Pages of this one.
    pages: u64,
    /// Where the hand over objects goes on after it.
    place: u32,
    page: u64,
    /// Entries are being looked at.
    unmapping: bool,
}

impl Batch {
    /// What its objects know it by; never 0.
    fn number(&self) -> u32 {
        self.closed.wrapping_add(1).max(1)
    }
}

impl Vm {
    /// Moves the hand that goes over objects.
    pub(super) fn sweep_objects<M: Machine>(
        &mut self,
        context: &Context<'_, M>,
        room: Room,
    ) -> ReclaimStep {
        let stores = self.can_store(context);
        for _ in 0..STEP {
            let place = self.reclaim.place;
            if !stores || place >= self.objects.end() || self.reclaim.batch.pages >= BATCH {
                self.begin_unmapping();
                return ReclaimStep::Done;
            }
            let object = self.objects.id_at(place);
            let object = object.filter(|object| self.several_reach(*object));
            let from = self.reclaim.page;
            let Some((object, index)) =
                object.and_then(|object| Some((object, self.resident_from(object, from)?)))
            else {
                self.reclaim.next_place();
                continue;
            };
            self.reclaim.page = index + 1;
            let here = self.object(object);
            match here.pages.look(&self.residents, index) {
                Some((Content::Page(_), marks)) if !marks.contains(Marks::IDLE) => {
                    self.mark_page(object, index, Marks::LEAVING);
                    self.join_batch(object);
                }
                Some((Content::Page(_), _)) if here.in_flight => self.join_batch(object),
                Some((Content::Page(_), _)) if room == Room::Full => {
                    self.reclaim.page = index;
                    self.reclaim.wait_for_room();
                    return ReclaimStep::Done;
                }
                Some((Content::Page(_), _)) => return ReclaimStep::Store(Victim { object, index }),
                _ => {}
            }
        }
        ReclaimStep::Done
    }

    /// Whether more than one entry may reach an object's pages, or none at all: the hand over entries cannot unmap them.
    fn several_reach(&self, object: ObjectId) -> bool {
        let here = self.object(object);
        let several = here.shared || here.references > 1 || here.shadows.count > 0;
        let keeper = self.store.map(|store| store.ledger);
        here.kind == Kind::Anonymous && several && (here.ledger.is_none() || here.ledger != keeper)
    }

    fn join_batch(&mut self, object: ObjectId) {
        let batch = &mut self.reclaim.batch;
        batch.pages += 1;
        node_mut(&mut self.objects, object).batch = batch.number();
    }

    fn is_in_batch(&self, object: ObjectId) -> bool {
        self.object(object).batch == self.reclaim.batch.number()
    }

    /// A batch is full, or all objects were looked at.
    fn begin_unmapping(&mut self) {
        let reclaim = &mut self.reclaim;
        if reclaim.batch.pages == 0 {
            return reclaim.turn_to(Hand::Pagers);
        }
        (reclaim.batch.place, reclaim.batch.page) = (reclaim.place, reclaim.page);
        reclaim.batch.unmapping = true;
        reclaim.turn_to(Hand::Pieces);
    }

    /// Looks at some pieces of copies: what they show stays. Each copy has its first one in itself.
    pub(super) fn sweep_pieces(&mut self) -> ReclaimStep {
        for _ in 0..STEP / 2 {
            let place = self.reclaim.place;
            if place >= self.pieces.end().max(self.copies.end()) {
                self.reclaim.turn_to(Hand::Buffers);
                return ReclaimStep::Done;
            }
            self.reclaim.next_place();
            let head = self.copies.at(place).and_then(|copy| copy.head);
            let piece = self.pieces.at(place).copied();
            for object in [head, piece].into_iter().flatten().filter_map(|p| p.object) {
                self.leave_batch(object);
            }
        }
        ReclaimStep::Done
    }

    /// Looks at some message buffers, whose pages stay although their map may be gone.
    pub(super) fn sweep_buffers(&mut self) -> ReclaimStep {
        for _ in 0..STEP {
            let place = self.reclaim.place;
            if place >= self.buffers.end() {
                self.reclaim.turn_to(Hand::Mappings);
                return ReclaimStep::Done;
            }
            self.reclaim.next_place();
            if let Some(object) = self.buffers.at(place).map(|buffer| buffer.object) {
                self.leave_batch(object);
            }
        }
        ReclaimStep::Done
    }

    /// Moves the hand that goes over entries, and takes mappings of a batch away.
    pub(super) fn sweep_mappings<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
    ) -> ReclaimStep {
        let mut budget = STEP;
        while budget > 0 {
            let place = self.reclaim.place;
            if place >= self.entries.end() {
                self.reclaim.batch.unmapping = false;
                self.reclaim.turn_to(Hand::Batch);
                return ReclaimStep::Done;
            }
            budget -= 1;
            let entry = self.entries.id_at(place);
            if entry.is_none_or(|id| self.unmap_leaving(context, id, &mut budget)) {
                self.reclaim.next_place();
            }
        }
        ReclaimStep::Done
    }

    /// Takes mappings of leaving pages away where an entry shows them, as far as a budget of pages goes; `false`: there are more.
    fn unmap_leaving<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        budget: &mut u64,
    ) -> bool {
        let entry = self.entry(id);
        let Some((map, object)) = entry.map.zip(entry.object) else {
            return true;
        };
        let weight = self.weight(object);
        *budget = budget.saturating_sub(weight - 1);
        let stays = entry.is_wired() || self.keeps_store(map);
        let (first, last) = (entry.index, entry.page_at(entry.end));
        let (mut touched, mut cursor) = (last..first, first + self.reclaim.page);
        while *budget > 0
            && let Some(page) = self.next_in_batch(object, cursor, last)
        {
            let large = self.for_leaving(object, page, |vm, holder, index| {
                if stays {
                    vm.clear_marks(holder, index..index + 1, Marks::LEAVING);
                }
            });
            if let Some(large) = large.filter(|_| !stays) {
                let address = self.entry(id).address_of(page);
                if let Some(root) = self.root(map) {
                    context.machine.unmap(root, address..address + PAGE_SIZE);
                }
                touched = touched.start.min(page)..page + 1;
                // To take a part out of a large mapping makes a table of small ones.
                let cost = if large { STEP / 4 } else { SINGLE * weight };
                *budget = budget.saturating_sub(cost);
            } else {
                *budget = budget.saturating_sub(weight);
            }
            cursor = page + 1;
        }
        if let Some(root) = self.root(map).filter(|_| !touched.is_empty()) {
            let entry = self.entry(id);
            let range = entry.address_of(touched.start)..entry.address_of(touched.end);
            context.machine.flush(root, range);
        }
        self.reclaim.page = cursor - first;
        *budget > 0
    }

    /// Whether a map is the default pager's: it would wait for itself.
    fn keeps_store(&self, map: MapId) -> bool {
        let ledger = self.maps.get(map).map(|map| map.ledger);
        self.store.is_some_and(|store| Some(store.ledger) == ledger)
    }

    /// The first page from `from` on, and before `to`, that an object of a batch has, of those that an object shows.
    ///
    /// Also one that is hidden: what lies behind what was lost may be mapped still.
    fn next_in_batch(&self, object: ObjectId, from: u64, to: u64) -> Option<u64> {
        let (mut object, mut shift, mut best) = (object, 0, to);
        loop {
            if self.is_in_batch(object)
                && let Some(index) = self.resident_from(object, from + shift)
            {
                best = best.min(index - shift);
            }
            match self.object(object).backing {
                Some(backing) if best > from => {
                    object = backing.object;
                    shift += backing.index;
                }
                _ => return (best < to).then_some(best),
            }
        }
    }

    /// Does something with the leaving pages that the objects of a chain have at an index; whether any was made as a part of a large
    /// one. `None`: there is none.
    fn for_leaving(
        &mut self,
        object: ObjectId,
        index: u64,
        mut work: impl FnMut(&mut Self, ObjectId, u64),
    ) -> Option<bool> {
        let (mut object, mut index, mut any) = (object, index, None);
        loop {
            if self.is_in_batch(object) && self.marks(object, index).contains(Marks::LEAVING) {
                any = Some(any == Some(true) || self.object(object).large);
                work(self, object, index);
            }
            let Some(backing) = self.object(object).backing else {
                return any;
            };
            object = backing.object;
            index += backing.index;
        }
    }

    /// Makes the pages of a batch idle that nobody used: nothing maps them now.
    pub(super) fn sweep_batch(&mut self) -> ReclaimStep {
        for _ in 0..STEP {
            let place = self.reclaim.place;
            if place >= self.objects.end() {
                self.end_batch();
                return ReclaimStep::Done;
            }
            let object = self.objects.id_at(place);
            let Some(object) = object.filter(|object| self.is_in_batch(*object)) else {
                self.reclaim.next_place();
                continue;
            };
            let Some(index) = self.resident_from(object, self.reclaim.page) else {
                let here = self.object_mut(object);
                (here.batch, here.in_flight) = (0, false);
                self.reclaim.next_place();
                continue;
            };
            if self.marks(object, index).contains(Marks::LEAVING) {
                self.clear_marks(object, index..index + 1, Marks::LEAVING);
                self.mark_page(object, index, Marks::IDLE);
            }
            self.reclaim.page = index + 1;
        }
        ReclaimStep::Done
    }

    /// The hand over objects goes on.
    fn end_batch(&mut self) {
        let reclaim = &mut self.reclaim;
        let Batch { place, page, .. } = reclaim.batch;
        reclaim.batch = Batch {
            closed: reclaim.batch.number(),
            ..Batch::default()
        };
        reclaim.turn_to(Hand::Objects);
        (reclaim.place, reclaim.page) = (place, page);
    }

    /// A piece of a copy shows an object: what it shows stays in memory.
    #[inline(always)]
    pub(super) fn keep_in_flight(&mut self, object: ObjectId) {
        let mut next = Some(object);
        while let Some(object) = next {
            let here = node_mut(&mut self.objects, object);
            (here.in_flight, here.batch) = (true, 0);
            next = here.backing.map(|backing| backing.object);
        }
    }

    /// Mappings of what an object shows go from one entry to another one.
    #[inline(always)]
    pub(super) fn move_mappings(&mut self, object: ObjectId) {
        if self.reclaim.batch.unmapping {
            self.leave_batch(object);
        }
    }

    /// What an object shows is not to be idle after this batch.
    #[cold]
    fn leave_batch(&mut self, object: ObjectId) {
        let mut next = Some(object);
        while let Some(object) = next {
            let here = self.object_mut(object);
            here.batch = 0;
            next = here.backing.map(|backing| backing.object);
        }
    }
}
