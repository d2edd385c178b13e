//! `vm_allocate`, `vm_map`, `vm_deallocate`.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS, behavior, flags, inherit, map_flags, protection};

use super::copy::COPY_PAGES;
use super::entry::{Attributes, find_gap};
use super::filling::of_whole_pages;
use super::pages::Withdraw;
use super::snapshot::Wanted;
use super::traits::Traits;
use super::{Context, Entry, EntryId, MAX_ENTRIES, MapId, MemoryEntryId, ObjectId, PagerId};
use super::{ENTRY, Progress, STEP, Vm, cost, whole_pages};
use crate::base::KernResult;
use crate::base::ledger::Resource;
use crate::machine::Machine;

/// Holes that are looked at for an aligned place, before one is taken that is large enough anyway.
const MAX_HOLES: u32 = 64;

/// What a new mapping shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Zeros.
    Anonymous,
    /// A part of a memory entry, from this byte on.
    Entry(MemoryEntryId, u64),
    /// A part of a memory object, from this byte on.
    Pager(PagerId, u64),
}

/// The arguments of `vm_map`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapRequest {
    /// Where, or from where on.
    pub address: u64,
    /// Bytes; rounded up to whole pages.
    pub size: u64,
    /// Bits that the address must not have.
    pub mask: u64,
    /// `ANYWHERE`, `COPY` and `OVERWRITE` of [`map_flags`], and a size of pages of [`flags`].
    pub flags: u64,
    /// What is mapped.
    pub source: Source,
    /// Of [`protection`].
    pub protection: u32,
    /// What `protect` may raise it to. A memory entry's own limit applies as well.
    pub maximum: u32,
    /// Of [`inherit`].
    pub inheritance: u32,
}

/// What an entry gets from its source.
#[derive(Clone, Copy)]
struct Window {
    object: Option<ObjectId>,
    index: u64,
    needs_copy: bool,
    maximum: u32,
}

/// What is no flag in the word of a request.
const FIELDS: u64 = 7 << map_flags::CURRENT_SHIFT
    | 7 << map_flags::MAXIMUM_SHIFT
    | 3 << map_flags::INHERIT_SHIFT
    | 7 << map_flags::SUPERPAGE_SHIFT;

impl MapRequest {
    /// A request whose flags, protections and inheritance lie in one word ([`map_flags`]).
    pub fn decode((address, size): (u64, u64), word: u64, source: Source) -> Self {
        let bits = |shift: u32, mask: u64| (word >> shift & mask) as u32;
        Self {
            address,
            size,
            mask: 0,
            // A bit that nobody knows is a flag that nobody knows.
            flags: word & !FIELDS | (word >> map_flags::SUPERPAGE_SHIFT & 7) << 16,
            source,
            protection: bits(map_flags::CURRENT_SHIFT, 7),
            maximum: bits(map_flags::MAXIMUM_SHIFT, 7),
            inheritance: bits(map_flags::INHERIT_SHIFT, 3),
        }
    }
}

impl Vm {
    /// Allocates zero-filled memory that may be read and written; returns its address. Size 0: address 0.
    ///
    /// # Errors
    /// `InvalidArgument`: unknown flags, or a size that overflows. `InvalidAddress`: a fixed range outside what a
    /// task may use. `NoSpace`: it is taken, or no hole is large enough. `ResourceShortage`: an account is full, or no frames for a
    /// large page lie together.
    pub fn allocate<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        (address, size): (u64, u64),
        flags: u64,
    ) -> KernResult<Progress<u64>> {
        if flags & !(flags::ANYWHERE | flags::SUPERPAGE_MASK) != 0 {
            return Err(KernReturn::InvalidArgument);
        }
        if size == 0 {
            return Ok(Progress::Done(0));
        }
        let request = MapRequest {
            address,
            size,
            mask: 0,
            flags,
            source: Source::Anonymous,
            protection: protection::READ | protection::WRITE,
            maximum: protection::ALL,
            inheritance: inherit::COPY,
        };
        self.map(context, map, request)
    }

    /// Maps anonymous memory or a memory entry; returns the address. With `OVERWRITE` it takes the place of what is
    /// there, at once; on failure that is still there. With a size of pages, anonymous memory has large ones from the
    /// beginning, and they are wired (`filling.rs`).
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate); size 0 is `InvalidArgument`. `InvalidRight`: the memory entry does not give that
    /// protection. `ProtectionFailure`: writable and executable. `NotSupported`: a copy of more than
    /// [`COPY_PAGES`] pages of shared memory.
    pub fn map<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        request: MapRequest,
    ) -> KernResult<Progress<u64>> {
        let request = of_whole_pages(request)?;
        let mapped = self.map_step(context, map, request);
        if mapped.is_err()
            && request.flags & map_flags::OVERWRITE != 0
            && let Ok(range) = whole_pages(request.address, request.size)
        {
            // An earlier step may have made regions end there.
            self.join_ends(context, map, &range);
        }
        mapped
    }

    fn map_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        request: MapRequest,
    ) -> KernResult<Progress<u64>> {
        self.check_request(map, &request)?;
        let window = self.check_source(&request)?;
        let request = self.align_large(request, window.object, window.index);
        let range = self.find_place(map, &request)?;
        self.check_growth(map, &range, request.maximum)?;
        self.check_room(context, map)?;
        let pages = (range.end - range.start) / PAGE_SIZE;
        let at_once = self.copies_at_once(&request, window, pages)?;
        if let Some(from) = at_once
            && self.snapshot_step(context, map, from)? == Progress::More
        {
            return Ok(Progress::More);
        }
        let large = request.flags & flags::SUPERPAGE_MASK != 0;
        if large && self.fill_step(context, map, pages)? == Progress::More {
            return Ok(Progress::More);
        }
        let replaces = request.flags & map_flags::OVERWRITE != 0;
        if replaces && self.prepare_place(context, map, &range)? == Progress::More {
            return Ok(Progress::More);
        }
        let mut window = self.open_window(map, window, at_once)?;
        if large {
            window.object = Some(self.take_filled(map, pages)?);
        }
        let attributes = Attributes {
            protection: request.protection,
            maximum: window.maximum,
            inheritance: request.inheritance,
            behavior: behavior::DEFAULT,
        };
        let mut entry = Entry::new(range.start, range.end, attributes);
        entry.object = window.object;
        entry.index = window.index;
        entry.needs_copy = window.needs_copy;
        entry.wires = u32::from(large);
        let added = match replaces {
            true => self.replace(context, map, entry),
            false => self.add_entry(context, map, entry),
        };
        if added.is_err()
            && let Some(object) = window.object
        {
            self.dereference(object);
        }
        self.join_ends(context, map, &range);
        added.map(|_| Progress::Done(range.start))
    }

    pub(super) fn check_request(&self, map: MapId, request: &MapRequest) -> KernResult<()> {
        const FLAGS: u64 =
            map_flags::ANYWHERE | map_flags::COPY | map_flags::OVERWRITE | flags::SUPERPAGE_MASK;
        let rights = request.protection | request.maximum;
        if request.flags & !FLAGS != 0
            || rights & !protection::ALL != 0
            || request.protection & !request.maximum != 0
            || request.inheritance > inherit::NONE
            || request.size == 0
        {
            return Err(KernReturn::InvalidArgument);
        }
        self.check_exclusion(map, request.protection)
    }

    /// Nothing is writable and executable at once, but where a task's manifest says so.
    pub(super) fn check_exclusion(&self, map: MapId, rights: u32) -> KernResult<()> {
        const BOTH: u32 = protection::WRITE | protection::EXECUTE;
        if rights & BOTH == BOTH && !self.map_ref(map)?.jit {
            return Err(KernReturn::ProtectionFailure);
        }
        Ok(())
    }

    /// What of the source the entry will show, without changing anything: as many pages as its place has.
    fn check_source(&self, request: &MapRequest) -> KernResult<Window> {
        let within = match request.flags & map_flags::ANYWHERE {
            0 => request.address % PAGE_SIZE,
            _ => 0,
        };
        let size = request.size.checked_add(within);
        let size = size.ok_or(KernReturn::InvalidArgument)?;
        let (id, offset) = match request.source {
            Source::Entry(id, offset) => (id, offset),
            Source::Pager(id, offset) => return self.check_pager_source(request, id, offset),
            Source::Anonymous => {
                return Ok(Window {
                    object: None,
                    index: 0,
                    needs_copy: false,
                    maximum: request.maximum,
                });
            }
        };
        let from = self
            .memory_entries
            .get(id)
            .ok_or(KernReturn::InvalidCapability)?;
        let pages = whole_pages(offset, size)?;
        if offset % PAGE_SIZE != 0 || pages.end / PAGE_SIZE > from.pages {
            return Err(KernReturn::InvalidArgument);
        }
        let copy = request.flags & map_flags::COPY != 0;
        let wanted = if copy {
            protection::READ
        } else {
            request.protection
        };
        if wanted & !from.maximum != 0 {
            return Err(KernReturn::InvalidRight);
        }
        let object = self.object(from.object);
        if copy && object.is_device() {
            return Err(KernReturn::InvalidArgument);
        }
        Ok(Window {
            object: Some(from.object),
            index: from.index + offset / PAGE_SIZE,
            needs_copy: copy,
            maximum: if copy {
                request.maximum
            } else {
                request.maximum & from.maximum
            },
        })
    }

    fn check_pager_source(
        &self,
        request: &MapRequest,
        id: PagerId,
        offset: u64,
    ) -> KernResult<Window> {
        let pager = self.pagers.get(id).ok_or(KernReturn::InvalidCapability)?;
        if !offset.is_multiple_of(PAGE_SIZE) {
            return Err(KernReturn::InvalidArgument);
        }
        whole_pages(offset, request.size)?;
        Ok(Window {
            object: Some(pager.object),
            index: offset / PAGE_SIZE,
            needs_copy: request.flags & map_flags::COPY != 0,
            maximum: request.maximum,
        })
    }

    pub(super) fn find_place(&self, map: MapId, request: &MapRequest) -> KernResult<Range<u64>> {
        if request.flags & map_flags::ANYWHERE != 0 {
            let size = request
                .size
                .checked_next_multiple_of(PAGE_SIZE)
                .ok_or(KernReturn::InvalidArgument)?;
            let hint = request
                .address
                .checked_next_multiple_of(PAGE_SIZE)
                .ok_or(KernReturn::NoSpace)?;
            let start = self.aligned_place(map, hint, size, request.mask)?;
            return Ok(start..start + size);
        }
        let range = whole_pages(request.address, request.size)?;
        if range.start < MIN_ADDRESS || range.end > MAX_ADDRESS {
            return Err(KernReturn::InvalidAddress);
        }
        if range.start & request.mask != 0 {
            return Err(KernReturn::NoSpace);
        }
        if request.flags & map_flags::OVERWRITE == 0 && self.first_in(map, &range).is_some() {
            return Err(KernReturn::NoSpace);
        }
        Ok(range)
    }

    /// The lowest hole of a size, which is of whole pages, at or above a hint.
    pub(super) fn free_place(&self, map: MapId, hint: u64, size: u64) -> KernResult<u64> {
        let map = self.map_ref(map)?;
        find_gap(&map.entries, &self.entries, hint, size).ok_or(KernReturn::NoSpace)
    }

    /// The same where the address has none of the bits of a mask.
    pub(super) fn aligned_place(
        &self,
        map: MapId,
        hint: u64,
        size: u64,
        mask: u64,
    ) -> KernResult<u64> {
        let align = |at: u64| Some(at.checked_add(mask)? & !mask);
        let mut hint = align(hint).ok_or(KernReturn::NoSpace)?;
        for _ in 0..MAX_HOLES {
            let place = self.free_place(map, hint, size)?;
            let aligned = align(place).ok_or(KernReturn::NoSpace)?;
            if aligned == place {
                return Ok(place);
            }
            hint = aligned;
        }
        // Any hole of this size has an aligned place.
        let more = size.checked_add(mask).ok_or(KernReturn::NoSpace)?;
        let place = self.free_place(map, hint, more)?;
        align(place).ok_or(KernReturn::NoSpace)
    }

    /// So that what replaces does not find out too late that it cannot.
    pub(super) fn check_room<M: Machine>(
        &self,
        context: &Context<'_, M>,
        map: MapId,
    ) -> KernResult<()> {
        let map = self.map_ref(map)?;
        let used = context.ledgers.used(map.ledger, Resource::KernelBytes);
        let limit = context.ledgers.limit(map.ledger, Resource::KernelBytes);
        if map.count >= MAX_ENTRIES || limit.saturating_sub(used) < cost::<Entry>() {
            return Err(KernReturn::ResourceShortage);
        }
        Ok(())
    }

    /// What of an object a mapping has to copy at once, if it has to.
    fn copies_at_once(
        &self,
        request: &MapRequest,
        window: Window,
        pages: u64,
    ) -> KernResult<Option<Wanted>> {
        let shared = window
            .object
            .filter(|object| !self.object(*object).copies_lazily());
        match shared {
            Some(_) if request.flags & map_flags::COPY == 0 => Ok(None),
            Some(object) if pages > COPY_PAGES && !self.object(object).is_paged() => {
                Err(KernReturn::NotSupported)
            }
            shared => Ok(shared.map(|object| Wanted {
                object,
                index: window.index,
                pages,
                strategy: self.strategy(object),
            })),
        }
    }

    /// Makes the reference that the entry will have, and the copy when it cannot wait.
    fn open_window(
        &mut self,
        map: MapId,
        window: Window,
        at_once: Option<Wanted>,
    ) -> KernResult<Window> {
        let copy = match (at_once, window.object) {
            (Some(from), _) => self.take_snapshot(map, from)?,
            (None, object) => {
                if let Some(object) = object {
                    self.reference(object);
                }
                return Ok(window);
            }
        };
        Ok(Window {
            object: Some(copy),
            index: 0,
            needs_copy: false,
            maximum: window.maximum,
        })
    }

    /// Removes whatever is mapped in the whole pages of a range; holes are no error. In steps: what was removed so
    /// far is gone, the rest still there.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around, or a registered message buffer lies in it. `ResourceShortage`: a
    /// region would have to be split.
    pub fn deallocate<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        size: u64,
    ) -> KernResult<Progress> {
        let range = whole_pages(address, size)?;
        self.map_ref(map)?;
        if size == 0 {
            return Ok(Progress::Done(()));
        }
        if self.wired_in(map, &range) {
            return Err(KernReturn::InvalidArgument);
        }
        let mut budget = STEP;
        while let Some(id) = self.first_in(map, &range) {
            if budget == 0 {
                return Ok(Progress::More);
            }
            budget = budget.saturating_sub(ENTRY);
            self.remove_front(context, map, id, &range, &mut budget)?;
        }
        // Removing is a step, and so is settling.
        if budget < STEP && !self.is_settled() {
            return Ok(Progress::More);
        }
        Ok(self.settle(context))
    }

    /// Removes what the budget allows of an entry's part in a range, from its front.
    pub(super) fn remove_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        range: &Range<u64>,
        budget: &mut u64,
    ) -> KernResult<()> {
        let mut id = id;
        if self.entry(id).start < range.start {
            id = self.split(context, map, id, range.start)?;
        }
        let (start, end) = (self.entry(id).start, self.entry(id).end);
        let part = start..end.min(range.end);
        let stopped = self.withdraw(context, (map, id), part, Withdraw::All, budget);
        self.drop_pages(context, id, start..stopped);
        self.cut_front(context, map, id, stopped);
        Ok(())
    }

    /// Removes an entry up to an address: there is nothing of that part any more.
    pub(super) fn cut_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        stopped: u64,
    ) {
        let (start, end) = (self.entry(id).start, self.entry(id).end);
        if stopped == end {
            self.remove_entry(context, map, id);
        } else if stopped > start {
            let index = self.entry(id).page_at(stopped);
            let entry = self.entry_mut(id);
            entry.hole += stopped - entry.start;
            entry.start = stopped;
            entry.index = entry.object.map_or(0, |_| index);
            self.refresh_entry(map, id);
        }
    }

    /// Whether a message buffer lies in a range.
    pub(super) fn wired_in(&self, map: MapId, range: &Range<u64>) -> bool {
        self.any_has(map, range, Traits::BUFFER)
    }
}
