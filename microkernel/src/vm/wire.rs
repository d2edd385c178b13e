//! `vm_wire`: pages that are there and stay there.
//!
//! An entry counts how often it was wired; parts of an entry get entries of their own. Wired memory is never copied
//! late, so that no write to it has to wait for a page. Removing it unwires it; forks and copies are not wired. A pager's
//! pages are waited for, as a fault does, and then held (`hold.rs`).
//!
//! Each function does a step of up to [`STEP`] pages or entries and says how far it got.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::traits::Traits;
use super::{COPY_STEP, Context, ENTRY, Entry, MapId, STALLED, STEP, Vm, whole_pages};
use crate::base::KernResult;
use crate::machine::{Access, Machine};

/// How often memory can be wired: far more than anybody needs, so that a count never overflows.
const MAX_WIRES: u32 = 65_535;

impl Vm {
    /// Wires the whole pages of a range once more, from `from` on or, when that is below the range, from the beginning.
    /// Returns up to where it did; at the end of the range all is done.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around, no access or unknown bits, or a message buffer lies in it.
    /// `InvalidAddress`: a hole. `ProtectionFailure`: less is allowed than `access`. `ResourceShortage`: no pages, or wired too
    /// often. [`STALLED`]: a page is to be waited for, as [`fault`](Self::fault) says. Nothing changed beyond `from`.
    pub fn wire_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        access: u32,
        from: u64,
    ) -> KernResult<u64> {
        if access & !protection::ALL != 0 || access == 0 {
            return Err(KernReturn::InvalidArgument);
        }
        let range = self.wiring(map, range)?;
        let rest = range.start.max(from)..range.end;
        if rest.is_empty() {
            return Ok(range.end);
        }
        self.check_covered(map, &rest, Traits::allows(access))?;
        let id = self.find_entry(map, rest.start)?;
        let entry = self.entry(id);
        if entry.wires >= MAX_WIRES {
            return Err(KernReturn::ResourceShortage);
        }
        let end = entry.end.min(rest.end);
        let mut part = rest.start..end.min(rest.start + COPY_STEP * PAGE_SIZE);
        let access = self.wiring_access(entry, access);
        let mut page = part.start;
        while page < part.end {
            let found = self.fault_up_to(context, map, page, access);
            let settled = found.and_then(|(_, end)| {
                self.settle_page(context, map, page, access)?;
                Ok(end)
            });
            page = match settled {
                // What is there is wired before it may go again.
                Err(STALLED) if page > part.start => {
                    part.end = page;
                    break;
                }
                mapped => mapped?,
            };
            // A large page stays one.
            part.end = part.end.max(page.min(end));
        }
        let id = self.clip(context, map, id, &part)?;
        let held = match self.entry(id).wires {
            0 => self.hold(id),
            _ => Ok(()),
        };
        if held.is_ok() {
            self.entry_mut(id).wires += 1;
            self.refresh_entry(map, id);
        }
        self.join_ends(context, map, &part);
        held.map(|()| part.end)
    }

    /// Gives an entry a page of its own where a pager's page, which it cannot hold, shows behind a shadow.
    fn settle_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        access: Access,
    ) -> KernResult<()> {
        let entry = self.entry(self.find_entry(map, address)?);
        let (object, index) = (entry.object, entry.page_at(address));
        let shown = object.and_then(|object| Some((object, self.find_in_memory(object, index)?)));
        let Some((object, found)) = shown.filter(|(_, found)| found.paged && found.depth > 0)
        else {
            return Ok(());
        };
        self.adopt(context, map, object)?;
        self.copy_up(context, object, index, found)?;
        self.forget(context, map, address);
        self.fault(context, map, address, access).map(|_| ())
    }

    /// The access that brings the pages of an entry where they are to stay.
    fn wiring_access(&self, entry: &Entry, access: u32) -> Access {
        // A pager's page is not written because somebody may write it.
        let rights = match self.holdable(entry) {
            Some(_) => access,
            None => entry.attributes.protection,
        };
        if rights & protection::WRITE != 0 {
            Access::Write
        } else if rights & protection::READ != 0 {
            Access::Read
        } else {
            Access::Execute
        }
    }

    /// Unwires the whole pages of a range once, downward from `from` or, when that is above the range, from its end.
    /// Returns down to where it did; at the beginning of the range all is done.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around, a message buffer lies in it, or a part of it is not wired.
    /// `InvalidAddress`: a hole. `ResourceShortage`: a region would have to be split. Nothing changed below `from`.
    pub fn unwire_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        from: u64,
    ) -> KernResult<u64> {
        let range = self.wiring(map, range)?;
        let mut rest = range.start..range.end.min(from);
        if rest.is_empty() {
            return Ok(range.start);
        }
        self.check_covered(map, &rest, Traits::NONE)?;
        if self.any_has(map, &rest, Traits::UNWIRED) {
            return Err(KernReturn::InvalidArgument);
        }
        let mut budget = STEP;
        while budget > 0 && !rest.is_empty() {
            let id = self.find_entry(map, rest.end - 1)?;
            let entry = self.entry(id);
            let last = entry.wires == 1;
            let mut part = entry.start.max(rest.start)..rest.end;
            if last && self.holdable(entry).is_some() {
                let few = rest.end.saturating_sub(budget * PAGE_SIZE);
                part.start = part.start.max(few);
            }
            let id = self.clip(context, map, id, &part)?;
            let released = match last {
                true => self.release(id, &part),
                false => 0,
            };
            budget = budget.saturating_sub(released.max(ENTRY));
            self.entry_mut(id).wires -= 1;
            self.refresh_entry(map, id);
            self.join_ends(context, map, &part);
            rest.end = part.start;
        }
        Ok(rest.end)
    }

    /// The whole pages of a range that has no message buffer in it.
    fn wiring(&self, map: MapId, (address, size): (u64, u64)) -> KernResult<Range<u64>> {
        let range = whole_pages(address, size)?;
        self.map_ref(map)?;
        if size == 0 {
            return Ok(range.start..range.start);
        }
        if self.wired_in(map, &range) {
            return Err(KernReturn::InvalidArgument);
        }
        Ok(range)
    }

    /// Makes one entry of those at either end of a range that only continue each other.
    pub(super) fn join_ends<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: &Range<u64>,
    ) {
        self.join(context, map, range.start);
        self.join(context, map, range.end);
    }
}
