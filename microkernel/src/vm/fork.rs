//! [`Vm::fork_map`]: a map that inherits another one's memory.
//!
//! Deliberately absent: stopping the parent's threads. What they write while the steps run may or may not
//! be in the child; who needs a snapshot of one moment suspends them.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::vm::inherit;

use super::object::MAX_CHAIN;
use super::pages::Withdraw;
use super::preserve::Strategy;
use super::snapshot::Wanted;
use super::tree::node_mut;
use super::{Context, ENTRY, Entry, EntryId, MapId, ObjectId, Progress, STEP, Vm};
use crate::base::KernResult;
use crate::base::ledger::LedgerId;
use crate::machine::Machine;
use abi::vm::protection;

/// How far a map has got with what it inherits.
#[derive(Clone, Copy)]
pub(super) struct Fork {
    parent: MapId,
    /// All below is done.
    cursor: u64,
}

/// How another map gets a part of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// Both see the same pages.
    Share,
    /// Each copies what it writes.
    Late,
    /// It gets a copy.
    Copied(Strategy),
}

/// A part of an entry for another map, up to `end`, with a reference to the object.
#[must_use = "the reference would be lost"]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    object: Option<ObjectId>,
    index: u64,
    needs_copy: bool,
    pub(super) end: u64,
}

impl Vm {
    /// An empty map that [`fork_step`](Self::fork_step) fills with what `parent` lets a child inherit.
    ///
    /// # Errors
    /// `ResourceShortage`. `InvalidTask`: there is no such parent.
    pub fn fork_map<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        parent: MapId,
        ledger: LedgerId,
    ) -> KernResult<MapId> {
        let parent_map = self.map_ref(parent)?;
        let (jit, limit) = (parent_map.jit, parent_map.size_limit);
        let child = self.create_map(context, ledger)?;
        let map = node_mut(&mut self.maps, child);
        map.jit = jit;
        map.size_limit = limit;
        map.fork = Some(Fork { parent, cursor: 0 });
        Ok(child)
    }

    /// Inherits some more.
    ///
    /// # Errors
    /// `ResourceShortage`; `InvalidTask`: the parent is gone. The child has what it has, and is to be destroyed.
    pub fn fork_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        child: MapId,
    ) -> KernResult<Progress> {
        let mut budget = STEP;
        // For the entry, and for a page of it at least.
        while budget > ENTRY {
            let Some(Fork { parent, cursor }) = self.map_ref(child)?.fork else {
                return Ok(Progress::Done(()));
            };
            self.map_ref(parent)?;
            let Some(id) = self.first_in(parent, &(cursor..u64::MAX)) else {
                self.abandon_fork(child);
                continue;
            };
            budget -= ENTRY;
            let start = self.entry(id).start.max(cursor);
            let done = self.inherit_front(context, (parent, child), (id, start), &mut budget)?;
            node_mut(&mut self.maps, child).fork = Some(Fork {
                parent,
                cursor: done,
            });
        }
        Ok(Progress::More)
    }

    /// Ends a fork, done or not.
    pub(super) fn abandon_fork(&mut self, child: MapId) {
        if let Some(map) = self.maps.get_mut(child) {
            map.fork = None;
        }
    }

    fn plan_inheritance(&self, id: EntryId) -> Option<Offered> {
        let entry = self.entry(id);
        match entry.attributes.inheritance {
            inherit::NONE => None,
            // A buffer is the parent's thread's: the child gets ordinary memory.
            inherit::SHARE if entry.wired == 0 => Some(Offered::Share),
            _ if entry
                .object
                .is_some_and(|object| self.object(object).is_device()) =>
            {
                None
            }
            _ => Some(self.plan_copy(id)),
        }
    }

    /// Gives the child a part of an entry from `start` on; returns its end.
    fn inherit_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (parent, child): (MapId, MapId),
        (id, start): (EntryId, u64),
        budget: &mut u64,
    ) -> KernResult<u64> {
        let entry = self.entry(id);
        let (end, attributes) = (entry.end, entry.attributes);
        let Some(how) = self.plan_inheritance(id) else {
            return Ok(end);
        };
        let to = (child, &mut *budget);
        let offer = self.offer(context, (parent, id), start..end, how, to)?;
        let Progress::Done(offer) = offer else {
            *budget = 0;
            return Ok(start);
        };
        let end = offer.end;
        self.accept(context, child, Entry::new(start, end, attributes), offer)?;
        self.join(context, parent, start);
        self.join(context, child, start);
        Ok(end)
    }

    /// How memory of an entry is copied.
    pub(super) fn plan_copy(&self, id: EntryId) -> Offered {
        let entry = self.entry(id);
        let Some(object) = entry.object else {
            return Offered::Late;
        };
        if entry.is_wired() {
            return Offered::Copied(Strategy::AtOnce);
        }
        if self.object(object).copies_lazily() && self.chain(object) < MAX_CHAIN {
            return Offered::Late;
        }
        Offered::Copied(self.strategy(object))
    }

    /// Prepares memory of an entry to be the map `to`'s too, from the beginning of a range in it on, and as far as the
    /// budget goes.
    pub(super) fn offer<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, id): (MapId, EntryId),
        range: Range<u64>,
        how: Offered,
        (to, budget): (MapId, &mut u64),
    ) -> KernResult<Progress<Offer>> {
        let (start, mut end) = (range.start, range.end);
        let entry = self.entry(id);
        match (how, entry.object) {
            (Offered::Share, _) => {
                if self.share(context, map, &range)? == Progress::More {
                    return Ok(Progress::More);
                }
            }
            (_, None) => {}
            (Offered::Late, Some(_)) => {
                end = self.protect_front(context, (map, id), range, budget)?;
            }
            (Offered::Copied(strategy), Some(object)) => {
                let from = Wanted {
                    object,
                    index: entry.page_at(start),
                    pages: (end - start) / PAGE_SIZE,
                    strategy,
                };
                *budget = 0;
                if self.snapshot_step(context, to, from)? == Progress::More {
                    return Ok(Progress::More);
                }
                return Ok(Progress::Done(Offer {
                    object: Some(self.take_snapshot(to, from)?),
                    index: 0,
                    needs_copy: false,
                    end,
                }));
            }
        }
        let entry = self.entry(self.find_entry(map, start)?);
        let (object, late) = (entry.object, how == Offered::Late);
        let offer = Offer {
            object,
            index: object.map_or(0, |_| entry.page_at(start)),
            needs_copy: entry.needs_copy || (late && object.is_some()),
            end,
        };
        if let Some(object) = object {
            self.reference(object);
        }
        Ok(Progress::Done(offer))
    }

    /// Puts what was offered into a map; on failure it is given back.
    pub(super) fn accept<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        entry: Entry,
        offer: Offer,
    ) -> KernResult<()> {
        let mut entry = entry;
        entry.object = offer.object;
        entry.index = offer.index;
        entry.needs_copy = offer.needs_copy;
        let added = self.add_entry(context, map, entry);
        if added.is_err() {
            self.decline(offer);
        }
        added.map(|_| ())
    }

    /// Gives an offer back.
    pub(super) fn decline(&mut self, offer: Offer) {
        if let Some(object) = offer.object {
            self.dereference(object);
        }
    }

    /// Lets a range of an entry, as far as the budget goes, be copied at the next write.
    fn protect_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (parent, id): (MapId, EntryId),
        range: Range<u64>,
        budget: &mut u64,
    ) -> KernResult<u64> {
        let Range { start, end } = range;
        let entry = self.entry(id);
        let private = entry
            .object
            .is_some_and(|object| self.object(object).is_private());
        if !private || entry.needs_copy {
            return Ok(end);
        }
        let id = self.clip(context, parent, id, &(start..end))?;
        let rights = Withdraw::AllBut(protection::READ | protection::EXECUTE);
        let stopped = self.withdraw(context, (parent, id), start..end, rights, budget);
        debug_assert!(stopped > start, "no budget");
        if stopped < end {
            self.split(context, parent, id, stopped)?;
        }
        self.entry_mut(id).needs_copy = true;
        Ok(stopped)
    }
}
