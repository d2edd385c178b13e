//! What becomes of a [`Copied`]: delivered, discarded, or filled by the kernel itself.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::{MIN_ADDRESS, behavior, inherit, protection};

use super::entry::Attributes;
use super::pages::Mapping;
use super::tree::{node, node_mut};
use super::{Context, Copied, CopyId, Entry, EntryId, MapId, Piece, Vm};
use super::{ENTRY, cost, whole_pages};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Caching, Machine};

/// The receiver of this many pages gets them mapped at once, without faults.
const EAGER_PAGES: u64 = 16;

const DEFAULT: Attributes = Attributes {
    protection: protection::READ | protection::WRITE,
    maximum: protection::ALL,
    inheritance: inherit::COPY,
    behavior: behavior::DEFAULT,
};

impl Vm {
    /// Puts a copy into a map, as fresh memory; returns the address of its first byte, 0 for size 0. From now on
    /// the map's ledger pays for what only the copy held. The copy is gone.
    ///
    /// # Errors
    /// `NoSpace`, `ResourceShortage`: nothing changed, the copy is still there. `InvalidArgument`: there is no such copy,
    /// or not all of it yet.
    pub fn copy_in<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        copy: CopyId,
    ) -> KernResult<u64> {
        let here = self.copies.get(copy).ok_or(KernReturn::InvalidArgument)?;
        if here.rest.is_some() {
            return Err(KernReturn::InvalidArgument);
        }
        let (pages, offset, payer, own) = (here.pages, here.offset, here.ledger, here.own);
        let receiver = self.map_ref(map)?.ledger;
        if pages == 0 {
            self.remove_copy(context, copy);
            return Ok(0);
        }
        let size = pages * PAGE_SIZE;
        let start = self.free_place(map, MIN_ADDRESS, size)?;
        self.check_growth(map, &(start..start + size), DEFAULT.maximum)?;
        if let Some(own) = own {
            self.change_payer(context, own, receiver)?;
        }
        let added = self.add_entries(context, map, copy, start);
        if added.is_err()
            && let Some(own) = own
        {
            // What was released a moment ago is still free, also when the sender has ended.
            let returned =
                context.for_heirs(payer, |context| self.change_payer(context, own, payer));
            debug_assert!(returned.is_ok());
        }
        let (first, last) = added?;
        // Each piece's reference is its entry's now.
        while node(&self.copies, copy).pieces > 0 {
            self.pop_piece(context, copy);
        }
        self.remove_copy(context, copy);
        if pages <= EAGER_PAGES {
            self.map_eagerly(context, map, first, start + size);
        }
        if let Some(behind) = self.entry(last).next {
            self.join_previous(context, map, behind);
        }
        self.join_previous(context, map, first);
        Ok(start + offset)
    }

    /// An entry for each piece, to which the piece's reference goes, or none at all; the first and the last one.
    fn add_entries<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        copy: CopyId,
        start: u64,
    ) -> KernResult<(EntryId, EntryId)> {
        let mut at = start;
        let mut ends = None;
        let mut next = node(&self.copies, copy).head;
        while let Some(piece) = next {
            next = piece.next.map(|id| *node(&self.pieces, id));
            let end = at + piece.pages * PAGE_SIZE;
            let mut entry = Entry::new(at, end, DEFAULT);
            entry.object = piece.object;
            entry.index = piece.index;
            entry.needs_copy = piece.needs_copy;
            let added = self.add_entry(context, map, entry);
            if added.is_err() {
                while let Some(added) = self.first_in(map, &(start..at)) {
                    self.take_entry(context, map, added);
                }
            }
            let added = added?;
            ends = Some((ends.map_or(added, |(first, _)| first), added));
            at = end;
        }
        ends.ok_or(KernReturn::InvalidArgument)
    }

    /// Maps what is there from an entry on, up to an end. What cannot be mapped is left to faults.
    fn map_eagerly<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        first: EntryId,
        end: u64,
    ) {
        let mut next = Some(first);
        while let Some(id) = next {
            let entry = self.entry(id);
            let (object, index, start) = (entry.object, entry.index, entry.start);
            let pages = entry.size();
            next = entry.next.filter(|_| entry.end < end);
            let Some(object) = object else { continue };
            for page in 0..pages {
                let address = start + page * PAGE_SIZE;
                if !self.install_shown(context, (map, id), (object, index + page), address) {
                    return;
                }
            }
        }
    }

    /// Maps a page of an entry if it is there; `false`: no tables for it.
    fn install_shown<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, id): (MapId, EntryId),
        (object, index): (super::ObjectId, u64),
        address: u64,
    ) -> bool {
        let found = self.find_in_memory(object, index);
        // Whether a pager's page may be read is asked at the first touch.
        let Some(found) = found.filter(|found| !found.paged) else {
            return true;
        };
        let entry = self.entry(id);
        let mut rights = entry.attributes.protection;
        if found.depth > 0 || entry.needs_copy {
            rights &= !protection::WRITE;
        }
        self.use_page(&found);
        let mapping = Mapping {
            page: found.page,
            protection: rights,
            caching: Caching::WriteBack,
        };
        self.install(context, map, address, mapping).is_ok()
    }

    /// Throws a copy away: it has few pieces. [`settle`](Self::settle) frees what nobody else has.
    pub fn copy_discard<M: Machine>(&mut self, context: &mut Context<'_, M>, copy: CopyId) {
        if self.copies.get(copy).is_some() {
            self.release_pieces(context, copy);
        }
    }

    /// What it takes of a step to put a copy into a map: entries for its pieces, and the pages that are mapped at once.
    pub fn copy_weight(&self, copy: CopyId) -> u64 {
        self.copies.get(copy).map_or(0, |copy| {
            let eager = if copy.pages <= EAGER_PAGES {
                copy.pages
            } else {
                0
            };
            u64::from(copy.pieces) * ENTRY + eager
        })
    }

    /// Gives all pieces back, and the copy.
    pub(super) fn release_pieces<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
    ) {
        while let Some(piece) = self.pop_piece(context, copy) {
            if let Some(object) = piece.object {
                self.dereference(object);
            }
        }
        self.remove_copy(context, copy);
    }

    /// Takes the first piece out of a copy, with its reference.
    fn pop_piece<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
    ) -> Option<Piece> {
        let here = node_mut(&mut self.copies, copy);
        let piece = here.head.take()?;
        here.pieces -= 1;
        if let Some(next) = piece.next {
            here.head = self.pieces.remove(next);
            here.last = here.last.filter(|last| *last != next);
            context.release(here.ledger, Resource::KernelBytes, cost::<Piece>());
        }
        Some(piece)
    }

    /// Removes a copy whose pieces are gone.
    fn remove_copy<M: Machine>(&mut self, context: &mut Context<'_, M>, copy: CopyId) {
        if let Some(copy) = self.copies.remove(copy) {
            context.release(copy.ledger, Resource::KernelBytes, cost::<Copied>());
            if let Some(own) = copy.own {
                self.dereference(own);
            }
        }
    }

    /// A copy of `size` zero bytes that the kernel itself fills, by [`copy_write`](Self::copy_write), for which
    /// `ledger` pays until it is delivered.
    ///
    /// # Errors
    /// `ResourceShortage`: more than [`COPY_PAGES`](super::COPY_PAGES), or no memory.
    pub fn copy_create<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        ledger: LedgerId,
        size: u64,
    ) -> KernResult<CopyId> {
        let pages = whole_pages(0, size)?.end / PAGE_SIZE;
        if pages > super::COPY_PAGES {
            return Err(KernReturn::ResourceShortage);
        }
        let copy = self.create_copy(context, ledger, (0, size))?;
        if size > 0
            && let Err(error) = self.add_zeros(context, copy, pages)
        {
            self.release_pieces(context, copy);
            return Err(error);
        }
        Ok(copy)
    }

    /// Pages that come as they are written.
    fn add_zeros<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        pages: u64,
    ) -> KernResult<()> {
        let own = self.own_object(context, copy)?;
        let piece = Piece {
            object: Some(own),
            index: 0,
            pages,
            needs_copy: false,
            next: None,
        };
        self.add_piece(context, copy, piece)
    }

    /// Writes into a copy that [`copy_create`](Self::copy_create) made.
    ///
    /// # Errors
    /// `InvalidArgument`: no such copy, or bytes outside it. `ResourceShortage`: some bytes may have been written.
    pub fn copy_write<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        offset: u64,
        bytes: &[u8],
    ) -> KernResult<()> {
        let here = self.copies.get(copy).ok_or(KernReturn::InvalidArgument)?;
        let end = offset.checked_add(bytes.len() as u64);
        let own = here.own.filter(|_| end.is_some_and(|end| end <= here.size));
        let own = own.ok_or(KernReturn::InvalidArgument)?;
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let within = (at % PAGE_SIZE) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE_SIZE as usize - within));
            let page = if let Some(found) = self.find_in_memory(own, at / PAGE_SIZE) {
                found.page
            } else {
                let page = self.add_page(context, own, at / PAGE_SIZE)?;
                context.machine.zero_page(page);
                page
            };
            context.machine.write((page, within), now);
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Reads from the beginning of a copy, from `offset` on; pages that nobody touched read as zeros.
    ///
    /// # Errors
    /// `InvalidArgument`: no such copy, or bytes outside it.
    pub fn copy_read<M: Machine>(
        &self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        offset: u64,
        bytes: &mut [u8],
    ) -> KernResult<()> {
        let here = self.copies.get(copy).ok_or(KernReturn::InvalidArgument)?;
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > here.size) {
            return Err(KernReturn::InvalidArgument);
        }
        let mut at = here.offset + offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = (at % PAGE_SIZE) as usize;
            let length = rest.len().min(PAGE_SIZE as usize - within);
            let (now, later) = rest.split_at_mut(length);
            match self.copied_page(here, at / PAGE_SIZE) {
                Some(page) => context.machine.read((page, within), now),
                None => now.fill(0),
            }
            at += length as u64;
            rest = later;
        }
        Ok(())
    }

    pub(super) fn copied_page(&self, copy: &Copied, index: u64) -> Option<crate::machine::Page> {
        let (mut next, mut index) = (copy.head.as_ref(), index);
        while let Some(piece) = next {
            if index < piece.pages {
                // What is on its way is not put away.
                let found = self.find_in_memory(piece.object?, piece.index + index)?;
                return Some(found.page);
            }
            index -= piece.pages;
            next = piece.next.map(|id| node(&self.pieces, id));
        }
        None
    }

    /// An empty copy for a range of bytes, charged to `ledger`.
    pub(super) fn create_copy<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        ledger: LedgerId,
        (address, size): (u64, u64),
    ) -> KernResult<CopyId> {
        let range = whole_pages(address, size)?;
        context.charge(ledger, Resource::KernelBytes, cost::<Copied>())?;
        let copy = Copied {
            head: None,
            last: None,
            pieces: 0,
            rest: None,
            apart: false,
            pages: if size == 0 {
                0
            } else {
                (range.end - range.start) / PAGE_SIZE
            },
            offset: address % PAGE_SIZE,
            size,
            ledger,
            own: None,
        };
        self.copies.insert(copy).map_err(|_| {
            context.release(ledger, Resource::KernelBytes, cost::<Copied>());
            KernReturn::ResourceShortage
        })
    }

    /// Appends a piece, with a reference to its object.
    pub(super) fn add_piece<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        piece: Piece,
    ) -> KernResult<()> {
        if let Some(object) = piece.object {
            self.keep_in_flight(object);
        }
        let here = node_mut(&mut self.copies, copy);
        let (ledger, last) = (here.ledger, here.last);
        let Some(head) = here.head.as_mut() else {
            here.head = Some(piece);
            here.pieces = 1;
            if let Some(object) = piece.object {
                self.reference(object);
            }
            return Ok(());
        };
        let before = match last {
            Some(last) => node_mut(&mut self.pieces, last),
            None => head,
        };
        if before.continues_in(&piece) {
            before.pages += piece.pages;
            return Ok(());
        }
        context.charge(ledger, Resource::KernelBytes, cost::<Piece>())?;
        let Ok(id) = self.pieces.insert(piece) else {
            context.release(ledger, Resource::KernelBytes, cost::<Piece>());
            return Err(KernReturn::ResourceShortage);
        };
        if let Some(object) = piece.object {
            self.reference(object);
        }
        let here = node_mut(&mut self.copies, copy);
        here.last = Some(id);
        here.pieces += 1;
        match (last, here.head.as_mut()) {
            (Some(last), _) => node_mut(&mut self.pieces, last).next = Some(id),
            (None, Some(head)) => head.next = Some(id),
            (None, None) => {}
        }
        Ok(())
    }
}
