//! [`Copied`]: memory on its way from one map to another one (out-of-line memory of messages).
//!
//! A copy is a snapshot: what the sender writes afterwards never shows. It is a list of *pieces*, each a
//! window into an object. Large private memory is shared by copy-on-write; small, wired or shared memory and partial
//! pages are copied at once into the copy's *own* object; memory that leaves its sender is moved there.
//! The sender's ledger pays until the receiver takes the copy.
//!
//! More than [`COPY_STEP`] pages are gathered in steps. Each step checks again, so what other threads did to the map in
//! between is an error or is what the copy gets; memory that leaves has left with its step.
//!
//! Invariant: all of a step that can fail happens before the sender's map changes for its threads to see.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::pages::Withdraw;
use super::traits::Traits;
use super::tree::{node, node_mut};
use super::{
    COPY_STEP, Context, CopyId, ENTRY, Entry, EntryId, MapId, ObjectId, PieceId, Progress, STEP,
};
use super::{Vm, whole_pages};
use crate::base::KernResult;
use crate::base::ledger::LedgerId;
use crate::machine::Machine;

/// The most pages of one copy: 1 GiB, which is gathered in 8,192 steps. More goes by a memory entry.
pub const COPY_PAGES: u64 = 1 << 18;

/// The most pages of a range that a send waits for before it takes anything; the others are waited for as their step
/// comes.
pub const AWAITED_PAGES: u64 = 256;

/// What becomes of the memory that was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// It stays.
    Keep,
    /// Its whole pages leave the map.
    Deallocate,
}

/// A snapshot of memory.
pub struct Copied {
    /// The first piece: mostly the only one.
    pub(super) head: Option<Piece>,
    /// The last one, if there are others.
    pub(super) last: Option<PieceId>,
    pub(super) pages: u64,
    /// Where in the first page it begins.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u64,
    /// Who pays for this and the pieces.
    pub(super) ledger: LedgerId,
    /// How many pieces there are.
    pub(super) pieces: u32,
    /// What is not gathered yet.
    pub(super) rest: Option<Rest>,
    /// All of it is to be in the copy's own object.
    pub(super) apart: bool,
    /// The object that no one else reaches, with a reference; its pages become the receiver's.
    pub(super) own: Option<ObjectId>,
}

/// What a copy still has to take.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    map: MapId,
    /// Bytes, not of whole pages at the ends of the whole range.
    start: u64,
    end: u64,
    after: After,
}

impl Rest {
    pub(super) fn pages(&self) -> u64 {
        (self.end - self.start / PAGE_SIZE * PAGE_SIZE).div_ceil(PAGE_SIZE)
    }
}

/// A run of pages of a copy.
#[derive(Clone, Copy)]
pub struct Piece {
    pub(super) object: Option<ObjectId>,
    pub(super) index: u64,
    pub(super) pages: u64,
    pub(super) needs_copy: bool,
    pub(super) next: Option<PieceId>,
}

impl Piece {
    /// Whether `next` only continues this one.
    pub(super) fn continues_in(&self, next: &Self) -> bool {
        self.object == next.object
            && self.needs_copy == next.needs_copy
            && (self.object.is_none() || self.index + self.pages == next.index)
    }
}

impl Vm {
    /// Takes a snapshot of memory, or of its first [`COPY_STEP`] pages: [`copy_more`](Self::copy_more) takes the rest.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around, shows a device, or is to leave and holds a message buffer.
    /// `InvalidAddress`: a hole. `ProtectionFailure`: not readable. `ResourceShortage`: more than [`COPY_PAGES`], or no
    /// memory. Nothing changed.
    pub fn copy_out<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        after: After,
    ) -> KernResult<CopyId> {
        let ledger = self.map_ref(map)?.ledger;
        self.copy_out_for(context, map, range, after, ledger)
    }

    /// The same for a reader of another task's memory, whose ledger pays.
    ///
    /// # Errors
    /// As [`copy_out`](Self::copy_out).
    pub fn copy_out_for<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        range: (u64, u64),
        after: After,
        ledger: LedgerId,
    ) -> KernResult<CopyId> {
        let (address, size) = range;
        let pages = whole_pages(address, size)?;
        self.map_ref(map)?;
        if size == 0 {
            return self.create_copy(context, ledger, (address, 0));
        }
        if (pages.end - pages.start) / PAGE_SIZE > COPY_PAGES {
            return Err(KernReturn::ResourceShortage);
        }
        self.check_copy(map, &pages, after)?;
        let first = self.find_entry(map, pages.start)?;
        let whole = self.leaves_whole(map, first, address..address + size, after);
        let stop = match whole {
            true => pages.end,
            false => self.step_end(map, address..address + size),
        };
        self.await_range(context, map, pages.start..stop.next_multiple_of(PAGE_SIZE))?;
        let copy = self.create_copy(context, ledger, (address, size))?;
        let gathered = if whole {
            self.take_whole(context, map, first, copy)
        } else {
            let rest = Rest {
                map,
                start: address,
                end: address + size,
                after,
            };
            self.gather_step(context, copy, rest, stop)
        };
        if let Err(error) = gathered {
            self.release_pieces(context, copy);
            return Err(error);
        }
        Ok(copy)
    }

    /// Takes up to [`COPY_STEP`] more pages of a snapshot. `Done`: it has all of them.
    ///
    /// # Errors
    /// As [`copy_out`](Self::copy_out). What was taken is still in the copy, which is to be discarded. [`STALLED`](super::STALLED): the same
    /// step is to be done again.
    pub fn copy_more<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
    ) -> KernResult<Progress> {
        let here = self.copies.get(copy).ok_or(KernReturn::InvalidArgument)?;
        let Some(rest) = here.rest else {
            return Ok(Progress::Done(()));
        };
        self.map_ref(rest.map)?;
        let pages = whole_pages(rest.start, rest.end - rest.start)?;
        self.check_copy(rest.map, &pages, rest.after)?;
        let stop = self.step_end(rest.map, rest.start..rest.end);
        self.await_range(
            context,
            rest.map,
            pages.start..stop.next_multiple_of(PAGE_SIZE),
        )?;
        self.gather_step(context, copy, rest, stop)?;
        Ok(match node(&self.copies, copy).rest {
            Some(_) => Progress::More,
            None => Progress::Done(()),
        })
    }

    /// Up to where a step gathers a range of bytes: as far as [`COPY_STEP`] pages, of which those behind many shadows and those
    /// of other entries than the first count more.
    fn step_end(&self, map: MapId, range: Range<u64>) -> u64 {
        let mut at = range.start;
        let mut budget = COPY_STEP;
        while budget > 0
            && at < range.end
            && let Ok(id) = self.find_entry(map, at)
        {
            let entry = self.entry(id);
            let weight = entry.object.map_or(1, |object| self.weight(object));
            let page = at - at % PAGE_SIZE;
            let pages = (entry.end.min(range.end) - page).div_ceil(PAGE_SIZE);
            let pages = pages.min((budget / weight).max(1));
            at = page + pages * PAGE_SIZE;
            budget = budget.saturating_sub((pages * weight).max(ENTRY));
        }
        at.min(range.end)
    }

    /// Gathers from the beginning of what is left, which was checked, and notes what is left then.
    fn gather_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        rest: Rest,
        stop: u64,
    ) -> KernResult<()> {
        node_mut(&mut self.copies, copy).rest = Some(rest);
        self.gather(context, rest.map, copy, rest.start..stop, rest.after)?;
        let rest = Rest {
            start: stop,
            ..rest
        };
        node_mut(&mut self.copies, copy).rest = Some(rest).filter(|rest| rest.start < rest.end);
        Ok(())
    }

    /// Checks what is to be copied.
    fn check_copy(&self, map: MapId, pages: &Range<u64>, after: After) -> KernResult<()> {
        self.check_covered(map, pages, Traits::allows(protection::READ))?;
        let barred = match after {
            After::Keep => Traits::DEVICE,
            After::Deallocate => Traits::DEVICE.and(Traits::BUFFER),
        };
        match self.first_where(map, pages, |_, any| any.common(barred) != Traits::NONE) {
            Some(_) => Err(KernReturn::InvalidArgument),
            None => Ok(()),
        }
    }

    /// Whether an entry leaves as it is: it is the range exactly, and nobody else has its object.
    fn leaves_whole(&self, map: MapId, id: EntryId, range: Range<u64>, after: After) -> bool {
        let entry = self.entry(id);
        after == After::Deallocate
            && (entry.start..entry.end) == range
            && self.may_move(map, entry)
            && entry.object.is_some_and(|object| {
                let alone = self.object(object).references == 1;
                alone && entry.size() * self.weight(object) <= STEP
            })
    }

    /// Whether an entry's pages may leave its object for the copy's own.
    pub(super) fn may_move(&self, map: MapId, entry: &Entry) -> bool {
        let (Some(object), Ok(map)) = (entry.object, self.map_ref(map)) else {
            return false;
        };
        let object = self.object(object);
        !entry.needs_copy
            && entry.wired == 0
            && object.is_private()
            && object.ledger == Some(map.ledger)
    }

    fn take_whole<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        copy: CopyId,
    ) -> KernResult<()> {
        let entry = self.entry(id);
        let (range, pages) = (entry.start..entry.end, entry.size());
        let piece = Piece {
            object: entry.object,
            index: entry.index,
            pages,
            needs_copy: false,
            next: None,
        };
        let object = entry.object;
        self.add_piece(context, copy, piece)?;
        self.withdraw_all(context, (map, id), range, Withdraw::All);
        self.take_entry(context, map, id);
        // The entry's reference is the copy's now, beside the piece's.
        node_mut(&mut self.copies, copy).own = object;
        Ok(())
    }

    /// Whether a copy has all that it is to have.
    pub fn copy_is_whole(&self, copy: CopyId) -> bool {
        self.copies
            .get(copy)
            .is_some_and(|copy| copy.rest.is_none())
    }

    /// A copy in pages of its own, of memory that stays: what [`make_copy_entry`](Self::make_copy_entry) takes.
    ///
    /// # Errors
    /// As [`copy_out`](Self::copy_out); `InvalidArgument` also when the range is not of whole pages.
    pub fn copy_out_apart<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        (address, size): (u64, u64),
        ledger: LedgerId,
    ) -> KernResult<CopyId> {
        if !(address | size).is_multiple_of(PAGE_SIZE) || size == 0 {
            return Err(KernReturn::InvalidArgument);
        }
        self.map_ref(map)?;
        whole_pages(address, size)?;
        if size / PAGE_SIZE > COPY_PAGES {
            return Err(KernReturn::ResourceShortage);
        }
        let copy = self.create_copy(context, ledger, (address, size))?;
        let here = node_mut(&mut self.copies, copy);
        here.apart = true;
        here.rest = Some(Rest {
            map,
            start: address,
            end: address + size,
            after: After::Keep,
        });
        let begun = self.copy_more(context, copy);
        if begun.is_err() {
            self.release_pieces(context, copy);
        }
        begun.map(|_| copy)
    }

    /// Bytes of a copy.
    pub fn copy_size(&self, copy: CopyId) -> Option<u64> {
        Some(self.copies.get(copy)?.size)
    }
}
