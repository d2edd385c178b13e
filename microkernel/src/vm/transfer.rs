//! Pages from one object to another one.

use core::ops::Range;

use abi::PAGE_SIZE;

use super::{Context, ObjectId, Vm};
use crate::base::KernResult;
use crate::machine::Machine;

impl Vm {
    /// Copies the pages that an object shows, but not those that it shows through fewer than `skip` shadows.
    pub(super) fn copy_pages<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (from, range): (ObjectId, Range<u64>),
        (to, place): (ObjectId, u64),
        skip: u32,
    ) -> KernResult<()> {
        let mut at = range.start;
        while let Some(index) = self.next_shown(from, at, range.end) {
            at = index + 1;
            let Some(found) = self.find_page(context, from, index)? else {
                continue;
            };
            if found.depth < skip || (found.paged && self.object(to).backing.is_some()) {
                // It stays where it is, or shows through as it does here.
                continue;
            }
            let page = self.add_page(context, to, place + (index - range.start))?;
            let length = PAGE_SIZE as usize;
            context.machine.copy((found.page, 0), (page, 0), length);
        }
        Ok(())
    }

    /// Sees to it that [`move_pages`](Self::move_pages) can move an object's own pages of a range.
    pub(super) fn make_places<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (from, range): (ObjectId, Range<u64>),
        (to, place): (ObjectId, u64),
    ) -> KernResult<()> {
        let mut at = range.start;
        while let Some(index) = self.resident_from(from, at).filter(|at| *at < range.end) {
            self.make_place(context, to, place + (index - range.start))?;
            at = index + 1;
        }
        Ok(())
    }

    /// Moves an object's own pages of a range to another object with the same payer, where there are places for them.
    pub(super) fn move_pages<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (from, range): (ObjectId, Range<u64>),
        (to, place): (ObjectId, u64),
    ) {
        let first = range.start;
        while let Some(index) = self.resident_from(from, first).filter(|at| *at < range.end) {
            self.move_page(context, (from, index), (to, place + (index - first)));
        }
    }

    /// Moves a page to an object where there is a place for it. The charge for it is the caller's matter.
    pub(super) fn move_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (from, index): (ObjectId, u64),
        (to, place): (ObjectId, u64),
    ) {
        if let Some(content) = self.detach_page(context, from, index) {
            if content.is_stored() {
                let payers = (self.object(from).ledger, self.object(to).ledger);
                context.ledgers.move_away(payers, 1);
            }
            let moved = self.attach_page(context, to, (place, content));
            debug_assert!(moved.is_ok(), "no place was made");
        }
    }
}
