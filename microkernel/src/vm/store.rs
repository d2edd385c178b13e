//! The *store*: where pages of anonymous memory go when memory is short, and come back from.
//!
//! It is a memory object of the *default pager*, a task that the privileged host port names, and the kernel alone
//! uses it. A page that is *put away* gets a place in it, a [`Slot`], and is returned to the default pager as if it had
//! been written there; its object remembers the place. Who needs it waits for a `data_request` of that place, as for any pager's
//! page, and then the page moves back. So a page is in memory or in the store, never in both, and the default pager need not keep
//! what it supplies, if it calls it precious.
//!
//! Who pays: a page that is put away stays charged to its object's ledger; its copy at the default pager to that one's,
//! from the moment at which it is sent.
//!
//! Invariants ([`Vm::check`]): a place is one page's, or waits to be forgotten. One whose page is asked for is not given to
//! another page before the answer.
//!
//! Who reaches the object finds the page there again, however many they are: the first one who needs it asks for it, the others wait
//! for the same answer.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;
use arena::Id;

use super::marks::{Content, Marks};
use super::object::Stored;
use super::pager::PagerState;
use super::request::{Question, Stall};
use super::tree::{node, node_mut};
use super::{Context, CopyId, ObjectId, PagerId, Piece, Returned, STEP, Victim, Vm};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Machine, Page};

/// Pages that the default pager's ledger has left at least when another one is sent to it: it needs some to take it.
const HEADROOM: u64 = 64;

/// Reaches a place in the store.
type SlotId = Id<Slot>;

/// A place in the store.
pub struct Slot {
    /// The store's pager when the page went there.
    pager: PagerId,
    /// It is in the list of those to be forgotten, or waits for an answer to get there.
    freed: bool,
    next: Option<SlotId>,
}

/// The store.
#[derive(Clone, Copy)]
pub(super) struct Store {
    pub(super) pager: PagerId,
    /// Who keeps it: what that task needs, it gets, and none of its pages is put away.
    pub(super) ledger: LedgerId,
    /// How many places it has.
    capacity: u64,
}

impl Slot {
    pub(super) fn is_freed(&self) -> bool {
        self.freed
    }
}

impl Vm {
    /// Makes a memory object the store, with room for so many pages. The caller's reference becomes the store's.
    ///
    /// # Errors
    /// `NameExists`: there is one, and its pager lives. `InvalidCapability`: there is no such object. `ResourceShortage`: nobody
    /// pays for it.
    pub fn set_store(&mut self, pager: PagerId, capacity: u64) -> KernResult<()> {
        let here = self.pagers.get(pager);
        let object = here.ok_or(KernReturn::InvalidCapability)?.object;
        let ledger = self.object(object).ledger;
        let ledger = ledger.ok_or(KernReturn::ResourceShortage)?;
        if self.store.is_some() {
            return Err(KernReturn::NameExists);
        }
        self.reclaim.watch();
        self.store = Some(Store {
            pager,
            ledger,
            capacity: capacity.min(u32::MAX.into()),
        });
        Ok(())
    }

    /// The store's pager.
    pub fn store(&self) -> Option<PagerId> {
        self.store.map(|store| store.pager)
    }

    /// A memory object is dead, and what was in it lost.
    pub(super) fn lose_store(&mut self, pager: PagerId) {
        if self.store() == Some(pager) {
            self.store = None;
            self.reclaim.store_lost();
            self.drop_pager(pager);
        }
    }

    /// Whether a page can be put away, as far as the store and its keeper's ledger are concerned.
    pub(super) fn can_store<M: Machine>(&self, context: &Context<'_, M>) -> bool {
        let Some(store) = self.store else {
            return false;
        };
        let used = context.ledgers.used(store.ledger, Resource::Pages);
        let limit = context.ledgers.limit(store.ledger, Resource::Pages);
        self.is_ready(store.pager)
            && u64::from(self.slots.len()) < store.capacity
            && limit.saturating_sub(used) > HEADROOM
    }

    /// Whether any page may have to be waited for.
    pub fn may_stall(&self) -> bool {
        self.pagers.len() > u32::from(self.store.is_some()) || !self.slots.is_empty()
    }

    pub(super) fn is_ready(&self, pager: PagerId) -> bool {
        let pager = self.pagers.get(pager);
        pager.is_some_and(|pager| pager.state == PagerState::Ready)
    }

    /// Takes an object's own page, which nobody maps, out of memory: it is to be sent to the store's pager.
    ///
    /// # Errors
    /// `ResourceShortage`: there is no room, or the store's keeper cannot pay. Nothing changed.
    pub fn put_away<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        Victim { object, index }: Victim,
    ) -> KernResult<Returned> {
        let shortage = KernReturn::ResourceShortage;
        let store = self.store.ok_or(shortage)?;
        let content = self.object(object).pages.get(&self.residents, index);
        let page = content.and_then(Content::page).ok_or(shortage)?;
        let copy = self.create_copy(context, store.ledger, (0, PAGE_SIZE))?;
        let placed = self.prepare_copy(context, copy, &store);
        let Ok((slot, own)) = placed else {
            self.release_pieces(context, copy);
            return Err(shortage);
        };
        self.move_to_store(context, (object, index), slot);
        let attached = self.attach_page(context, own, (0, Content::Page(page)));
        debug_assert!(attached.is_ok(), "a place was made");
        Ok(Returned {
            copy,
            offset: u64::from(slot.index()) * PAGE_SIZE,
            size: PAGE_SIZE,
            dirty: true,
            kept: false,
        })
    }

    /// All that putting a page away may fail at: room in a copy, and a place.
    fn prepare_copy<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        store: &Store,
    ) -> KernResult<(SlotId, ObjectId)> {
        let own = self.own_object(context, copy)?;
        let piece = Piece {
            object: Some(own),
            index: 0,
            pages: 1,
            needs_copy: false,
            next: None,
        };
        self.add_piece(context, copy, piece)?;
        self.make_place(context, own, 0)?;
        context.charge(store.ledger, Resource::Pages, 1)?;
        let slot = Slot {
            pager: store.pager,
            freed: false,
            next: None,
        };
        let slot = self.slots.insert(slot).map_err(|_| {
            context.release(store.ledger, Resource::Pages, 1);
            KernReturn::ResourceShortage
        })?;
        Ok((slot, own))
    }

    fn move_to_store<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, index): (ObjectId, u64),
        slot: SlotId,
    ) {
        // What a pager supplied unasked has no owner.
        self.drop_supplied(context, slot);
        let here = node_mut(&mut self.objects, object);
        if let Some(ledger) = here.ledger {
            context.ledgers.put_away(ledger, 1);
        }
        let content = Content::Stored(slot.index());
        here.pages.replace(&mut self.residents, index, content);
    }

    /// Brings a page back to its object.
    ///
    /// # Errors
    /// [`STALLED`](super::STALLED): the pager is to supply it first. `MemoryError`: the store is gone.
    pub(super) fn fetch<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        stored: Stored,
    ) -> KernResult<()> {
        let lost = KernReturn::MemoryError;
        let slot = self.slots.id_at(stored.number).ok_or(lost)?;
        let pager = node(&self.slots, slot).pager;
        let from = self.pagers.get(pager).ok_or(lost)?.object;
        let place = u64::from(stored.number);
        let Some((page, marks)) = self.supplied(from, place) else {
            return self.stall(Stall {
                pager,
                page: place,
                question: Question::Data(protection::READ),
            });
        };
        self.detach_page(context, from, place);
        if let Some(ledger) = self.object(from).ledger {
            context.release(ledger, Resource::Pages, 1);
        }
        let here = node_mut(&mut self.objects, stored.object);
        if let Some(ledger) = here.ledger {
            context.ledgers.bring_back(ledger, 1);
        }
        let content = Content::Page(page);
        here.pages
            .replace(&mut self.residents, stored.index, content);
        if marks.contains(Marks::PRECIOUS) {
            self.slots.remove(slot);
        } else {
            // The pager has it still.
            self.discard(slot);
        }
        Ok(())
    }

    fn supplied(&self, object: ObjectId, place: u64) -> Option<(Page, Marks)> {
        match self.object(object).pages.look(&self.residents, place)? {
            (Content::Page(page), marks) => Some((page, marks)),
            (Content::Stored(_), _) => None,
        }
    }

    /// A page that was put away is not needed any more.
    pub(super) fn forget_stored<M: Machine>(&mut self, context: &mut Context<'_, M>, number: u32) {
        let Some(slot) = self.slots.id_at(number) else {
            debug_assert!(false, "a page is nowhere");
            return;
        };
        let pager = node(&self.slots, slot).pager;
        if self.next_request(pager, number.into()) == Some(number.into()) {
            // The answer would be another page's.
            node_mut(&mut self.slots, slot).freed = true;
            return;
        }
        self.drop_supplied(context, slot);
        self.discard(slot);
    }

    /// What was asked of the store for a place is answered; nobody may be left who wanted it.
    pub(super) fn store_answered(&mut self, pager: PagerId, place: u64) {
        let slot = u32::try_from(place).ok();
        if let Some(slot) = slot.and_then(|slot| self.slots.id_at(slot))
            && node(&self.slots, slot).pager == pager
            && node(&self.slots, slot).freed
        {
            self.discard(slot);
        }
    }

    fn drop_supplied<M: Machine>(&mut self, context: &mut Context<'_, M>, slot: SlotId) {
        let pager = self.pagers.get(node(&self.slots, slot).pager);
        let place = u64::from(slot.index());
        if let Some(object) = pager.map(|pager| pager.object)
            && self.supplied(object, place).is_some()
        {
            self.drop_page(context, object, place);
        }
    }

    fn discard(&mut self, slot: SlotId) {
        let next = self.discards.replace(slot);
        let here = node_mut(&mut self.slots, slot);
        here.freed = true;
        here.next = next;
    }

    /// Places that the store's pager is to be told to forget, next to each other and up to [`STEP`]: in bytes of its object.
    /// They are free then. `None`: there were none, or none of this store's.
    pub fn take_discards<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
    ) -> Option<(u64, u64)> {
        let store = self.store();
        let (mut first, mut count) = (0, 0);
        for _ in 0..STEP {
            let Some(slot) = self.discards else { break };
            let (pager, place) = (node(&self.slots, slot).pager, slot.index());
            let alive = Some(pager) == store;
            // They were put in one after the other, mostly: the list has them the other way round.
            if alive && count > 0 && place + 1 != first {
                break;
            }
            self.drop_supplied(context, slot);
            let slot = self.slots.remove(slot);
            self.discards = slot.and_then(|slot| slot.next);
            if alive {
                (first, count) = (place, count + 1);
            }
        }
        let bytes = |pages: u64| pages * PAGE_SIZE;
        (count > 0).then_some((bytes(first.into()), bytes(count)))
    }
}
