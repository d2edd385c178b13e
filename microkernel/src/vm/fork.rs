//! [`Vm::fork_map`]: a map that inherits another one's memory.
//!
//! Deliberately absent: stopping the parent's threads. What they write while the steps run may or may not
//! be in the child; who needs a snapshot of one moment suspends them.

use abi::PAGE_SIZE;
use abi::vm::inherit;

use super::object::MAX_CHAIN;
use super::pages::Withdraw;
use super::tree::node_mut;
use super::{Context, Entry, EntryId, MapId, Progress, STEP, Vm};
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

/// How a child gets a part of an entry.
enum Plan {
    Nothing,
    Share,
    Late,
    Now,
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
        let jit = self.map_ref(parent)?.jit;
        let child = self.create_map(context, ledger)?;
        let map = node_mut(&mut self.maps, child);
        map.jit = jit;
        map.fork = Some(Fork { parent, cursor: 0 });
        Ok(child)
    }

    /// Inherits some more.
    ///
    /// # Errors
    /// `ResourceShortage`; `NotSupported`: a shared region of more than [`SHARE_PAGES`](super::SHARE_PAGES) that was copied
    /// before; `InvalidTask`: the parent is gone. The child has what it has, and is to be destroyed.
    pub fn fork_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        child: MapId,
    ) -> KernResult<Progress> {
        let mut budget = STEP;
        // One for the entry, at least one for its pages.
        while budget > 1 {
            let Some(Fork { parent, cursor }) = self.map_ref(child)?.fork else {
                return Ok(Progress::Done(()));
            };
            self.map_ref(parent)?;
            let Some(id) = self.first_in(parent, &(cursor..u64::MAX)) else {
                self.abandon_fork(child);
                continue;
            };
            budget -= 1;
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

    fn plan_inheritance(&self, id: EntryId) -> Plan {
        let entry = self.entry(id);
        let late = entry.object.is_none_or(|object| {
            entry.wired == 0
                && self.object(object).copies_lazily()
                && self.chain(object) < MAX_CHAIN
        });
        match entry.attributes.inheritance {
            inherit::NONE => Plan::Nothing,
            // A buffer is the parent's thread's: the child gets ordinary memory.
            inherit::SHARE if entry.wired == 0 => Plan::Share,
            _ if entry
                .object
                .is_some_and(|object| self.object(object).is_device()) =>
            {
                Plan::Nothing
            }
            _ if late => Plan::Late,
            _ => Plan::Now,
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
        let mut end = self.entry(id).end;
        let mut inherited = Entry::new(start, end, self.entry(id).attributes);
        match self.plan_inheritance(id) {
            Plan::Nothing => return Ok(end),
            Plan::Share => {
                self.share(context, parent, id, &(start..end))?;
                let entry = self.entry(self.find_entry(parent, start)?);
                inherited.object = entry.object;
                inherited.index = entry.page_at(start);
                inherited.needs_copy = entry.needs_copy;
            }
            Plan::Late => {
                end = self.protect_front(context, parent, (id, start), budget)?;
                let entry = self.entry(self.find_entry(parent, start)?);
                inherited.object = entry.object;
                inherited.index = entry.object.map_or(0, |_| entry.page_at(start));
                inherited.needs_copy = entry.object.is_some();
            }
            Plan::Now => {
                end = end.min(start.saturating_add(STEP * PAGE_SIZE));
                let ledger = self.map_ref(child)?.ledger;
                let entry = self.entry(id);
                if let Some(object) = entry.object {
                    let from = (object, entry.page_at(start));
                    let pages = (end - start) / PAGE_SIZE;
                    let copy = self.copy_object(context, from, pages, ledger)?;
                    inherited.object = Some(copy);
                    inherited.end = end;
                    let added = self.add_entry(context, child, inherited);
                    if added.is_err() {
                        self.dereference(copy);
                    }
                    *budget = 0;
                    return added.map(|_| end);
                }
            }
        }
        inherited.end = end;
        let object = inherited.object;
        self.add_entry(context, child, inherited)?;
        if let Some(object) = object {
            self.reference(object);
        }
        self.join(context, parent, start);
        self.join(context, child, start);
        Ok(end)
    }

    /// Lets an entry of the parent, from `start` on and as far as the budget goes, be copied at the next write.
    fn protect_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        parent: MapId,
        (id, start): (EntryId, u64),
        budget: &mut u64,
    ) -> KernResult<u64> {
        let entry = self.entry(id);
        let end = entry.end;
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
