//! [`Order`]: pages of a memory object are cleaned, flushed, locked.
//!
//! An order goes through the resident pages of a range in windows of up to [`STEP`]. For each it (1) marks the pages, (2)
//! withdraws their mappings, or rights of those, from all maps, and (3) in a later step, when no CPU remembers the old
//! mappings any more, gives those pages to the pager that it is to have back, and frees those that go. Whoever
//! needs a page that is *busy* meanwhile waits as for one that is locked.
//!
//! Orders for one object may overlap in time. Each beginning of a window counts up the object's *epoch*: who finds that
//! another order began since its own last step begins its window again.
//!
//! Invariant: a page that is freed or leaves here was busy from before its mappings were withdrawn.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::{protection, returns};

use super::marks::Marks;
use super::pages::Withdraw;
use super::request::Answer;
use super::supply::page_range;
use super::tree::{node, node_mut};
use super::{After, Context, CopyId, ObjectId, PagerId, Piece, STEP, Vm};
use crate::base::KernResult;
use crate::machine::Machine;

/// Which pages the pager is to have back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returns {
    /// None.
    Nothing,
    /// Those that were written.
    Dirty,
    /// Those, and the precious ones.
    All,
}

/// Which pages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// None.
    Nothing,
    /// None, but nobody maps them any more.
    Unmap,
    /// Those whose content the pager has, or is given now.
    Clean,
    /// All, and what is not returned is lost.
    All,
}

/// What is to be done with pages of a memory object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// What the pager gets.
    pub returns: Returns,
    /// What goes.
    pub flush: Flush,
    /// Accesses that need the pager's leave from now on; `None`: as before.
    pub lock: Option<u32>,
}

/// How far an order is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    page: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A window begins at the first page from here on.
    Begin,
    /// Mappings are withdrawn, from those of the entry at or after this place on.
    Withdraw { from: u32, epoch: u32 },
    /// So many pages of the window are left, to be returned or freed.
    Collect { epoch: u32, left: u32 },
}

/// What follows from a step of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderStep {
    /// All is done.
    Done,
    /// The next step begins there.
    More(Cursor),
    /// First, [`Vm::collect`] from there is to be sent to the pager.
    Return(Cursor),
}

/// Pages on their way back to their pager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returned {
    /// The pages.
    pub copy: CopyId,
    /// Where they lie, in bytes from the object's beginning.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// They were written since the pager had them.
    pub dirty: bool,
    /// They are still in memory.
    pub kept: bool,
}

impl Order {
    /// Clean pages go.
    pub const DROP_CLEAN: Self = Self {
        returns: Returns::Nothing,
        flush: Flush::Clean,
        lock: None,
    };

    /// All pages go, and what was written is lost.
    pub const DROP_ALL: Self = Self {
        flush: Flush::All,
        ..Self::DROP_CLEAN
    };

    /// Nobody maps any page any more: they are the first to go when memory is short.
    pub const UNMAP: Self = Self {
        flush: Flush::Unmap,
        ..Self::DROP_CLEAN
    };

    /// As `lock_request` says it.
    ///
    /// # Errors
    /// `InvalidArgument`: unknown numbers or bits.
    pub fn decode(returns: u32, flush: u32, lock: u32) -> KernResult<Self> {
        Ok(Self {
            returns: match returns {
                returns::NONE => Returns::Nothing,
                returns::DIRTY => Returns::Dirty,
                returns::ALL => Returns::All,
                _ => return Err(KernReturn::InvalidArgument),
            },
            flush: match flush {
                0 => Flush::Nothing,
                1 => Flush::All,
                _ => return Err(KernReturn::InvalidArgument),
            },
            lock: match lock {
                protection::NO_CHANGE => None,
                lock if lock & !protection::ALL == 0 => Some(lock),
                _ => return Err(KernReturn::InvalidArgument),
            },
        })
    }

    /// What mappings lose.
    fn withdraws(&self) -> Option<Withdraw> {
        if self.flush != Flush::Nothing {
            return Some(Withdraw::All);
        }
        let mut rights = protection::ALL & !self.lock.unwrap_or(protection::NONE);
        if self.returns != Returns::Nothing {
            // The next write is to be noticed.
            rights &= !protection::WRITE;
        }
        (rights != protection::ALL).then_some(Withdraw::AllBut(rights))
    }

    /// The same for a page that is held: it stays.
    fn for_held(self) -> Self {
        Self {
            flush: Flush::Nothing,
            ..self
        }
    }

    /// A page's marks when the order begins.
    fn mark(&self, old: Marks) -> Marks {
        // Of an order that was not carried through.
        let mut marks = old.restored();
        let (dirty, unsafe_to_lose) = (marks.contains(Marks::DIRTY), marks.must_return());
        let returned = match self.returns {
            Returns::Nothing => false,
            Returns::Dirty => dirty,
            Returns::All => unsafe_to_lose,
        };
        if returned {
            marks -= Marks::DIRTY | Marks::PRECIOUS;
            marks |= Marks::RETURN;
            marks.set(Marks::WAS_DIRTY, dirty);
        }
        if let Some(lock) = self.lock {
            marks = (marks - Marks::LOCK) | Marks::locked(lock);
        }
        let goes = match self.flush {
            Flush::Nothing => false,
            Flush::Clean => returned || !unsafe_to_lose,
            Flush::Unmap | Flush::All => true,
        };
        marks.set(Marks::BUSY, goes);
        marks
    }
}

impl Cursor {
    /// Whether no window is begun.
    pub(super) fn is_at_beginning(self) -> bool {
        self.phase == Phase::Begin
    }

    /// An order begins at a byte of the object.
    pub fn at(offset: u64) -> Self {
        Self {
            page: offset / PAGE_SIZE,
            phase: Phase::Begin,
        }
    }
}

impl Vm {
    /// Does a step of an order for pages of a memory object.
    ///
    /// # Errors
    /// As [`supply`](Self::supply).
    pub fn order_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (pager, range): (PagerId, (u64, u64)),
        order: &Order,
        cursor: Cursor,
    ) -> KernResult<OrderStep> {
        let object = self.answering(pager)?;
        let (first, count) = page_range(range.0, range.1)?;
        let mut page = cursor.page.max(first);
        let current = node(&self.pagers, pager).epoch;
        let (from, epoch) = match cursor.phase {
            Phase::Collect { epoch, left } if epoch == current => {
                let window = page..page + u64::from(left);
                return Ok(self.collect_step(context, (pager, object), window, order.flush));
            }
            Phase::Withdraw { from, epoch } if epoch == current => (from, epoch),
            _ => {
                let next = self.resident_from(object, page);
                let Some(next) = next.filter(|next| *next < first + count) else {
                    return Ok(OrderStep::Done);
                };
                page = next;
                let here = node_mut(&mut self.pagers, pager);
                here.epoch = here.epoch.wrapping_add(1);
                (0, here.epoch)
            }
        };
        let window = page..(first + count).min(page + STEP);
        if from == 0 {
            self.mark_window(object, &window, order);
        }
        if let Some(what) = order.withdraws()
            && let Some(from) = self.withdraw_everywhere(context, (object, &window), what, from)
        {
            let phase = Phase::Withdraw { from, epoch };
            return Ok(OrderStep::More(Cursor { page, phase }));
        }
        if self.next_returned(object, &window).is_some() {
            // What is copied must not be written any more, on any CPU.
            let left = (window.end - page) as u32;
            let phase = Phase::Collect { epoch, left };
            return Ok(OrderStep::More(Cursor { page, phase }));
        }
        Ok(self.collect_step(context, (pager, object), window, order.flush))
    }

    fn mark_window(&mut self, object: ObjectId, window: &Range<u64>, order: &Order) {
        let mut at = window.start;
        while let Some(page) = self.resident_from(object, at).filter(|p| *p < window.end) {
            let order = match self.is_held(object, page) {
                true => order.for_held(),
                false => *order,
            };
            let here = node_mut(&mut self.objects, object);
            let marks = order.mark(here.pages.marks(&self.residents, page));
            here.pages.set_marks(&mut self.residents, page, marks);
            at = page + 1;
        }
    }

    /// The first page of a window that is to be returned.
    fn next_returned(&self, object: ObjectId, window: &Range<u64>) -> Option<u64> {
        let mut at = window.start;
        while let Some(page) = self.resident_from(object, at).filter(|p| *p < window.end) {
            if self.marks(object, page).contains(Marks::RETURN) {
                return Some(page);
            }
            at = page + 1;
        }
        None
    }

    pub(super) fn marks(&self, object: ObjectId, page: u64) -> Marks {
        self.object(object).pages.marks(&self.residents, page)
    }

    /// The last steps of a window: what is to be returned is, and what is busy goes.
    fn collect_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (pager, object): (PagerId, ObjectId),
        window: Range<u64>,
        flush: Flush,
    ) -> OrderStep {
        let returned = self.next_returned(object, &window);
        let goes = window.start..returned.unwrap_or(window.end);
        let mut at = goes.start;
        while let Some(page) = self.resident_from(object, at).filter(|p| *p < goes.end) {
            at = page + 1;
            if !self.marks(object, page).contains(Marks::BUSY) {
                continue;
            }
            if flush == Flush::Unmap {
                self.clear_marks(object, page..at, Marks::BUSY);
                self.mark_page(object, page, Marks::IDLE);
            } else {
                self.drop_page(context, object, page);
            }
        }
        self.answer_unlocked((pager, object), &goes);
        let Some(page) = returned else {
            return OrderStep::More(Cursor {
                page: window.end,
                phase: Phase::Begin,
            });
        };
        let epoch = node(&self.pagers, pager).epoch;
        let left = (window.end - page) as u32;
        let phase = Phase::Collect { epoch, left };
        OrderStep::Return(Cursor { page, phase })
    }

    /// Answers who waits for accesses to pages that are no longer locked, or no longer there.
    pub(super) fn answer_unlocked(
        &mut self,
        (pager, object): (PagerId, ObjectId),
        window: &Range<u64>,
    ) {
        let mut at = window.start;
        while let Some((page, wanted)) = self
            .next_unlock(pager, at)
            .filter(|(page, _)| *page < window.end)
        {
            // Whose access is still locked asks anew.
            if wanted & !self.marks(object, page).lock() != 0 {
                self.answer_page(pager, page, Answer::Done);
            }
            at = page + 1;
        }
    }

    /// Takes pages that are to be returned, from the cursor's on: up to the first one that is not, or differs in what
    /// is said of it. Busy ones leave the object, of others it keeps a clean one.
    ///
    /// # Errors
    /// `ResourceShortage`: the pager cannot pay. The pages stay, and are as before.
    pub fn collect<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        pager: PagerId,
        cursor: Cursor,
    ) -> KernResult<Returned> {
        let gone = KernReturn::Terminated;
        let object = self.pagers.get(pager).ok_or(gone)?.object;
        let first = cursor.page;
        let kind = Marks::RETURN | Marks::WAS_DIRTY | Marks::BUSY;
        let marks = self.marks(object, first) & kind;
        let mut end = first;
        while end - first < STEP
            && self.resident_from(object, end) == Some(end)
            && self.marks(object, end) & kind == marks
        {
            end += 1;
        }
        if end == first || !marks.contains(Marks::RETURN) {
            return Err(gone);
        }
        let kept = !marks.contains(Marks::BUSY);
        let after = if kept { After::Keep } else { After::Deallocate };
        let copy = self.copy_returned(context, (object, first..end), after);
        if copy.is_err() {
            self.stop_order(pager, cursor);
        } else if kept {
            self.clear_marks(object, first..end, Marks::RETURN | Marks::WAS_DIRTY);
        }
        self.answer_unlocked((pager, object), &(first..end));
        Ok(Returned {
            copy: copy?,
            offset: first * PAGE_SIZE,
            size: (end - first) * PAGE_SIZE,
            dirty: marks.contains(Marks::WAS_DIRTY),
            kept,
        })
    }

    fn copy_returned<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, pages): (ObjectId, Range<u64>),
        after: After,
    ) -> KernResult<CopyId> {
        let count = pages.end - pages.start;
        let payer = self.object(object).ledger;
        let payer = payer.ok_or(KernReturn::ResourceShortage)?;
        let copy = self.create_copy(context, payer, (0, count * PAGE_SIZE))?;
        let filled = self.fill_returned(context, copy, (object, pages), after);
        if let Err(shortage) = filled {
            self.release_pieces(context, copy);
            return Err(shortage);
        }
        Ok(copy)
    }

    fn fill_returned<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        (object, pages): (ObjectId, Range<u64>),
        after: After,
    ) -> KernResult<()> {
        let own = self.own_object(context, copy)?;
        let piece = Piece {
            object: Some(own),
            index: 0,
            pages: pages.end - pages.start,
            needs_copy: false,
            next: None,
        };
        self.add_piece(context, copy, piece)?;
        if after == After::Keep {
            return self.copy_pages(context, (object, pages), (own, 0), 0);
        }
        // The copy is the pager's as the object is: who pays stays the same.
        self.make_places(context, (object, pages.clone()), (own, 0))?;
        self.move_pages(context, (object, pages), (own, 0));
        Ok(())
    }

    /// What an order was about to return from the cursor on cannot be: those pages stay, and are as before.
    pub fn stop_order(&mut self, pager: PagerId, cursor: Cursor) {
        let Some(here) = self.pagers.get_mut(pager) else {
            return;
        };
        here.epoch = here.epoch.wrapping_add(1);
        let object = here.object;
        let window = cursor.page..cursor.page + STEP;
        let mut at = window.start;
        while let Some(page) = self.resident_from(object, at).filter(|p| *p < window.end) {
            let here = node_mut(&mut self.objects, object);
            let marks = here.pages.marks(&self.residents, page).restored();
            here.pages.set_marks(&mut self.residents, page, marks);
            at = page + 1;
        }
        self.answer_unlocked((pager, object), &window);
    }

    pub(super) fn clear_marks(&mut self, object: ObjectId, pages: Range<u64>, gone: Marks) {
        for page in pages {
            let here = node_mut(&mut self.objects, object);
            let marks = here.pages.marks(&self.residents, page) - gone;
            here.pages.set_marks(&mut self.residents, page, marks);
        }
    }

    /// Marks the first pages of an object that nobody maps for their return, all in one message, or frees up to [`STEP`] of those that are not
    /// to be. `Done`: there are none left.
    pub(super) fn empty_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        returns: Returns,
    ) -> OrderStep {
        let order = Order {
            returns,
            flush: Flush::All,
            lock: None,
        };
        for _ in 0..STEP {
            let Some(page) = self.resident_from(object, 0) else {
                return OrderStep::Done;
            };
            if order.mark(self.marks(object, page)).contains(Marks::RETURN) {
                self.mark_run(object, page, &order);
                return OrderStep::Return(Cursor::at(page * PAGE_SIZE));
            }
            self.drop_page(context, object, page);
        }
        OrderStep::More(Cursor::at(0))
    }

    /// Marks an object's pages from `page` on, which nobody maps, for their return in one message; where they end.
    pub(super) fn mark_returns(&mut self, object: ObjectId, page: u64) -> u64 {
        let order = Order {
            returns: Returns::All,
            flush: Flush::All,
            lock: None,
        };
        self.mark_run(object, page, &order)
    }

    fn mark_run(&mut self, object: ObjectId, page: u64, order: &Order) -> u64 {
        let (old, marks) = (
            self.marks(object, page),
            order.mark(self.marks(object, page)),
        );
        let mut end = page + 1;
        while end - page < STEP
            && self.resident_from(object, end) == Some(end)
            && !self.is_held(object, end)
            && order.mark(self.marks(object, end)) == marks
            && !(self.marks(object, end) ^ old).contains(Marks::IDLE)
        {
            end += 1;
        }
        self.mark_window(object, &(page..end), order);
        end
    }
}
