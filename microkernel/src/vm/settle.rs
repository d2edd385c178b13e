//! [`Vm::settle`]: taking apart what was replaced, freeing objects that nobody refers to, and merging shadows with what is
//! behind them.

use super::object::Kind;
use super::pages::SEARCH;
use super::shadow::Backing;
use super::{Context, Object, ObjectId, Progress, STEP, Vm, cost};
use crate::base::ledger::Resource;
use crate::machine::Machine;

impl Vm {
    /// Whether nothing is left to settle.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Does up to [`STEP`] pages of the work that dropped references and replacing left behind.
    ///
    /// Functions that drop references call it themselves; who gets `More` from one of them, or drops a
    /// reference by a function without steps, calls on until it is done.
    pub fn settle<M: Machine>(&mut self, context: &mut Context<'_, M>) -> Progress {
        let mut budget = STEP;
        if self.replaced.is_some() {
            self.take_apart(context, &mut budget);
        }
        while budget > 0 {
            let Some(id) = self.unsettled else {
                self.settled = true;
                return Progress::Done(());
            };
            budget -= 1;
            if self.object(id).references == 0 {
                self.reap(context, id, &mut budget);
            } else if let Some(shadow) = self.only_shadow(id) {
                self.collapse(context, id, shadow, &mut budget);
            } else {
                self.unlist(id);
            }
        }
        Progress::More
    }

    fn unlist(&mut self, id: ObjectId) {
        debug_assert!(self.unsettled == Some(id), "not the first of the list");
        let object = self.object_mut(id);
        object.listed = false;
        self.unsettled = object.next.take();
    }

    /// The one object that reaches this one, if it can take this one's pages.
    pub(super) fn only_shadow(&self, id: ObjectId) -> Option<ObjectId> {
        let object = self.object(id);
        if object.references != 1 || object.shadows.count != 1 || !object.is_private() {
            return None;
        }
        let shadow = object.shadows.first?;
        (self.object(shadow).references > 0).then_some(shadow)
    }

    /// Frees pages of an object without references, and at last the object.
    fn reap<M: Machine>(&mut self, context: &mut Context<'_, M>, id: ObjectId, budget: &mut u64) {
        if let Kind::Paged(pager) = self.object(id).kind {
            self.unlist(id);
            return self.leave_pager(pager);
        }
        while self.resident_from(id, 0).is_some() {
            if *budget == 0 {
                return;
            }
            let gone = self.drop_run(context, id, 0..=u64::MAX, *budget);
            *budget = budget.saturating_sub(gone + SEARCH);
        }
        self.prune_pages(context, id);
        self.unlist(id);
        if let Some(backing) = self.leave_shadows(id) {
            self.dereference(backing.object);
        }
        self.remove_object(context, id);
    }

    /// Moves pages of an object to its only shadow, those that show through; frees the others; at last the
    /// shadow gets what was behind the object.
    ///
    /// No mapping changes: pages that show keep their place, those that do not are mapped nowhere.
    fn collapse<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: ObjectId,
        shadow: ObjectId,
        budget: &mut u64,
    ) {
        let Some(Backing { index: window, .. }) = self.object(shadow).backing else {
            return self.unlist(id);
        };
        while let Some(index) = self.resident_from(id, 0) {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            let front = self.object(shadow);
            let place = index.checked_sub(window).filter(|place| {
                *place < front.size && front.pages.get(&self.residents, *place).is_none()
            });
            let Some(place) = place else {
                self.drop_page(context, id, index);
                continue;
            };
            if self.make_place(context, shadow, place).is_err()
                || !self.move_charge(context, id, shadow)
            {
                // The shadow's owner cannot take the page: the two stay apart.
                return self.unlist(id);
            }
            self.move_page(context, (id, index), (shadow, place));
        }
        self.prune_pages(context, id);
        self.unlist(id);
        self.leave_shadows(shadow);
        // In this order: one that is behind both meets the shadow before it forgets the object.
        if let Some(behind) = self.object(id).backing {
            self.join_shadows(shadow, behind.from(window));
        }
        self.leave_shadows(id);
        self.object_mut(shadow).lost |= self.object(id).lost;
        self.remove_object(context, id);
    }

    /// Moves the charge for one page; `false`: the new payer has no room.
    pub(super) fn move_charge<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        from: ObjectId,
        to: ObjectId,
    ) -> bool {
        let (from, to) = (self.object(from).ledger, self.object(to).ledger);
        if from == to {
            return true;
        }
        if let Some(to) = to
            && context.charge(to, Resource::Pages, 1).is_err()
        {
            return false;
        }
        if let Some(from) = from {
            context.release(from, Resource::Pages, 1);
        }
        true
    }

    /// Lets an object show past its backing, as long as that shows nothing through it that the object does not hide.
    ///
    /// It is for backings that others hold too: what a child wrote after a fork does not keep alive, for its
    /// parent, what the parent replaced long ago. No mapping changes. A backing with more than [`STEP`] pages there stays.
    pub(super) fn bypass(&mut self, id: ObjectId) {
        while let Some(Backing { object, index }) = self.object(id).backing {
            let behind = self.object(object);
            if behind.kind != Kind::Anonymous || behind.shared || !self.hides(id, object, index) {
                return;
            }
            let (next, lost) = (behind.backing, behind.lost);
            self.leave_shadows(id);
            if let Some(next) = next {
                self.reference(next.object);
                self.join_shadows(id, next.from(index));
            }
            self.object_mut(id).lost |= lost;
            self.dereference(object);
        }
    }

    /// Whether an object has a page of its own in front of each that the object behind it has, from `window` on.
    fn hides(&self, id: ObjectId, behind: ObjectId, window: u64) -> bool {
        let front = self.object(id);
        let end = window.saturating_add(front.size);
        let mut at = window;
        for _ in 0..STEP {
            let Some(index) = self.resident_from(behind, at).filter(|index| *index < end) else {
                return true;
            };
            if front.pages.get(&self.residents, index - window).is_none() {
                return false;
            }
            at = index + 1;
        }
        false
    }

    pub(super) fn remove_object<M: Machine>(&mut self, context: &mut Context<'_, M>, id: ObjectId) {
        debug_assert!(!self.object(id).listed);
        let Some(object) = self.objects.remove(id) else {
            return;
        };
        debug_assert!(object.pages.nodes() == 0 && object.pages.len() == 0);
        if let Some(ledger) = object.ledger {
            context.release(ledger, Resource::KernelBytes, cost::<Object>());
        }
    }
}
