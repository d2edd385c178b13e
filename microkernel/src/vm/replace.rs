//! Putting a mapping into the place of others: all at once, whatever their size and number.
//!
//! Who else uses the range meets what was there or what replaces it, and never a hole. So the step that replaces takes the
//! old entries out of the map's tree together, and their mappings out of the page tables together ([`Machine::detach`]).
//! What then takes time is left for [`Vm::settle`], which is done before the thread that replaced goes on: the
//! old entries hang in one list ([`Vm::replaced`]), linked by `next`, and are taken apart one by one.
//!
//! Until then they are their map's and count for it, as do their pages for whoever pays for them, but no address leads to
//! them. One that shows a pager's object is still listed as such (`mappers.rs`): what is withdrawn for it meets, in the page
//! tables, what replaced it, and that is mapped again when it is used.
//!
//! Deliberately absent: the same for `deallocate`. Holes that appear one after the other are what it is to make.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;

use super::map::link_between;
use super::request::Stalled;
use super::tree::node_mut;
use super::{Context, ENTRY, Entry, EntryId, MapId, Progress, STALLED, STEP, Vm};
use crate::base::KernResult;
use crate::base::ledger::Resource;
use crate::machine::{Machine, Root};

/// [`Machine::detach`] makes no more tables than this: a root, and those of two levels on the way to either end.
const MAX_DETACHING_TABLES: u64 = 5;

impl Vm {
    /// Makes regions begin and end where a range that is to be replaced does. `Done`: it can be replaced, in the same step.
    ///
    /// # Errors
    /// `InvalidArgument`: a message buffer lies there. `ResourceShortage`.
    pub(super) fn prepare_place<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: &Range<u64>,
    ) -> KernResult<Progress> {
        if self.wired_in(map, range) {
            return Err(KernReturn::InvalidArgument);
        }
        let begins = self.split_at(context, map, range.start)?;
        let split = self.split_at(context, map, range.end)? || begins;
        // To replace what is large takes a step of its own.
        Ok(match split && is_large(range) {
            true => Progress::More,
            false => Progress::Done(()),
        })
    }

    /// Makes a region begin at an address, if it lies inside of one; whether it does.
    fn split_at<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        at: u64,
    ) -> KernResult<bool> {
        match self.find_entry(map, at) {
            Ok(id) if self.entry(id).start < at => self.split(context, map, id, at).map(|_| true),
            _ => Ok(false),
        }
    }

    /// Puts an entry into the place of whatever is mapped where it is to be. The place is
    /// [prepared](Self::prepare_place); the entry's reference to its object is the caller's to make.
    ///
    /// # Errors
    /// `ResourceShortage`: what was there is there.
    pub(super) fn replace<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        entry: Entry,
    ) -> KernResult<EntryId> {
        let range = entry.start..entry.end;
        let Some(first) = self.first_in(map, &range) else {
            return self.add_entry(context, map, entry);
        };
        let here = self.map_ref(map)?;
        let last = here.entries.floor(&self.entries, range.end - 1);
        let last = last.unwrap_or(first);
        let id = self.create_entry(context, map, entry)?;
        let untouched = first == last && self.entry(first).object.is_none();
        if !untouched && let Err(shortage) = self.unmap_at_once(context, map, &range) {
            self.free_entry(context, map, id);
            return Err(shortage);
        }
        let (previous, next) = (self.entry(first).previous, self.entry(last).next);
        link_between(&mut self.entries, id, previous, next);
        let here = node_mut(&mut self.maps, map);
        here.entries.replace_range(&mut self.entries, &range, id);
        here.hint = Some(id);
        self.list_mapper(id);
        let others = self.replaced.replace(first);
        self.settled = false;
        self.entry_mut(last).next = others;
        Ok(id)
    }

    /// Takes away all mappings of a range.
    fn unmap_at_once<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: &Range<u64>,
    ) -> KernResult<()> {
        let here = self.map_ref(map)?;
        let root = here.root.ok_or(KernReturn::InvalidTask)?;
        if is_large(range) {
            let shortage = KernReturn::ResourceShortage;
            let used = context.ledgers.used(here.ledger, Resource::Pages);
            let limit = context.ledgers.limit(here.ledger, Resource::Pages);
            if limit.saturating_sub(used) < MAX_DETACHING_TABLES {
                return Err(shortage);
            }
            let detached = context.machine.detach(root, range.clone());
            detached.map_err(|_| shortage)?;
            node_mut(&mut self.maps, map).covered = u64::MAX;
            self.charge_tables(context, map, root);
        } else {
            context.machine.unmap(root, range.clone());
        }
        context.machine.flush(root, range.clone());
        Ok(())
    }

    /// Takes entries that were replaced apart, as far as a budget of pages goes.
    #[inline(never)]
    pub(super) fn take_apart<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        budget: &mut u64,
    ) {
        while *budget > 0
            && let Some(id) = self.replaced
        {
            let entry = self.entry(id);
            let Some(map) = entry.map else {
                debug_assert!(false, "an entry of no map was replaced");
                return;
            };
            if let Some(root) = self.root(map)
                && !self.free_detached(context, map, root)
            {
                *budget = 0;
                return;
            }
            if self.empty_replaced(context, id, budget) {
                let entry = self.entry(id);
                let object = entry.object;
                self.replaced = entry.next;
                self.unlist_mapper(id);
                self.free_entry(context, map, id);
                if let Some(object) = object {
                    self.dereference(object);
                }
                *budget = budget.saturating_sub(ENTRY);
            }
        }
    }

    /// Frees some of the tables that were detached; `true`: there was none.
    fn free_detached<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        root: Root,
    ) -> bool {
        let none = context.machine.free_detached(root);
        if !none {
            self.charge_tables(context, map, root);
        }
        none
    }

    /// Frees what only an entry that was replaced reaches, and lets go of what it holds; `false`: there is more.
    fn empty_replaced<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        budget: &mut u64,
    ) -> bool {
        let entry = self.entry(id);
        let (start, end) = (entry.start, entry.end);
        if entry.object.is_none() {
            return true;
        }
        let part = start..end.min(start.saturating_add(*budget * PAGE_SIZE));
        let released = self.release(id, &part);
        *budget = budget.saturating_sub(released);
        if released > 0 && part.end < end {
            let index = self.entry(id).page_at(part.end);
            let entry = self.entry_mut(id);
            (entry.start, entry.index) = (part.end, index);
            return false;
        }
        self.drop_own_pages(context, id, start..end, budget)
    }

    /// What becomes of an access that failed with this code: while pages that are to be freed count for somebody, a shortage
    /// is none yet.
    #[cold]
    #[inline(never)]
    pub(super) fn excuse(&mut self, code: KernReturn) -> KernReturn {
        if code != KernReturn::ResourceShortage || self.replaced.is_none() {
            return code;
        }
        self.stalled = Some(Stalled::Step);
        STALLED
    }
}

/// Whether a range has more pages than the machine unmaps one by one.
fn is_large(range: &Range<u64>) -> bool {
    range.end - range.start > STEP * PAGE_SIZE
}
