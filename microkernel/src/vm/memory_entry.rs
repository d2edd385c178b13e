//! [`MemoryEntry`]: a right to map a part of an object, with at most some protection.
//!
//! It is the shared memory of servers and drivers, a device's registers, and the boot archive. The port that
//! stands for it is the `ipc` layer's; here it is an id with a count of references.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::object::Kind;
use super::pages::Withdraw;
use super::{Context, EntryId, MapId, MemoryEntryId, ObjectId, Vm, cost, whole_pages};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Caching, Machine, Page};

/// Memory that shares an object with other memory, or that was copied, gets an object of its own before it can be
/// shared; that is possible for this many pages. What was allocated and never copied has no limit.
pub const SHARE_PAGES: u64 = 1024;

/// A right to map memory.
pub struct MemoryEntry {
    pub(super) object: ObjectId,
    /// The object's page at which it begins.
    pub(super) index: u64,
    pub(super) pages: u64,
    pub(super) maximum: u32,
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
        ledger: LedgerId,
    ) -> KernResult<MemoryEntryId> {
        let pages = whole_pages(0, size)?.end / PAGE_SIZE;
        if pages == 0 {
            return Err(KernReturn::InvalidArgument);
        }
        let object = self.create_object(context, Kind::Anonymous, pages, Some(ledger))?;
        self.object_mut(object).shared = true;
        self.add_memory_entry(context, (object, 0..pages), protection::ALL, Some(ledger))
    }

    /// A memory entry of memory that a map has: from now on both share it.
    ///
    /// # Errors
    /// `InvalidArgument`: size 0, not of whole pages, a range that is not in one region, or a message buffer in it.
    /// `InvalidAddress`: a hole. `ProtectionFailure`: more than the region's maximum. `NotSupported`: more
    /// than [`SHARE_PAGES`] that have an object with others. `ResourceShortage`.
    pub fn make_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        maximum: u32,
    ) -> KernResult<MemoryEntryId> {
        let (address, size) = range;
        let range = whole_pages(address, size)?;
        if size == 0 || range != (address..address + size) || maximum & !protection::ALL != 0 {
            return Err(KernReturn::InvalidArgument);
        }
        self.check_covered(map, &range, |entry| maximum & !entry.maximum == 0)?;
        let id = self.find_entry(map, range.start)?;
        if range.end > self.entry(id).end || self.wired_in(map, &range) {
            return Err(KernReturn::InvalidArgument);
        }
        let object = self.share(context, map, id, &range)?;
        let entry = self.entry(self.find_entry(map, range.start)?);
        let index = entry.page_at(range.start);
        let ledger = self.map_ref(map)?.ledger;
        self.reference(object);
        let pages = index..index + size / PAGE_SIZE;
        self.add_memory_entry(context, (object, pages), maximum, Some(ledger))
    }

    /// A memory entry of a part of another one, with at most its protection.
    ///
    /// # Errors
    /// `InvalidArgument`: a part outside, or not of whole pages. `ProtectionFailure`: more protection.
    /// `InvalidCapability`: there is no such entry. `ResourceShortage`.
    pub fn attenuate<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        from: MemoryEntryId,
        range: (u64, u64),
        maximum: u32,
        ledger: Option<LedgerId>,
    ) -> KernResult<MemoryEntryId> {
        let (offset, size) = range;
        let whole = self
            .memory_entries
            .get(from)
            .ok_or(KernReturn::InvalidCapability)?;
        let part = whole_pages(offset, size)?;
        if size == 0
            || part != (offset..offset + size)
            || part.end / PAGE_SIZE > whole.pages
            || maximum & !protection::ALL != 0
        {
            return Err(KernReturn::InvalidArgument);
        }
        if maximum & !whole.maximum != 0 {
            return Err(KernReturn::ProtectionFailure);
        }
        let (object, index) = (whole.object, whole.index);
        self.reference(object);
        let pages = index + part.start / PAGE_SIZE..index + part.end / PAGE_SIZE;
        self.add_memory_entry(context, (object, pages), maximum, ledger)
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

    /// Makes a range of an entry memory that others may map too; returns its object.
    ///
    /// An object that is shared is copied at once where others copy late, and must not show, in the mappings that
    /// exist, what is behind it: so what has a past gets an object of its own, and is mapped anew.
    pub(super) fn share<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        range: &Range<u64>,
    ) -> KernResult<ObjectId> {
        let entry = self.entry(id);
        if let Some(object) = entry.object
            && !entry.needs_copy
        {
            let here = self.object(object);
            if !here.is_private() {
                return Ok(object);
            }
            let whole = *range == (entry.start..entry.end)
                || (range.end - range.start) / PAGE_SIZE > SHARE_PAGES;
            if whole && here.references == 1 && here.backing.is_none() {
                self.object_mut(object).shared = true;
                return Ok(object);
            }
        }
        if entry.object.is_some() && (range.end - range.start) / PAGE_SIZE > SHARE_PAGES {
            return Err(KernReturn::NotSupported);
        }
        let id = self.clip(context, map, id, range)?;
        if self.entry(id).needs_copy {
            self.make_private(context, map, id)?;
        }
        let mut object = self.entry_object(context, map, id)?;
        if !self.object(object).is_private() {
            return Ok(object);
        }
        if self.object(object).references > 1 {
            object = self.isolate(context, map, id)?;
        }
        self.object_mut(object).shared = true;
        if self.object(object).backing.is_some() {
            let mut budget = SHARE_PAGES + 1;
            let range = range.clone();
            self.withdraw(context, (map, id), range, Withdraw::All, &mut budget);
        }
        Ok(object)
    }

    /// Gives an entry, which needs no copy of its private object, an object that no other entry has.
    fn isolate<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) -> KernResult<ObjectId> {
        let entry = self.entry(id);
        let (Some(from), index, size) = (entry.object, entry.index, entry.size()) else {
            return self.entry_object(context, map, id);
        };
        let ledger = self.object(from).ledger;
        let to = self.create_object(context, Kind::Anonymous, size, ledger)?;
        let pages = (from, index..index + size);
        if let Err(shortage) = self.make_places(context, pages.clone(), (to, 0)) {
            self.dereference(to);
            return Err(shortage);
        }
        self.move_pages(context, pages, (to, 0));
        if let Some(backing) = self.object(from).backing {
            self.reference(backing.object);
            let behind = self.object_mut(backing.object);
            behind.shadows += 1;
            behind.shadow_sum ^= to.index();
            self.object_mut(to).backing = Some(super::object::Backing {
                object: backing.object,
                index: backing.index + index,
            });
        }
        let entry = self.entry_mut(id);
        entry.object = Some(to);
        entry.index = 0;
        self.dereference(from);
        Ok(to)
    }
}
