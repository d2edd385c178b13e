//! `vm_behavior_set` with `WILL_NEED`: pages are asked for before anybody waits for them.
//!
//! Nobody waits for the answers; who needs such a page before it is there waits for it as for any other. What cannot be
//! asked for now is left: it will be asked for when it is needed.
//!
//! Bounds: a call asks for the first [`AHEAD`] pages that are missing, and only while half of the messages that its
//! task may have waiting are left: a fault needs one, too.

use abi::PAGE_SIZE;

use super::request::Ask;
use super::{Context, ENTRY, EntryId, MapId, ObjectId, STALLED, STEP, Vm};
use crate::base::KernResult;
use crate::base::ledger::Resource;
use crate::machine::Machine;

/// The most pages that one call asks for.
pub const AHEAD: u32 = 32;

/// What a look ahead found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ahead {
    /// All below this address was looked at.
    pub next: u64,
    /// The page below it is missing.
    pub missing: bool,
    /// Its pager is to be asked.
    pub ask: Option<Ask>,
}

impl Vm {
    /// Looks for the first page of a range, from `from` on, that only a pager can bring; by a step. Holes are passed over.
    /// When the task can pay for no more such questions, that was all.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around.
    pub fn look_ahead<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        from: u64,
    ) -> KernResult<Ahead> {
        let range = self.rest_of(map, range, from)?;
        let nothing = |next| Ahead {
            next,
            missing: false,
            ask: None,
        };
        let ledger = self.map_ref(map)?.ledger;
        let used = context.ledgers.used(ledger, Resource::Messages);
        let limit = context.ledgers.limit(ledger, Resource::Messages);
        if used >= limit / 2 || !self.may_stall() {
            return Ok(nothing(range.end));
        }
        let mut at = range.start;
        let mut budget = STEP;
        while budget > 0 && at < range.end {
            let Some(id) = self.first_in(map, &(at..range.end)) else {
                return Ok(nothing(range.end));
            };
            let (object, start) = self.next_brought(id, at);
            at = start;
            let Some(object) = object.filter(|_| start < range.end) else {
                budget = budget.saturating_sub(ENTRY);
                continue;
            };
            let page = self.entry(id).page_at(start);
            budget = budget.saturating_sub(self.weight(object));
            at = start + PAGE_SIZE;
            if self.await_pages(context, object, page..page + 1) == Err(STALLED) {
                // A pager that is dead is not asked, and neither is one that was.
                let wait = self.await_page(context, map, None).ok().flatten();
                return Ok(Ahead {
                    next: at,
                    missing: true,
                    ask: wait.and_then(|wait| wait.ask),
                });
            }
        }
        Ok(nothing(at.min(range.end)))
    }

    /// The first address from `from` on in an entry where a pager may have to bring a page, and the object that shows it; the
    /// entry's end when there is none.
    fn next_brought(&self, id: EntryId, from: u64) -> (Option<ObjectId>, u64) {
        let entry = self.entry(id);
        let (start, end) = (entry.start.max(from), entry.end);
        let Some(object) = entry.object else {
            return (None, end);
        };
        let page = entry.page_at(start);
        if self.paged_behind(object, page).is_some() {
            return (Some(object), start);
        }
        // Zeros need nobody; what was put away is among the pages that were made.
        match self.next_shown(object, page, entry.page_at(end)) {
            Some(made) if !self.slots.is_empty() => (Some(object), entry.address_of(made)),
            _ => (None, end),
        }
    }
}
