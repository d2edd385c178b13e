//! `vm_behavior_set` where it changes contents, `vm_page_query`, and the limit of a map's size.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::{disposition, protection};

use super::marks::Marks;
use super::object::{Found, Kind, Shown};
use super::order::Order;
use super::pages::Withdraw;
use super::traits::Traits;
use super::{COPY_STEP, Context, EntryId, MapId, STEP, Vm, whole_pages};
use crate::base::KernResult;
use crate::machine::{Access, Machine};

/// What becomes of the contents of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contents {
    /// They may be lost: a private page reads as before or as zeros.
    Unneeded,
    /// They are zeros.
    Zeros,
}

/// What pages are to make room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aside {
    /// They go now, and what is nowhere else is lost.
    Kill,
    /// They are the first to go when memory is short.
    Deactivate,
}

impl Aside {
    /// What it means for memory objects.
    pub fn order(self) -> Order {
        match self {
            Self::Kill => Order::DROP_ALL,
            Self::Deactivate => Order::UNMAP,
        }
    }
}

/// The most bytes that a map may hold in regions with any access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeLimit {
    /// Now.
    pub current: u64,
    /// What the former may be raised to.
    pub maximum: u64,
}

impl SizeLimit {
    pub(super) const NONE: Self = Self {
        current: u64::MAX,
        maximum: u64::MAX,
    };
}

impl Vm {
    /// What is left of the whole pages of a range of a map, from the page that `from` lies in on: nothing, at their end, when that is
    /// beyond it, and for size 0.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around. `InvalidTask`: there is no such map.
    pub(super) fn rest_of(
        &self,
        map: MapId,
        (address, size): (u64, u64),
        from: u64,
    ) -> KernResult<Range<u64>> {
        let range = whole_pages(address, size)?;
        self.map_ref(map)?;
        let start = match size {
            0 => range.end,
            _ => range.start.max(from - from % PAGE_SIZE).min(range.end),
        };
        Ok(start..range.end)
    }

    /// Discards the contents of the whole pages of a range from `from` on or, when that is below, from the beginning.
    /// Returns up to where it did, by a step; at the end of the range all is done.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around. `InvalidAddress`: a hole. `ProtectionFailure`: zeros where writing is not
    /// allowed. `ResourceShortage`.
    pub fn discard_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        contents: Contents,
        from: u64,
    ) -> KernResult<u64> {
        let rest = self.rest_of(map, range, from)?;
        if rest.is_empty() {
            return Ok(rest.end);
        }
        let right = match contents {
            Contents::Unneeded => protection::NONE,
            Contents::Zeros => protection::WRITE,
        };
        self.check_covered(map, &rest, Traits::allows(right))?;
        let id = self.find_entry(map, rest.start)?;
        let part = rest.start..self.entry(id).end.min(rest.end);
        if self.drops_to_zeros(id) {
            return Ok(self.drop_front(context, (map, id), part));
        }
        if contents == Contents::Unneeded {
            return Ok(part.end);
        }
        let end = part.end.min(part.start + COPY_STEP * PAGE_SIZE);
        for page in (part.start..end).step_by(PAGE_SIZE as usize) {
            let found = self.page_for(context, map, page, Access::Write)?;
            context.machine.zero_page(found.page);
        }
        Ok(end)
    }

    /// Does with the anonymous memory of a range, from `from` on, what memory objects get an order for. Holes, and what others
    /// see, too, are passed over. Returns up to where it did, by a step; at the end of the range all is done.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around.
    pub fn set_aside_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        aside: Aside,
        from: u64,
    ) -> KernResult<u64> {
        let rest = self.rest_of(map, range, from)?;
        if rest.is_empty() {
            return Ok(rest.end);
        }
        let Some(id) = self.first_in(map, &rest) else {
            return Ok(rest.end);
        };
        let entry = self.entry(id);
        let part = entry.start.max(rest.start)..entry.end.min(rest.end);
        Ok(match aside {
            Aside::Kill if self.drops_to_zeros(id) => self.drop_front(context, (map, id), part),
            Aside::Kill => part.end,
            Aside::Deactivate => self.idle_front(context, id, part),
        })
    }

    /// Frees the pages of an entry's part, which nobody else has, from its beginning on, by a step; up to where it did.
    fn drop_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, id): (MapId, EntryId),
        part: Range<u64>,
    ) -> u64 {
        let mut budget = STEP;
        let done = self.withdraw(context, (map, id), part.clone(), Withdraw::All, &mut budget);
        self.drop_pages(context, id, part.start..done);
        done
    }

    /// Whether pages of an entry that are freed read as zeros, and nobody else has them.
    fn drops_to_zeros(&self, id: EntryId) -> bool {
        let entry = self.entry(id);
        !entry.is_wired()
            && !entry.needs_copy
            && entry.object.is_none_or(|object| {
                let object = self.object(object);
                object.is_private() && object.backing.is_none()
            })
    }

    /// Whether regions cover a range without holes.
    ///
    /// # Errors
    /// `InvalidArgument`: it wraps around. `InvalidAddress`: a hole.
    pub fn check_mapped(&self, map: MapId, (address, size): (u64, u64)) -> KernResult<()> {
        let range = whole_pages(address, size)?;
        self.map_ref(map)?;
        if size == 0 {
            return Ok(());
        }
        self.check_covered(map, &range, Traits::NONE)
    }

    /// Bits of [`disposition`] of a page, and the references to its object.
    ///
    /// # Errors
    /// `InvalidAddress`: nothing is mapped there.
    pub fn page_query(&self, map: MapId, address: u64) -> KernResult<(u32, u32)> {
        let entry = self.entry(self.find_entry(map, address)?);
        let Some(object) = entry.object else {
            return Ok((0, 0));
        };
        let references = self.object(object).references;
        let (mut bits, holder) = match self.find(object, entry.page_at(address)) {
            None => return Ok((0, references)),
            Some(Shown::Stored(stored)) => (disposition::PAGED_OUT, stored.object),
            Some(Shown::Page(found)) => (self.page_state(&found), found.holder.0),
        };
        if holder != object || entry.needs_copy {
            bits |= disposition::COPIED;
        }
        Ok((bits, references))
    }

    /// Bits of [`disposition`] of a page in memory.
    fn page_state(&self, found: &Found) -> u32 {
        let (object, index) = found.holder;
        let dirty = match self.object(object).kind {
            Kind::Anonymous => true,
            Kind::Physical { .. } => false,
            Kind::Paged(_) => self.marks(object, index).contains(Marks::DIRTY),
        };
        let mut bits = disposition::PRESENT;
        if dirty {
            bits |= disposition::DIRTY;
        }
        if !found.idle {
            bits |= disposition::REFERENCED;
        }
        bits
    }

    /// A map's limit of size.
    ///
    /// # Errors
    /// `InvalidTask`: there is no such map.
    pub fn size_limit(&self, map: MapId) -> KernResult<SizeLimit> {
        Ok(self.map_ref(map)?.size_limit)
    }

    /// Sets a map's limit of size. What is mapped beyond it stays. The caller checks who may raise the maximum.
    ///
    /// # Errors
    /// `InvalidArgument`: more now than at most. `InvalidTask`: there is no such map.
    pub fn set_size_limit(&mut self, map: MapId, limit: SizeLimit) -> KernResult<()> {
        if limit.current > limit.maximum {
            return Err(KernReturn::InvalidArgument);
        }
        let here = self.maps.get_mut(map).ok_or(KernReturn::InvalidTask)?;
        here.size_limit = limit;
        Ok(())
    }

    /// Whether a map may have a range, which replaces what is there, with this maximum protection.
    pub(super) fn check_growth(
        &self,
        map: MapId,
        range: &Range<u64>,
        maximum: u32,
    ) -> KernResult<()> {
        let limit = self.map_ref(map)?.size_limit.current;
        if limit == u64::MAX || maximum == protection::NONE {
            return Ok(());
        }
        let below = |address| self.usable_below(map, address);
        let replaced = below(range.end)? - below(range.start)?;
        let used = below(u64::MAX)? - replaced;
        if limit.saturating_sub(used) < range.end - range.start {
            return Err(KernReturn::NoSpace);
        }
        Ok(())
    }
}
