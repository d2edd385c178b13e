//! [`MemoryEntry`]: a right to map a part of an object, with at most some protection.
//!
//! It is the shared memory of servers and drivers, a device's registers, and the boot archive. The port that
//! stands for it is the `ipc` layer's; here it is an id with a count of references.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::object::Kind;
use super::traits::Traits;
use super::tree::node_mut;
use super::whole_pages;
use super::{Context, CopyId, MapId, MemoryEntryId, ObjectId, PagerId, Progress, Vm, cost};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Caching, Machine, Page};

/// A right to map memory.
pub struct MemoryEntry {
    pub(super) object: ObjectId,
    /// The object's page at which it begins.
    pub(super) index: u64,
    pub(super) pages: u64,
    pub(super) maximum: u32,
    /// It was made as a copy.
    is_copy: bool,
    references: u32,
    pub(super) ledger: Option<LedgerId>,
}

impl Vm {
    /// A memory entry of pages that exist by themselves: device registers, or the boot archive. They are never
    /// freed. Without the right to write, copies of it take no pages until they are written.
    ///
    /// # Errors
    /// `InvalidArgument`: no pages, or unknown bits. `ResourceShortage`.
    pub fn make_physical<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        pages: Range<Page>,
        caching: Caching,
        maximum: u32,
        ledger: Option<LedgerId>,
    ) -> KernResult<MemoryEntryId> {
        if pages.start >= pages.end || maximum & !protection::ALL != 0 {
            return Err(KernReturn::InvalidArgument);
        }
        let kind = Kind::Physical {
            first: pages.start,
            caching,
            writable: maximum & protection::WRITE != 0 || caching == Caching::Uncached,
        };
        let size = u64::from(pages.end.0 - pages.start.0);
        let object = self.create_object(context, kind, size, ledger)?;
        self.add_memory_entry(context, (object, 0..size), maximum, ledger)
    }

    /// A memory entry of new zero-filled memory, for which `ledger` pays as it is touched.
    ///
    /// # Errors
    /// `InvalidArgument`: size 0, or one that overflows. `ResourceShortage`.
    pub fn make_anonymous<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        size: u64,
        maximum: u32,
        ledger: LedgerId,
    ) -> KernResult<MemoryEntryId> {
        let pages = whole_pages(0, size)?.end / PAGE_SIZE;
        if pages == 0 || maximum & !protection::ALL != 0 {
            return Err(KernReturn::InvalidArgument);
        }
        let object = self.create_object(context, Kind::Anonymous, pages, Some(ledger))?;
        self.object_mut(object).shared = true;
        self.add_memory_entry(context, (object, 0..pages), maximum, Some(ledger))
    }

    /// A memory entry of a copy that [`copy_out_apart`](Self::copy_out_apart) made, which is whole and is gone then. No
    /// entries of parts of it can be made.
    ///
    /// # Errors
    /// `InvalidArgument`: there is no such copy, or unknown bits. `ResourceShortage`: the copy is still there.
    pub fn make_copy_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        maximum: u32,
    ) -> KernResult<MemoryEntryId> {
        let here = self.copies.get(copy).ok_or(KernReturn::InvalidArgument)?;
        let (pages, ledger) = (here.pages, here.ledger);
        let object = here.own.filter(|_| here.apart && here.rest.is_none());
        let object = object.ok_or(KernReturn::InvalidArgument)?;
        self.reference(object);
        let made = self.add_memory_entry(context, (object, 0..pages), maximum, Some(ledger))?;
        self.object_mut(object).shared = true;
        node_mut(&mut self.memory_entries, made).is_copy = true;
        self.release_pieces(context, copy);
        Ok(made)
    }

    /// A memory entry of memory that a map has: from now on both share it. In steps.
    ///
    /// # Errors
    /// `InvalidArgument`: size 0, not of whole pages, a range that is not in one region, or a message buffer in it.
    /// `InvalidAddress`: a hole. `ProtectionFailure`: more than the region's maximum. `ResourceShortage`.
    pub fn make_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        maximum: u32,
    ) -> KernResult<Progress<MemoryEntryId>> {
        let (address, size) = range;
        let range = whole_pages(address, size)?;
        if size == 0 || range != (address..address + size) || maximum & !protection::ALL != 0 {
            return Err(KernReturn::InvalidArgument);
        }
        self.check_covered(map, &range, Traits::may_allow(maximum))?;
        if self.wired_in(map, &range) {
            return Err(KernReturn::InvalidArgument);
        }
        let Progress::Done(object) = self.share(context, map, &range)? else {
            return Ok(Progress::More);
        };
        let entry = self.entry(self.find_entry(map, range.start)?);
        let index = entry.page_at(range.start);
        let ledger = self.map_ref(map)?.ledger;
        self.reference(object);
        let pages = index..index + size / PAGE_SIZE;
        self.add_memory_entry(context, (object, pages), maximum, Some(ledger))
            .map(Progress::Done)
    }

    /// A memory entry of a part of another one, with at most its protection.
    ///
    /// # Errors
    /// `InvalidArgument`: a part outside, or not of whole pages, or the whole is a copy. `ProtectionFailure`: more protection.
    /// `InvalidCapability`: there is no such entry. `ResourceShortage`.
    pub fn attenuate<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        from: MemoryEntryId,
        range: (u64, u64),
        maximum: u32,
        ledger: Option<LedgerId>,
    ) -> KernResult<MemoryEntryId> {
        let whole = self
            .memory_entries
            .get(from)
            .ok_or(KernReturn::InvalidCapability)?;
        let part = check_window(range, maximum)?;
        if part.end > whole.pages || whole.is_copy {
            return Err(KernReturn::InvalidArgument);
        }
        if maximum & !whole.maximum != 0 {
            return Err(KernReturn::ProtectionFailure);
        }
        let (object, index) = (whole.object, whole.index);
        self.reference(object);
        let pages = index + part.start..index + part.end;
        self.add_memory_entry(context, (object, pages), maximum, ledger)
    }

    /// A memory entry of a part of a memory object. Takes over the caller's reference to that, on failure too.
    ///
    /// # Errors
    /// `InvalidArgument`: as [`check_window`]. `InvalidCapability`: there is no such object. `ResourceShortage`.
    pub fn make_proxy<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        pager: PagerId,
        range: (u64, u64),
        (maximum, payer): (u32, LedgerId),
    ) -> KernResult<MemoryEntryId> {
        let here = self.pagers.get(pager);
        let object = here.ok_or(KernReturn::InvalidCapability)?.object;
        let pages = check_window(range, maximum).inspect_err(|_| self.dereference(object))?;
        self.add_memory_entry(context, (object, pages), maximum, Some(payer))
    }

    /// One more reference to a memory entry.
    pub fn reference_memory_entry(&mut self, id: MemoryEntryId) {
        if let Some(entry) = self.memory_entries.get_mut(id) {
            entry.references += 1;
        }
    }

    /// Gives a reference to a memory entry back. What is mapped stays mapped. [`settle`](Self::settle) frees what
    /// nobody holds any more.
    pub fn release_memory_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: MemoryEntryId,
    ) {
        let Some(entry) = self.memory_entries.get_mut(id) else {
            return;
        };
        entry.references -= 1;
        if entry.references > 0 {
            return;
        }
        if let Some(entry) = self.memory_entries.remove(id) {
            if let Some(ledger) = entry.ledger {
                context.release(ledger, Resource::KernelBytes, cost::<MemoryEntry>());
            }
            self.dereference(entry.object);
        }
    }

    /// Bytes and maximum protection of a memory entry.
    pub fn memory_entry(&self, id: MemoryEntryId) -> Option<(u64, u32)> {
        let entry = self.memory_entries.get(id)?;
        Some((entry.pages * PAGE_SIZE, entry.maximum))
    }

    /// Takes over the caller's reference to the object, on failure too.
    fn add_memory_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, pages): (ObjectId, Range<u64>),
        maximum: u32,
        ledger: Option<LedgerId>,
    ) -> KernResult<MemoryEntryId> {
        let entry = MemoryEntry {
            object,
            index: pages.start,
            pages: pages.end - pages.start,
            maximum,
            is_copy: false,
            references: 1,
            ledger,
        };
        if let Some(ledger) = ledger
            && let Err(shortage) =
                context.charge(ledger, Resource::KernelBytes, cost::<MemoryEntry>())
        {
            self.dereference(object);
            return Err(shortage);
        }
        self.memory_entries.insert(entry).map_err(|_| {
            if let Some(ledger) = ledger {
                context.release(ledger, Resource::KernelBytes, cost::<MemoryEntry>());
            }
            self.dereference(object);
            KernReturn::ResourceShortage
        })
    }
}

/// The pages of a part of something, to be shown with at most this protection.
///
/// # Errors
/// `InvalidArgument`: size 0, not of whole pages, an end that overflows, or unknown bits.
pub fn check_window((offset, size): (u64, u64), maximum: u32) -> KernResult<Range<u64>> {
    let bytes = whole_pages(offset, size)?;
    if size == 0 || bytes != (offset..offset + size) || maximum & !protection::ALL != 0 {
        return Err(KernReturn::InvalidArgument);
    }
    Ok(bytes.start / PAGE_SIZE..bytes.end / PAGE_SIZE)
}
