//! `vm_remap`: memory of one map in another one, or elsewhere in the same.
//!
//! A step takes a part of one region of the source and puts it into its place, where it replaces what is there: so each
//! page of the target shows the old or the new memory at any time. A place that must be free is taken by a region without
//! access first, which the steps replace.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::{behavior, inherit, map_flags, protection};

use super::allocate::{MapRequest, Source};
use super::fork::Offered;
use super::preserve::Strategy;
use super::traits::Traits;
use super::{COPY_STEP, Context, ENTRY, Entry, EntryId, MapId, Progress, STEP, Vm, whole_pages};
use crate::base::KernResult;
use crate::machine::Machine;

/// The arguments of `vm_remap`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remap {
    /// Where the memory is.
    pub source: MapId,
    /// From where on. The whole pages of the range are mapped.
    pub source_address: u64,
    /// Bytes.
    pub size: u64,
    /// Where it is to be, in which page, or from where on.
    pub address: u64,
    /// Bits that the new address must not have.
    pub mask: u64,
    /// `ANYWHERE`, `COPY` and `OVERWRITE` of [`map_flags`].
    pub flags: u64,
    /// Of [`inherit`].
    pub inheritance: u32,
}

impl Remap {
    /// What the same would be as a plain mapping of nothing: as many pages as the source has.
    fn reservation(&self, size: u64) -> MapRequest {
        let within = match self.flags & map_flags::ANYWHERE {
            0 => self.address % PAGE_SIZE,
            _ => 0,
        };
        MapRequest {
            address: self.address - within,
            size,
            mask: self.mask,
            flags: self.flags & !map_flags::COPY,
            source: Source::Anonymous,
            protection: protection::NONE,
            maximum: protection::NONE,
            inheritance: inherit::NONE,
        }
    }
}

impl Vm {
    /// Checks all, and finds and takes the place; its address.
    ///
    /// # Errors
    /// `InvalidArgument`: size 0, an overflow, unknown flags, the two ranges overlap, a device to be copied, or a
    /// message buffer to be shared or replaced. `InvalidAddress`: a hole in the source, or no place for a task's memory.
    /// `NoSpace`: the place is taken. `ProtectionFailure`: memory that is writable and executable, which this map
    /// may not have. `ResourceShortage`.
    pub fn remap_begin<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        remap: &Remap,
    ) -> KernResult<u64> {
        if remap.size == 0 {
            return Err(KernReturn::InvalidArgument);
        }
        let from = whole_pages(remap.source_address, remap.size)?;
        self.map_ref(map)?;
        self.check_remap(map, remap, &from)?;
        let request = remap.reservation(from.end - from.start);
        if remap.flags & map_flags::OVERWRITE == 0 {
            let place = self.find_place(map, &request)?;
            self.check_growth(map, &place, protection::ALL)?;
            return match self.map(context, map, request)? {
                Progress::Done(address) => Ok(address),
                // Only what replaces has steps.
                Progress::More => Err(KernReturn::Failure),
            };
        }
        self.check_request(map, &request)?;
        let to = self.find_place(map, &request)?;
        let overlap = to.start < from.end && from.start < to.end;
        if (map == remap.source && overlap) || self.wired_in(map, &to) {
            return Err(KernReturn::InvalidArgument);
        }
        self.check_growth(map, &to, protection::ALL)?;
        Ok(to.start)
    }

    /// Checks the source, entry by entry.
    fn check_remap(&self, map: MapId, remap: &Remap, from: &Range<u64>) -> KernResult<()> {
        const FLAGS: u64 = map_flags::ANYWHERE | map_flags::COPY | map_flags::OVERWRITE;
        if remap.flags & !FLAGS != 0 || remap.inheritance > inherit::NONE {
            return Err(KernReturn::InvalidArgument);
        }
        self.check_covered(remap.source, from, Traits::NONE)?;
        let copies = remap.flags & map_flags::COPY != 0;
        if !copies && self.wired_in(remap.source, from) {
            return Err(KernReturn::InvalidArgument);
        }
        if !self.map_ref(map)?.jit && self.any_has(remap.source, from, Traits::BOTH) {
            return Err(KernReturn::ProtectionFailure);
        }
        if copies && self.any_has(remap.source, from, Traits::DEVICE) {
            return Err(KernReturn::InvalidArgument);
        }
        Ok(())
    }

    /// Puts some more of the source into the place that [`remap_begin`](Self::remap_begin) found, from the byte `done` on;
    /// returns how many are done. With all pages of the source all is.
    ///
    /// # Errors
    /// As [`remap_begin`](Self::remap_begin), when the maps changed meanwhile. The place is then to be unmapped.
    /// [`STALLED`](super::STALLED): a pager is to supply what is copied; the same step is to be done again.
    pub fn remap_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        remap: &Remap,
        (address, done): (u64, u64),
    ) -> KernResult<u64> {
        let from = whole_pages(remap.source_address, remap.size)?;
        let rest = from.start + done..from.end;
        if rest.is_empty() {
            return Ok(done);
        }
        self.check_remap(map, remap, &rest)?;
        self.check_room(context, map)?;
        let id = self.find_entry(remap.source, rest.start)?;
        let end = self.entry(id).end.min(rest.end);
        let how = self.plan_remap(remap, id);
        let end = match how {
            // So many as can be replaced by one step.
            Offered::Copied(Strategy::AtOnce) => end.min(rest.start + COPY_STEP * PAGE_SIZE),
            _ => end,
        };
        let to = (map, &mut { STEP });
        let offer = self.offer(context, (remap.source, id), rest.start..end, how, to)?;
        let Progress::Done(offer) = offer else {
            return Ok(done);
        };
        let mut attributes = self
            .entry(self.find_entry(remap.source, rest.start)?)
            .attributes;
        attributes.inheritance = remap.inheritance;
        attributes.behavior = behavior::DEFAULT;
        let start = address + done;
        let place = start..start + (offer.end - rest.start);
        let free = self.clear_front(context, map, &place);
        let free = match free {
            Ok(end) if end > start => end,
            Ok(_) => {
                self.decline(offer);
                return Ok(done);
            }
            Err(error) => {
                self.decline(offer);
                return Err(error);
            }
        };
        self.accept(context, map, Entry::new(start, free, attributes), offer)?;
        self.join_ends(context, map, &(start..free));
        self.join(context, remap.source, rest.start);
        Ok(done + (free - start))
    }

    fn plan_remap(&self, remap: &Remap, id: EntryId) -> Offered {
        if remap.flags & map_flags::COPY != 0 {
            self.plan_copy(id)
        } else {
            Offered::Share
        }
    }

    /// Removes what is mapped in a range from its beginning on, by a step; returns up to where it is free.
    fn clear_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: &Range<u64>,
    ) -> KernResult<u64> {
        if self.wired_in(map, range) {
            return Err(KernReturn::InvalidArgument);
        }
        let mut budget = STEP;
        while let Some(id) = self.first_in(map, range) {
            if budget == 0 {
                return Ok(self.entry(id).start.max(range.start));
            }
            budget = budget.saturating_sub(ENTRY);
            self.remove_front(context, map, id, range, &mut budget)?;
        }
        Ok(range.end)
    }

    /// What all regions of a range allow, now and at most.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around.
    pub fn rights_in(&self, map: MapId, address: u64, size: u64) -> KernResult<(u32, u32)> {
        let range = whole_pages(address, size)?;
        let (mut now, mut most) = (protection::NONE, protection::NONE);
        for right in [protection::READ, protection::WRITE, protection::EXECUTE] {
            if self.all_have(map, &range, Traits::allows(right)) {
                now |= right;
            }
            if self.all_have(map, &range, Traits::may_allow(right)) {
                most |= right;
            }
        }
        Ok((now, most))
    }
}
