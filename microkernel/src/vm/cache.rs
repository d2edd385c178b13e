//! Memory objects that nobody maps: those that stay for a while, and those that end.
//!
//! An object whose pager said so (`may_cache`) stays, with its pages, until it is one of too many, the oldest, or memory is
//! short. One that ends gives its dirty and its precious pages back first, message by message, then it is told so.
//! Whoever maps it before that was told keeps it.
//!
//! What goes back is paid for by the object's payer, within its limits, even if that task has ended and another one has the port.
//!
//! A pager that cannot take a message now, since its ledger or its queue is full, is *held*: it goes on when it receives
//! one, or dies.

use abi::vm::copy_strategy;

use super::order::{OrderStep, Returns};
use super::pager::PagerState;
use super::tree::{node, node_mut};
use super::{Context, Cursor, PagerId, Vm};
use crate::base::ids::PortId;
use crate::machine::Machine;

/// Objects that stay without mappings.
pub(super) const MAX_CACHED: u32 = 64;

/// The objects that stay, by age.
#[derive(Clone, Copy, Default)]
pub(super) struct Cache {
    oldest: Option<PagerId>,
    newest: Option<PagerId>,
    pub(super) count: u32,
    /// See [`Vm::cache_counts`].
    lookups: u64,
    hits: u64,
}

/// An object's place in the [`Cache`].
#[derive(Clone, Copy, Default)]
pub(super) struct CachePlace {
    pub(super) is_in: bool,
    older: Option<PagerId>,
    newer: Option<PagerId>,
}

impl Vm {
    /// Times since boot that somebody mapped a memory object that the kernel had already, and of those the ones for which it had only
    /// stayed.
    pub fn cache_counts(&self) -> (u64, u64) {
        (self.cache.lookups, self.cache.hits)
    }

    /// Nobody refers to a memory object any more.
    pub(super) fn leave_pager(&mut self, id: PagerId) {
        if !self.stays_cached(id) {
            return self.close_pager(id);
        }
        let before = self.cache.newest.replace(id);
        match before {
            Some(before) => node_mut(&mut self.pagers, before).cached.newer = Some(id),
            None => self.cache.oldest = Some(id),
        }
        node_mut(&mut self.pagers, id).cached = CachePlace {
            is_in: true,
            older: before,
            newer: None,
        };
        self.cache.count += 1;
        if self.cache.count > MAX_CACHED {
            self.end_oldest();
        }
    }

    /// Lets the object go that nobody has mapped for the longest time; `false`: none stayed.
    pub(super) fn end_oldest(&mut self) -> bool {
        let Some(oldest) = self.cache.oldest else {
            return false;
        };
        self.uncache(oldest);
        self.close_pager(oldest);
        true
    }

    /// Somebody maps a memory object that is there already.
    pub(super) fn look_up(&mut self, id: PagerId) {
        let hit = node(&self.pagers, id).cached.is_in;
        let Cache { lookups, hits, .. } = &mut self.cache;
        (*lookups, *hits) = (lookups.wrapping_add(1), hits.wrapping_add(hit.into()));
        self.uncache(id);
    }

    pub(super) fn uncache(&mut self, id: PagerId) {
        let here = node_mut(&mut self.pagers, id);
        if !here.cached.is_in {
            return;
        }
        let CachePlace { older, newer, .. } = core::mem::take(&mut here.cached);
        match older {
            Some(older) => node_mut(&mut self.pagers, older).cached.newer = newer,
            None => self.cache.oldest = newer,
        }
        match newer {
            Some(newer) => node_mut(&mut self.pagers, newer).cached.older = older,
            None => self.cache.newest = older,
        }
        self.cache.count -= 1;
    }

    fn close_pager(&mut self, id: PagerId) {
        node_mut(&mut self.pagers, id).closing = true;
        self.list_pager(id);
    }

    /// Does up to a step of what the end of a memory object takes. `Return`: [`collect`](Self::collect) from there is to be
    /// sent; if it cannot be, [`hold_pager`](Self::hold_pager).
    pub fn close_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: PagerId,
    ) -> Option<Cursor> {
        let pager = self.pagers.get(id)?;
        let object = pager.object;
        if self.object(object).references > 0 {
            node_mut(&mut self.pagers, id).closing = false;
            return None;
        }
        let keeps = pager.state == PagerState::Ready
            && pager.attributes.copy_strategy != copy_strategy::TEMPORARY;
        let returns = if keeps {
            Returns::All
        } else {
            Returns::Nothing
        };
        match self.empty_step(context, object, returns) {
            OrderStep::Return(cursor) => return Some(cursor),
            OrderStep::More(_) => {}
            OrderStep::Done => {
                self.prune_pages(context, object);
                node_mut(&mut self.pagers, id).closing = false;
                self.finish_pager(id);
            }
        }
        None
    }

    /// The pager whose turn it is cannot take a message now.
    pub fn hold_pager(&mut self, id: PagerId) {
        debug_assert!(self.busy_pagers == Some(id), "not the first of the list");
        let pager = node_mut(&mut self.pagers, id);
        pager.listed = false;
        pager.held = true;
        self.busy_pagers = pager.next.take();
        self.held_pagers += 1;
    }

    /// The store's pager cannot be told what it is to forget now.
    pub fn hold_discards(&mut self) {
        self.discards_held = true;
    }

    /// Whether [`pager_drained`](Self::pager_drained) is of interest.
    pub fn holds_pagers(&self) -> bool {
        self.held_pagers > 0 || self.reclaim.blocked || self.discards_held
    }

    /// A message of the kernel's was received from a port.
    pub fn pager_drained(&mut self, port: PortId) {
        let Some(id) = self.pager_at(port) else {
            return;
        };
        if self.store() == Some(id) {
            self.discards_held = false;
            let blocked = core::mem::take(&mut self.reclaim.blocked);
            self.reclaim.wanted |= blocked;
        }
        if self.pagers.get(id).is_some_and(|pager| pager.held) {
            self.list_pager(id);
        }
    }

    /// Whether an object without references is known to end, or to stay.
    pub(super) fn is_left(&self, id: PagerId) -> bool {
        let pager = node(&self.pagers, id);
        pager.finished || pager.cached.is_in || (pager.closing && (pager.listed || pager.held))
    }
}
