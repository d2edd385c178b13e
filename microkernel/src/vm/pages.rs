//! What the hardware knows of a map: putting mappings in, taking them or their rights away.
//!
//! Invariant: nothing is taken away without a flush of the same range in the same call.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::object::Kind;
use super::tree::{node, node_mut};
use super::{COPY_STEP, Context, EntryId, MapId, ObjectId, STEP, Vm};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Access, Caching, Machine, Page, Root};

/// One mapping never needs more new tables than this: four levels, of which the root exists.
const MAX_NEW_TABLES: u64 = 3;

/// As many pages as it costs to find a run of them, in instructions (2026-11: 2,500 against 500). A step's budget of
/// pages is for runs too.
pub(super) const SEARCH: u64 = 4;

/// What one table of the last level maps, in bytes.
const COVERED: u64 = 512 * PAGE_SIZE;

/// What happens to the mappings of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Withdraw {
    /// They go.
    All,
    /// They keep these rights at most.
    AllBut(u32),
}

/// What the hardware is to map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mapping {
    pub(super) page: Page,
    pub(super) protection: u32,
    pub(super) caching: Caching,
}

impl Vm {
    /// Maps a page, and charges the tables that this took.
    pub(super) fn install<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        mapping: Mapping,
    ) -> KernResult<()> {
        let here = self.map_ref(map)?;
        let root = here.root.ok_or(KernReturn::InvalidTask)?;
        let covered = here.covered == address / COVERED;
        if !covered {
            check_tables(context, here.ledger)?;
        }
        let Mapping {
            page,
            protection,
            caching,
        } = mapping;
        let mapped = context
            .machine
            .map(root, address, page, protection, caching);
        if covered {
            // No table was made.
            return mapped.map_err(|_| KernReturn::ResourceShortage);
        }
        self.charge_tables(context, map, root);
        if mapped.is_err() {
            return Err(KernReturn::ResourceShortage);
        }
        node_mut(&mut self.maps, map).covered = address / COVERED;
        Ok(())
    }

    /// Brings the charge for page tables up to date.
    pub(super) fn charge_tables<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        root: Root,
    ) {
        let now = context.machine.table_pages(root);
        let here = node_mut(&mut self.maps, map);
        if now > here.tables {
            let more = now - here.tables;
            if context.charge(here.ledger, Resource::Pages, more).is_ok() {
                here.tables = now;
            }
        } else if now < here.tables {
            context.release(here.ledger, Resource::Pages, here.tables - now);
            here.tables = now;
        }
    }

    /// Takes away mappings, or rights of mappings, in a range that lies in one entry, as far as the budget of pages
    /// goes. Returns where it stopped: the end of the range, when all is done.
    pub(super) fn withdraw<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, id): (MapId, EntryId),
        range: Range<u64>,
        what: Withdraw,
        budget: &mut u64,
    ) -> u64 {
        let Some(root) = node(&self.maps, map).root else {
            return range.end;
        };
        let entry = self.entry(id);
        let Some(object) = entry.object else {
            return range.end;
        };
        let last = entry.page_at(range.end);
        let mut cursor = entry.page_at(range.start);
        let mut touched = false;
        let weight = self.weight(object);
        while *budget > 0 && cursor < last {
            let large = self.large_run(id, cursor..last);
            let pages = (STEP.min(*budget) / weight).max(1);
            let Some(run) = large.or_else(|| self.next_run(object, cursor..last, pages)) else {
                cursor = last;
                break;
            };
            let entry = self.entry(id);
            let addresses = entry.address_of(run.start)..entry.address_of(run.end);
            match what {
                Withdraw::All => context.machine.unmap(root, addresses),
                Withdraw::AllBut(rights) => context.machine.protect(root, addresses, rights),
            }
            *budget = budget.saturating_sub((run.end - run.start) * weight + SEARCH);
            cursor = run.end;
            touched = true;
        }
        let stopped = self.entry(id).address_of(cursor);
        if touched {
            context.machine.flush(root, range.start..stopped);
        }
        stopped
    }

    /// As [`withdraw`](Self::withdraw), all of a range that the caller knows to be short.
    pub(super) fn withdraw_all<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        at: (MapId, EntryId),
        range: Range<u64>,
        what: Withdraw,
    ) {
        let end = range.end;
        let stopped = self.withdraw(context, at, range, what, &mut { u64::MAX });
        debug_assert!(stopped == end, "pages stay mapped");
    }

    /// The first run of pages, at most `limit` of them, that an object shows in a range.
    fn next_run(&self, object: ObjectId, range: Range<u64>, limit: u64) -> Option<Range<u64>> {
        let first = self.next_shown(object, range.start, range.end)?;
        let mut end = first + 1;
        let stop = range.end.min(first.saturating_add(limit));
        while end < stop {
            let own = self.object(object).pages.run(&self.residents, end);
            if own == 0 && self.next_shown(object, end, stop) != Some(end) {
                break;
            }
            end = stop.min(end.saturating_add(own.max(1)));
        }
        Some(first..end)
    }

    /// Where a step ends that begins with the first page of a range: it takes few pages that an object shows, however far apart
    /// they lie.
    pub(super) fn few_shown(&self, object: ObjectId, range: Range<u64>) -> u64 {
        let (mut budget, mut cursor) = (COPY_STEP, range.start);
        let weight = self.weight(object);
        while budget > 0 {
            let pages = (budget / weight).max(1);
            let Some(run) = self.next_run(object, cursor..range.end, pages) else {
                return range.end;
            };
            budget = budget.saturating_sub((run.end - run.start) * weight + SEARCH);
            cursor = run.end;
        }
        cursor
    }

    /// The first page at or after `from`, and before `to`, that an object shows and that so may be mapped.
    pub(super) fn next_shown(&self, object: ObjectId, from: u64, to: u64) -> Option<u64> {
        let (mut object, mut shift) = (object, 0);
        let mut best = to;
        loop {
            let here = self.object(object);
            if let Kind::Physical { .. } = here.kind {
                best = from;
            } else if let Some(index) = self.resident_from(object, from + shift) {
                best = best.min(index - shift);
            }
            match here.backing {
                // What is lost may still be mapped.
                Some(backing) if best > from => {
                    object = backing.object;
                    shift += backing.index;
                }
                _ => return (best < to).then_some(best),
            }
        }
    }

    /// Frees the pages of an entry's part that no one else can reach, and lets go of those that it holds. Nothing maps them
    /// any more.
    pub(super) fn drop_pages<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        range: Range<u64>,
    ) {
        self.release(id, &range);
        let done = self.drop_own_pages(context, id, range, &mut { u64::MAX });
        debug_assert!(done, "pages stay");
    }

    /// Frees the pages of an entry's part that no one else can reach, as far as a budget of pages goes; `false`: there are
    /// more.
    pub(super) fn drop_own_pages<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        range: Range<u64>,
        budget: &mut u64,
    ) -> bool {
        let entry = self.entry(id);
        let Some(object) = entry.object else {
            return true;
        };
        if entry.needs_copy || !self.object(object).is_private() {
            return true;
        }
        let (first, last) = (entry.page_at(range.start), entry.page_at(range.end));
        let Some(last) = last.checked_sub(1).filter(|last| first <= *last) else {
            return true;
        };
        while *budget > 0 {
            let gone = self.drop_run(context, object, first..=last, STEP.min(*budget));
            if gone == 0 {
                return true;
            }
            *budget = budget.saturating_sub(gone + SEARCH);
        }
        false
    }
}

/// Whether a ledger can pay for the tables that a mapping may take.
pub(super) fn check_tables<M: Machine>(
    context: &Context<'_, M>,
    ledger: LedgerId,
) -> KernResult<()> {
    let used = context.ledgers.used(ledger, Resource::Pages);
    let limit = context.ledgers.limit(ledger, Resource::Pages);
    match limit.saturating_sub(used) < MAX_NEW_TABLES {
        true => Err(KernReturn::ResourceShortage),
        false => Ok(()),
    }
}

/// What the hardware may allow for a page of an entry: never writing and executing at once.
///
/// An entry that allows both (a map that may) gets what the access needs, and the other at its own fault.
pub(super) fn mapped_rights(allowed: u32, access: Access) -> u32 {
    const BOTH: u32 = protection::WRITE | protection::EXECUTE;
    match access {
        _ if allowed & BOTH != BOTH => allowed,
        Access::Write => allowed & !protection::EXECUTE,
        Access::Read | Access::Execute => allowed & !protection::WRITE,
    }
}
