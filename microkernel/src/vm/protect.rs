//! `vm_protect` and `vm_inherit`.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::{inherit, protection};

use super::entry::Attributes;
use super::pages::Withdraw;
use super::preserve::Strategy;
use super::snapshot::Wanted;
use super::traits::{Change, Traits};
use super::{COPY_STEP, Context, ENTRY, EntryId, MapId, ObjectId, Progress, STEP, Vm, whole_pages};
use crate::base::KernResult;
use crate::machine::Machine;

/// Which of a region's protections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// What accesses are checked against.
    Current,
    /// What the current one may be raised to. Lowering it lowers the current one.
    Maximum,
}

impl Vm {
    /// Sets the current or the maximum protection of the whole pages of a range. With [`protection::COPY`] writing may
    /// be granted beyond the maximum: what others see too is then copied. Nothing changes on an error; what
    /// is right goes in steps.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around, unknown bits, or a message buffer lies in it. `InvalidAddress`: a
    /// hole. `ProtectionFailure`: more than the maximum, or writable and executable. `ResourceShortage`: a
    /// region would have to be split.
    pub fn protect<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        which: Which,
        rights: u32,
    ) -> KernResult<Progress> {
        let size = range.1;
        let range = whole_pages(range.0, size)?;
        let copies = rights & protection::COPY != 0;
        let rights = rights & !protection::COPY;
        if rights & !protection::ALL != 0 || (copies && which == Which::Maximum) {
            return Err(KernReturn::InvalidArgument);
        }
        self.map_ref(map)?;
        if size == 0 {
            return Ok(Progress::Done(()));
        }
        if which == Which::Current {
            self.check_exclusion(map, rights)?;
        }
        let beyond = if copies { protection::WRITE } else { 0 };
        self.check_covered(map, &range, Traits::may_allow(rights & !beyond))?;
        if self.wired_in(map, &range) {
            return Err(KernReturn::InvalidArgument);
        }
        if copies {
            if self.any_has(map, &range, Traits::DEVICE) {
                return Err(KernReturn::InvalidArgument);
            }
            return self.protect_copy(context, map, range, rights);
        }
        let change = match which {
            Which::Current => Change::protection(rights),
            Which::Maximum => Change::maximum(rights),
        };
        self.change(context, map, range, change)
    }

    /// Lets a range, which was checked, be written without anybody else seeing it.
    fn protect_copy<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: Range<u64>,
        rights: u32,
    ) -> KernResult<Progress> {
        let shared = self.first_where(map, &range, |_, any| any.contains(Traits::COMMON));
        let Some(id) = shared else {
            return self.change(context, map, range, Change::writable(rights));
        };
        let entry = self.entry(id);
        let object = entry.object.ok_or(KernReturn::Failure)?;
        let at = entry.start.max(range.start);
        let end = entry.end.min(range.end).min(at + COPY_STEP * PAGE_SIZE);
        let id = self.clip(context, map, id, &(at..end))?;
        self.leave_shared(context, (map, id), object)?;
        Ok(Progress::More)
    }

    /// Gives an entry of up to [`COPY_STEP`] pages an object of its own instead of one that others see too.
    fn leave_shared<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, id): (MapId, EntryId),
        object: ObjectId,
    ) -> KernResult<()> {
        let here = self.object(object);
        if here.copies_lazily() {
            self.entry_mut(id).needs_copy = true;
            self.note_object(map, id);
            return Ok(());
        }
        let entry = self.entry(id);
        let (range, pages) = (entry.start..entry.end, entry.size());
        let from = Wanted {
            object,
            index: entry.index,
            pages,
            strategy: match entry.is_wired() {
                true => Strategy::AtOnce,
                false => self.strategy(object),
            },
        };
        if self.snapshot_step(context, map, from)? == Progress::More {
            return Ok(());
        }
        let copy = self.take_snapshot(map, from)?;
        self.withdraw_all(context, (map, id), range.clone(), Withdraw::All);
        self.release(id, &range);
        self.unlist_mapper(id);
        let entry = self.entry_mut(id);
        entry.object = Some(copy);
        entry.index = 0;
        self.list_mapper(id);
        self.note_object(map, id);
        self.dereference(object);
        Ok(())
    }

    /// Sets how a range, which has no holes, will be used, in steps.
    ///
    /// # Errors
    /// As [`inherit`](Self::inherit).
    pub fn set_behavior<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        behavior: u32,
    ) -> KernResult<Progress> {
        self.mark(context, map, range, Change::behavior(behavior))
    }

    /// Sets what a child gets of the whole pages of a range, in steps.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around, or no such inheritance. `InvalidAddress`: a hole.
    /// `ResourceShortage`: a region would have to be split.
    pub fn inherit<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        inheritance: u32,
    ) -> KernResult<Progress> {
        if inheritance > inherit::NONE {
            return Err(KernReturn::InvalidArgument);
        }
        self.mark(context, map, range, Change::inheritance(inheritance))
    }

    /// Changes what is kept of a range and concerns no mapping of its pages.
    fn mark<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        (address, size): (u64, u64),
        change: Change,
    ) -> KernResult<Progress> {
        let range = whole_pages(address, size)?;
        self.map_ref(map)?;
        if size == 0 {
            return Ok(Progress::Done(()));
        }
        self.check_covered(map, &range, Traits::NONE)?;
        if self.wired_in(map, &range) {
            return Err(KernReturn::InvalidArgument);
        }
        self.change(context, map, range, change)
    }

    /// Changes the attributes in a range without holes, in steps. Mappings never allow more than their
    /// entry, so entries that have the attributes already need nothing: that is how a step goes on.
    fn change<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: Range<u64>,
        change: Change,
    ) -> KernResult<Progress> {
        let mut budget = STEP;
        while let Some(id) = self.first_where(map, &range, |all, any| change.is_due(all, any)) {
            if budget == 0 {
                return Ok(Progress::More);
            }
            budget = budget.saturating_sub(ENTRY);
            let id = self.clip(context, map, id, &range)?;
            let new = change.apply(self.entry(id).attributes);
            self.change_front(context, (map, id), new, &mut budget)?;
        }
        self.join(context, map, range.start);
        self.join(context, map, range.end);
        Ok(Progress::Done(()))
    }

    /// Changes the attributes of an entry from its front, as far as the budget goes.
    fn change_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, id): (MapId, EntryId),
        new: Attributes,
        budget: &mut u64,
    ) -> KernResult<()> {
        let (start, end, old) = {
            let entry = self.entry(id);
            (entry.start, entry.end, entry.attributes.protection)
        };
        let mut stopped = end;
        if old & !new.protection != 0 {
            let rights = Withdraw::AllBut(new.protection);
            stopped = self.withdraw(context, (map, id), start..end, rights, budget);
        }
        if stopped == start {
            return Ok(());
        }
        if stopped < end {
            self.split(context, map, id, stopped)?;
        }
        self.entry_mut(id).attributes = new;
        self.refresh_entry(map, id);
        self.join(context, map, start);
        Ok(())
    }
}
