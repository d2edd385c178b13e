//! [`Buffer`]: a thread's message buffer, pinned.
//!
//! Invariant: a buffer's entry is exactly as large as the buffer and is wired; nobody unmaps, protects or
//! replaces it, and copies of it are made at once. So its pages stay what they are.
//!
//! Deliberately absent: an object of its own for a buffer that is cut out of a larger region. After a fork, what lies beside the buffer
//! gets shadows, and the object behind them stays for the buffer's sake, with pages that were replaced long ago: of each up to one
//! more than is seen. It would take that, but the two regions beside the buffer would keep the object just so until both have
//! replaced all, and a region would stay divided when it has no buffer any more. A buffer in a region of its own costs nothing.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::message::{MAX_BUFFER, MIN_BUFFER};
use abi::vm::protection;

use super::traits::Traits;
use super::{BufferId, Context, EntryId, MapId, ObjectId, Vm, cost};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Access, Machine, Page};

/// Pages of the largest buffer.
pub const BUFFER_PAGES: usize = (MAX_BUFFER / PAGE_SIZE) as usize;

/// A message buffer.
pub struct Buffer {
    pages: [Page; BUFFER_PAGES],
    count: usize,
    pub(super) map: MapId,
    pub(super) start: u64,
    /// With a reference, so that the pages outlive their map if they must.
    pub(super) object: ObjectId,
    pub(super) ledger: LedgerId,
}

impl Vm {
    /// Pins a range as a message buffer.
    ///
    /// # Errors
    /// `InvalidArgument`: not whole pages, a size that no buffer has, not in one region of private anonymous memory, or
    /// a buffer already. `InvalidAddress`: a hole. `ProtectionFailure`: not readable and writable. `ResourceShortage`.
    pub fn wire_buffer<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        size: u64,
    ) -> KernResult<BufferId> {
        let range = self.check_buffer(map, address, size)?;
        let id = self.find_entry(map, address)?;
        let entry = self.entry(id);
        if entry.wired > 0 || entry.end < range.end {
            return Err(KernReturn::InvalidArgument);
        }
        let wired = match self.clip(context, map, id, &range) {
            Ok(id) => self.wire(context, map, id),
            Err(shortage) => Err(shortage),
        };
        if wired.is_err() {
            self.join_ends(context, map, &range);
        }
        wired
    }

    /// Pins a range as a message buffer in place of another one, which is ordinary memory then. They may overlap.
    ///
    /// # Errors
    /// As [`wire_buffer`](Self::wire_buffer): the old one is still there, under another id perhaps. Only one that the new
    /// one overlaps can be gone: it has to end first, and there may be no memory to make it again.
    pub fn replace_buffer<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        (address, size): (u64, u64),
        buffer: &mut Option<BufferId>,
    ) -> KernResult<()> {
        let Some(old) = *buffer else {
            *buffer = Some(self.wire_buffer(context, map, address, size)?);
            return Ok(());
        };
        let range = self.check_buffer(map, address, size)?;
        let Some(before) = self.buffers.get(old) else {
            return Err(KernReturn::InvalidArgument);
        };
        let (start, length) = (before.start, before.count as u64 * PAGE_SIZE);
        if range.end <= start || start + length <= range.start {
            *buffer = Some(self.wire_buffer(context, map, address, size)?);
            self.unwire_buffer(context, old);
            return Ok(());
        }
        // All pages first, so that most of what can fail does before the old one goes.
        for address in range.step_by(PAGE_SIZE as usize) {
            self.page_for(context, map, address, Access::Write)?;
        }
        self.unwire_buffer(context, old);
        let wired = self.wire_buffer(context, map, address, size);
        *buffer = match wired {
            Ok(new) => Some(new),
            Err(_) => self.wire_buffer(context, map, start, length).ok(),
        };
        wired.map(|_| ())
    }

    /// The range of what may be a message buffer, if that is in one region and no other one.
    fn check_buffer(&self, map: MapId, address: u64, size: u64) -> KernResult<Range<u64>> {
        const BOTH: u32 = protection::READ | protection::WRITE;
        let end = address
            .checked_add(size)
            .ok_or(KernReturn::InvalidArgument)?;
        if !(MIN_BUFFER..=MAX_BUFFER).contains(&size) || !(address | size).is_multiple_of(PAGE_SIZE)
        {
            return Err(KernReturn::InvalidArgument);
        }
        let range = address..end;
        self.check_covered(map, &range, Traits::allows(BOTH))?;
        if self.any_has(map, &range, Traits::allows(protection::EXECUTE)) {
            return Err(KernReturn::ProtectionFailure);
        }
        let entry = self.entry(self.find_entry(map, address)?);
        let own = entry
            .object
            .is_none_or(|object| entry.needs_copy || self.object(object).is_private());
        match own {
            true => Ok(range),
            false => Err(KernReturn::InvalidArgument),
        }
    }

    fn wire<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) -> KernResult<BufferId> {
        let (start, end) = (self.entry(id).start, self.entry(id).end);
        let ledger = self.map_ref(map)?.ledger;
        let mut pages = [Page(0); BUFFER_PAGES];
        let mut count = 0;
        for (slot, address) in pages
            .iter_mut()
            .zip((start..end).step_by(PAGE_SIZE as usize))
        {
            self.fault(context, map, address, Access::Write)?;
            *slot = self.page_for(context, map, address, Access::Write)?.page;
            count += 1;
        }
        let object = self.entry(id).object.ok_or(KernReturn::Failure)?;
        context.charge(ledger, Resource::KernelBytes, cost::<Buffer>())?;
        let buffer = Buffer {
            pages,
            count,
            map,
            start,
            object,
            ledger,
        };
        let Ok(buffer) = self.buffers.insert(buffer) else {
            context.release(ledger, Resource::KernelBytes, cost::<Buffer>());
            return Err(KernReturn::ResourceShortage);
        };
        self.reference(object);
        self.entry_mut(id).wired = 1;
        self.refresh_entry(map, id);
        Ok(buffer)
    }

    /// The pages of a buffer, in order; none when there is no such buffer.
    #[inline(always)]
    pub fn buffer_pages(&self, id: BufferId) -> &[Page] {
        self.buffers
            .get(id)
            .map_or(&[], |buffer| &buffer.pages[..buffer.count])
    }

    /// Makes a buffer ordinary memory again.
    pub fn unwire_buffer<M: Machine>(&mut self, context: &mut Context<'_, M>, id: BufferId) {
        let Some(buffer) = self.buffers.remove(id) else {
            return;
        };
        context.release(buffer.ledger, Resource::KernelBytes, cost::<Buffer>());
        // The map may be gone, or going: its memory went with it.
        if let Ok(entry) = self.find_entry(buffer.map, buffer.start) {
            self.entry_mut(entry).wired = 0;
            let end = self.entry(entry).end;
            self.refresh_entry(buffer.map, entry);
            self.dereference(buffer.object);
            self.join(context, buffer.map, buffer.start);
            self.join(context, buffer.map, end);
        } else {
            self.dereference(buffer.object);
        }
    }
}
