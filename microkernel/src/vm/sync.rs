//! `vm_msync`, and the parts of a map that it and `vm_behavior_set` reach pagers through.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::{protection, sync};

use super::advise::Aside;
use super::object::Kind;
use super::order::{Flush, Order, Returns};
use super::pager::PagerState;
use super::traits::Traits;
use super::{MapId, PagerId, STEP, Vm, whole_pages};
use crate::base::KernResult;

/// What `vm_msync` is to do with a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// With what memory objects show there. Other memory is nowhere else: nothing of it is written back, and none of its
    /// pages is clean.
    Order(Order),
    /// With all of it.
    Aside(Aside),
}

/// A part of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagedPart {
    /// It shows a memory object.
    Object {
        /// Which one.
        pager: PagerId,
        /// Bytes of it: from where, and how many.
        range: (u64, u64),
        /// Where the part ends, as an address.
        end: u64,
    },
    /// It does not, up to this address.
    Other(u64),
    /// There is nothing left.
    Nothing,
}

impl Vm {
    /// Checks what `vm_msync` is asked to do, and says what it is.
    ///
    /// # Errors
    /// `InvalidArgument`: unknown flags, synchronous and asynchronous at once, or the range wraps around.
    /// `InvalidAddress`: a hole, and it was to be contiguous. `ProtectionFailure`: what was written is to be lost, and not all of
    /// it may be written.
    pub fn check_sync(
        &self,
        map: MapId,
        (address, size): (u64, u64),
        flags: u32,
    ) -> KernResult<Sync> {
        const BOTH: u32 = sync::SYNCHRONOUS | sync::ASYNCHRONOUS;
        const KNOWN: u32 = BOTH | sync::INVALIDATE | sync::CONTIGUOUS;
        const ASIDE: u32 = sync::KILL_PAGES | sync::DEACTIVATE;
        let range = whole_pages(address, size)?;
        self.map_ref(map)?;
        if flags & !(KNOWN | ASIDE) != 0 || flags & BOTH == BOTH {
            return Err(KernReturn::InvalidArgument);
        }
        if size > 0 && flags & sync::CONTIGUOUS != 0 {
            self.check_covered(map, &range, Traits::NONE)?;
        }
        if flags & sync::KILL_PAGES != 0 {
            let writable = Traits::allows(protection::WRITE);
            return match self.first_where(map, &range, |all, _| !all.contains(writable)) {
                Some(_) if size > 0 => Err(KernReturn::ProtectionFailure),
                _ => Ok(Sync::Aside(Aside::Kill)),
            };
        }
        if flags & sync::DEACTIVATE != 0 {
            return Ok(Sync::Aside(Aside::Deactivate));
        }
        Ok(Sync::Order(Order {
            returns: if flags & BOTH == 0 {
                Returns::Nothing
            } else {
                Returns::Dirty
            },
            flush: if flags & sync::INVALIDATE == 0 {
                Flush::Nothing
            } else {
                Flush::Clean
            },
            lock: None,
        }))
    }

    /// The first part, from an address on, of the whole pages of a range.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around. `MemoryError`: a memory object whose pager is dead is to get something.
    pub fn paged_part(
        &self,
        map: MapId,
        range: (u64, u64),
        from: u64,
        order: &Order,
    ) -> KernResult<PagedPart> {
        let mut range = self.rest_of(map, range, from)?;
        for _ in 0..STEP {
            let first = self.first_in(map, &range);
            let Some(id) = first.filter(|_| !range.is_empty()) else {
                return Ok(PagedPart::Nothing);
            };
            let entry = self.entry(id);
            let (start, end) = (entry.start.max(range.start), entry.end.min(range.end));
            let object = entry.object.map(|object| self.object(object).kind);
            if let Some(Kind::Paged(pager)) = object {
                match self.pagers.get(pager).map(|pager| pager.state) {
                    Some(PagerState::Ready) => {
                        return Ok(PagedPart::Object {
                            pager,
                            range: (entry.page_at(start) * PAGE_SIZE, end - start),
                            end,
                        });
                    }
                    // It has nothing yet.
                    Some(PagerState::Told) => {}
                    _ if order.returns == Returns::Nothing => {}
                    _ => return Err(KernReturn::MemoryError),
                }
            }
            range.start = end;
        }
        Ok(PagedPart::Other(range.start))
    }
}
