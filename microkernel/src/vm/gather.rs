//! How pages get into a [`Copied`](super::Copied): left out, shared by copy-on-write, copied at once, or moved.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::vm::protection;

use super::copy::After;
use super::object::{Kind, MAX_CHAIN};
use super::pages::Withdraw;
use super::tree::{node, node_mut};
use super::{Context, CopyId, EntryId, MapId, ObjectId, Piece, Vm, whole_pages};
use crate::base::KernResult;
use crate::machine::Machine;

/// Memory of this many pages is copied at once: that costs less than taking away rights and the faults that
/// follow.
const SMALL_COPY: u64 = 4;

/// A copy of more pieces is not worth its bookkeeping: what follows is copied at once, into one piece. So the
/// receiver gets at most one entry more than this.
const MANY_PIECES: u32 = 8;

/// How a part of an entry gets into a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Empty,
    Late,
    Now,
    Move,
}

impl Vm {
    /// Fills a copy from a range of bytes that was checked; at last removes what is to leave.
    pub(super) fn gather<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        copy: CopyId,
        bytes: Range<u64>,
        after: After,
    ) -> KernResult<()> {
        let range = whole_pages(bytes.start, bytes.end - bytes.start)?;
        // Whole pages; the others are copied in part.
        let inner = bytes.start.next_multiple_of(PAGE_SIZE)..bytes.end - bytes.end % PAGE_SIZE;
        // Where the range begins in the copy.
        let here = node(&self.copies, copy);
        let base = (here.pages - here.rest.map_or(0, |rest| rest.pages())) * PAGE_SIZE;
        let mut at = range.start;
        while at < range.end {
            let mut id = self.find_entry(map, at)?;
            let mut part = at..self.entry(id).end.min(range.end);
            if after == After::Deallocate {
                id = self.clip(context, map, id, &range)?;
            }
            let whole = part.start >= inner.start && part.start < inner.end;
            if whole {
                part.end = part.end.min(inner.end);
                let plan = self.plan((map, id), copy, after);
                let place = base + (at - range.start);
                self.gather_whole(context, (map, copy), part.clone(), plan, place)?;
            } else {
                part.end = part.start + PAGE_SIZE;
                let page = part.start.max(bytes.start)..part.end.min(bytes.end);
                self.gather_bytes(context, (map, copy), page, base + (at - range.start))?;
            }
            if after == After::Keep {
                self.join(context, map, at);
            }
            at = part.end;
        }
        match after {
            After::Keep => self.join(context, map, range.end),
            After::Deallocate => {
                self.remove_gathered(context, (map, copy), (range, base), inner);
            }
        }
        Ok(())
    }

    fn plan(&self, (map, id): (MapId, EntryId), copy: CopyId, after: After) -> Plan {
        let entry = self.entry(id);
        let copy = node(&self.copies, copy);
        let many = copy.apart || copy.pieces >= MANY_PIECES;
        let Some(object) = entry.object else {
            return if many { Plan::Now } else { Plan::Empty };
        };
        if after == After::Deallocate && self.may_move(map, entry) {
            return Plan::Move;
        }
        let here = self.object(object);
        let small = copy.pages <= SMALL_COPY;
        let late = here.copies_lazily()
            && !many
            && !entry.is_wired()
            && (here.kind != Kind::Anonymous || !small)
            && self.chain(object) < MAX_CHAIN;
        if late { Plan::Late } else { Plan::Now }
    }

    /// Adds whole pages that lie in one entry. `place` is where in the copy, in bytes.
    fn gather_whole<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, copy): (MapId, CopyId),
        part: Range<u64>,
        plan: Plan,
        place: u64,
    ) -> KernResult<()> {
        let pages = (part.end - part.start) / PAGE_SIZE;
        let mut piece = Piece {
            object: None,
            index: 0,
            pages,
            needs_copy: false,
            next: None,
        };
        let id = self.find_entry(map, part.start)?;
        match (plan, self.entry(id).object) {
            (Plan::Now, None) => {
                // Zeros among the copy's own pages.
                piece.object = Some(self.own_object(context, copy)?);
                piece.index = place / PAGE_SIZE;
            }
            (Plan::Empty, _) | (_, None) => {}
            (Plan::Late, Some(object)) => {
                self.defer(context, map, &part)?;
                let entry = self.entry(self.find_entry(map, part.start)?);
                piece.object = Some(object);
                piece.index = entry.page_at(part.start);
                piece.needs_copy = true;
            }
            (Plan::Now | Plan::Move, Some(object)) => {
                let from = self.entry(id).page_at(part.start);
                let own = self.own_object(context, copy)?;
                let to = place / PAGE_SIZE;
                // What moves stays where it is until nothing can fail any more.
                let skip = if plan == Plan::Move { 1 } else { 0 };
                let from = (object, from..from + pages);
                self.copy_pages(context, from.clone(), (own, to), skip)?;
                if plan == Plan::Move {
                    self.make_places(context, from, (own, to))?;
                }
                piece.object = Some(own);
                piece.index = to;
            }
        }
        self.add_piece(context, copy, piece)
    }

    /// Lets a range of one entry be copied at the next write.
    pub(super) fn defer<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        part: &Range<u64>,
    ) -> KernResult<()> {
        let id = self.find_entry(map, part.start)?;
        let entry = self.entry(id);
        let private = entry
            .object
            .is_some_and(|object| self.object(object).is_private());
        if entry.needs_copy || !private {
            return Ok(());
        }
        let id = self.clip(context, map, id, part)?;
        let rights = Withdraw::AllBut(protection::READ | protection::EXECUTE);
        self.withdraw_all(context, (map, id), part.clone(), rights);
        self.entry_mut(id).needs_copy = true;
        Ok(())
    }

    /// Adds a part of a page; the rest of it is zero.
    fn gather_bytes<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, copy): (MapId, CopyId),
        bytes: Range<u64>,
        place: u64,
    ) -> KernResult<()> {
        let own = self.own_object(context, copy)?;
        let entry = self.entry(self.find_entry(map, bytes.start)?);
        let at = entry.page_at(bytes.start);
        let found = match entry.object {
            Some(object) => self.find_page(context, object, at)?,
            None => None,
        };
        let index = place / PAGE_SIZE;
        if let Some(found) = found {
            let page = self.add_page(context, own, index)?;
            context.machine.zero_page(page);
            let offset = (bytes.start % PAGE_SIZE) as usize;
            let length = (bytes.end - bytes.start) as usize;
            context
                .machine
                .copy((found.page, offset), (page, offset), length);
        }
        let piece = Piece {
            object: Some(own),
            index,
            pages: 1,
            needs_copy: false,
            next: None,
        };
        self.add_piece(context, copy, piece)
    }

    pub(super) fn own_object<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
    ) -> KernResult<ObjectId> {
        let here = node(&self.copies, copy);
        if let Some(own) = here.own {
            return Ok(own);
        }
        let (pages, ledger) = (here.pages, here.ledger);
        let own = self.create_object(context, Kind::Anonymous, pages, Some(ledger))?;
        node_mut(&mut self.copies, copy).own = Some(own);
        Ok(own)
    }

    /// Removes a range that was copied and that entries fit exactly. Pages that move go to the copy now.
    fn remove_gathered<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (map, copy): (MapId, CopyId),
        (range, base): (Range<u64>, u64),
        inner: Range<u64>,
    ) {
        let own = node(&self.copies, copy).own;
        while let Some(id) = self.first_in(map, &range) {
            let entry = self.entry(id);
            let part = entry.start..entry.end;
            self.withdraw_all(context, (map, id), part.clone(), Withdraw::All);
            let entry = self.entry(id);
            let moves = part.start.max(inner.start)..part.end.min(inner.end);
            if let (Some(own), Some(object), true) = (own, entry.object, self.may_move(map, entry))
                && !moves.is_empty()
            {
                let pages = entry.page_at(moves.start)..entry.page_at(moves.end);
                let place = (base + (moves.start - range.start)) / PAGE_SIZE;
                self.move_pages(context, (object, pages), (own, place));
            }
            self.drop_pages(context, id, part);
            self.remove_entry(context, map, id);
        }
    }
}
