//! What a pager answers: pages, the word that there are none, and errors.
//!
//! A pager may lie: about what it was asked, about sizes and places. What it says is checked here, and what it cannot
//! say harms only those who map its object.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::marks::Marks;
use super::object::{Kind, Shown};
use super::pager::PagerState;
use super::request::{Answer, Question, Stall};
use super::tree::node_mut;
use super::{Context, CopyId, MapId, ObjectId, PagerId, Piece, Progress, STEP, Vm};
use crate::base::KernResult;
use crate::machine::{Access, Machine, Page};

/// The most pages that one message supplies.
pub const SUPPLY_PAGES: u64 = STEP;

/// How the supplied pages are to be treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Accesses that need the pager's leave first.
    pub lock: u32,
    /// The pages are to come back even if they are clean.
    pub precious: bool,
}

/// How far a supply came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Supplied {
    /// `Success`, or why it stopped: `MemoryPresent`, `ResourceShortage`.
    pub result: KernReturn,
    /// The first page that was not taken, in bytes from the object's beginning.
    pub offset: u64,
}

impl Vm {
    /// Puts the pages of a copy into a memory object, from `offset` on, up to the first one that is there already. The
    /// copy has lost what was taken, and is to be discarded.
    ///
    /// # Errors
    /// `InvalidArgument`: not of whole pages, more than [`SUPPLY_PAGES`], none, an offset that overflows, a lock of
    /// unknown bits. `Terminated`: the object has ended. `Failure`: it is not ready.
    pub fn supply<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        pager: PagerId,
        (offset, copy): (u64, CopyId),
        terms: Terms,
    ) -> KernResult<Supplied> {
        let object = self.answering(pager)?;
        let from = self.copies.get(copy).ok_or(KernReturn::InvalidArgument)?;
        let (first, count) = page_range(offset, from.size)?;
        if from.offset != 0 || count > SUPPLY_PAGES || terms.lock & !protection::ALL != 0 {
            return Err(KernReturn::InvalidArgument);
        }
        let mut marks = Marks::locked(terms.lock);
        marks.set(Marks::PRECIOUS, terms.precious);
        for number in 0..count {
            let index = first + number;
            let result = if self.resident_from(object, index) == Some(index) {
                Err(KernReturn::MemoryPresent)
            } else {
                self.take_page(context, (copy, number), (object, index))
            };
            if let Err(code) = result {
                if code != KernReturn::MemoryPresent {
                    self.answer_page(pager, index, Answer::Failed);
                }
                return Ok(Supplied {
                    result: code,
                    offset: index * PAGE_SIZE,
                });
            }
            let here = node_mut(&mut self.objects, object);
            here.pages.set_marks(&mut self.residents, index, marks);
            self.answer_page(pager, index, Answer::Done);
        }
        Ok(Supplied {
            result: KernReturn::Success,
            offset: (first + count) * PAGE_SIZE,
        })
    }

    /// The pager has nothing for pages that it was asked for: they are zero.
    ///
    /// # Errors
    /// As [`supply`](Self::supply).
    pub fn supply_zeros<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        pager: PagerId,
        (offset, size): (u64, u64),
    ) -> KernResult<Progress> {
        let object = self.answering(pager)?;
        self.answer_range(pager, (offset, size), |vm, index| {
            if vm.resident_from(object, index) == Some(index) {
                return Answer::Done;
            }
            match vm.add_page(context, object, index) {
                Ok(page) => {
                    context.machine.zero_page(page);
                    Answer::Done
                }
                Err(_) => Answer::Failed,
            }
        })
    }

    /// The pager cannot supply what it was asked for: whoever waits gets an error.
    ///
    /// # Errors
    /// As [`supply`](Self::supply).
    pub fn supply_error(&mut self, pager: PagerId, range: (u64, u64)) -> KernResult<Progress> {
        self.answering(pager)?;
        self.answer_range(pager, range, |_, _| Answer::Failed)
    }

    /// Answers up to [`STEP`] requests for pages of a range.
    fn answer_range(
        &mut self,
        pager: PagerId,
        (offset, size): (u64, u64),
        mut answer: impl FnMut(&mut Self, u64) -> Answer,
    ) -> KernResult<Progress> {
        let (first, count) = page_range(offset, size)?;
        for _ in 0..STEP {
            let page = self.next_request(pager, first);
            let Some(page) = page.filter(|page| *page < first + count) else {
                return Ok(Progress::Done(()));
            };
            let answer = answer(self, page);
            self.answer_page(pager, page, answer);
        }
        Ok(Progress::More)
    }

    /// The object of a pager that may answer.
    pub(super) fn answering(&self, pager: PagerId) -> KernResult<ObjectId> {
        let pager = self.pagers.get(pager).ok_or(KernReturn::Terminated)?;
        match pager.state {
            PagerState::Ready => Ok(pager.object),
            PagerState::Told => Err(KernReturn::Failure),
            PagerState::Dead => Err(KernReturn::Terminated),
        }
    }

    /// Gives an object a page of a copy: the page itself, if nobody else has it.
    fn take_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (copy, number): (CopyId, u64),
        (object, index): (ObjectId, u64),
    ) -> KernResult<()> {
        let shortage = KernReturn::ResourceShortage;
        let here = self.copies.get(copy).ok_or(KernReturn::InvalidArgument)?;
        let own = here.own;
        let (from, place) = self
            .place_in_copy(copy, number)
            .ok_or(KernReturn::InvalidArgument)?;
        if let Some(from) = from.filter(|from| Some(*from) == own)
            && self.resident_from(from, place) == Some(place)
        {
            self.make_place(context, object, index)?;
            if !self.move_charge(context, from, object) {
                return Err(shortage);
            }
            self.move_page(context, (from, place), (object, index));
            return Ok(());
        }
        let shown = match from {
            Some(from) => self.shown_page(from, place)?,
            None => None,
        };
        let page = self.add_page(context, object, index)?;
        match shown {
            Some(shown) => {
                let length = PAGE_SIZE as usize;
                context.machine.copy((shown, 0), (page, 0), length);
            }
            None => context.machine.zero_page(page),
        }
        Ok(())
    }

    /// Object and index of a copy's page; `None` for the object: nobody touched it.
    fn place_in_copy(&self, copy: CopyId, number: u64) -> Option<(Option<ObjectId>, u64)> {
        let mut piece: Option<&Piece> = self.copies.get(copy)?.head.as_ref();
        let mut number = number;
        while let Some(here) = piece {
            if number < here.pages {
                return Some((here.object, here.index + number));
            }
            number -= here.pages;
            piece = here.next.and_then(|next| self.pieces.get(next));
        }
        None
    }

    /// What an object shows at an index; `None`: zeros.
    ///
    /// # Errors
    /// `MemoryError`: a page that a pager took away meanwhile.
    fn shown_page(&self, object: ObjectId, index: u64) -> KernResult<Option<Page>> {
        // What is on its way is not put away.
        match self.find_in_memory(object, index) {
            Some(found) => Ok(Some(found.page)),
            None if self.paged_behind(object, index).is_some() => Err(KernReturn::MemoryError),
            None => Ok(None),
        }
    }

    /// The memory object at the end of an object's chain, and the page of it that lies behind an index.
    pub(super) fn paged_behind(
        &self,
        object: ObjectId,
        index: u64,
    ) -> Option<(PagerId, ObjectId, u64)> {
        let (mut object, mut index) = (object, index);
        loop {
            let here = self.object(object);
            if let Kind::Paged(pager) = here.kind {
                return Some((pager, object, index));
            }
            let backing = here.backing?;
            object = backing.object;
            index = index.checked_add(backing.index)?;
        }
    }

    /// Lets an access to a page that nobody has made yet wait for the pager that could supply it, if one could.
    ///
    /// # Errors
    /// [`STALLED`](super::STALLED). `MemoryError`: what was there is lost.
    pub(super) fn await_missing(
        &mut self,
        object: ObjectId,
        index: u64,
        right: u32,
    ) -> KernResult<()> {
        if self.is_lost(object) {
            return Err(KernReturn::MemoryError);
        }
        match self.paged_behind(object, index) {
            Some((pager, _, page)) => self.stall(Stall {
                pager,
                page,
                question: Question::Data(right),
            }),
            None => Ok(()),
        }
    }

    /// What a pager allows of its page that an entry shows itself, for an access that needs `right`.
    ///
    /// # Errors
    /// [`STALLED`](super::STALLED): the pager is to unlock it, or copies of it are still being made.
    pub(super) fn admit<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        pager: PagerId,
        (object, page): (ObjectId, u64),
        right: u32,
    ) -> KernResult<u32> {
        let marks = self.check_lock(pager, (object, page), right)?;
        if marks.contains(Marks::IDLE) {
            self.clear_marks(object, page..page + 1, Marks::IDLE);
        }
        let mut dirty = marks.contains(Marks::DIRTY);
        if right == protection::WRITE && !dirty {
            if self.preserve(context, pager, page) == Progress::More {
                return self.stall_step();
            }
            self.mark_page(object, page, Marks::DIRTY);
            dirty = true;
        }
        let write = match dirty {
            true => 0,
            // The first write is to be noticed.
            false => protection::WRITE,
        };
        Ok(protection::ALL & !marks.lock() & !write)
    }

    /// A page's marks, unless its pager has to allow an access first.
    fn check_lock(
        &mut self,
        pager: PagerId,
        (object, page): (ObjectId, u64),
        right: u32,
    ) -> KernResult<Marks> {
        let marks = self.marks(object, page);
        if marks.lock() & right == 0 {
            return Ok(marks);
        }
        self.stall(Stall {
            pager,
            page,
            question: Question::Unlock(right),
        })
    }

    /// Adds to what is known of a page.
    pub(super) fn mark_page(&mut self, object: ObjectId, page: u64, more: Marks) {
        let here = node_mut(&mut self.objects, object);
        let marks = here.pages.marks(&self.residents, page) | more;
        here.pages.set_marks(&mut self.residents, page, marks);
    }

    /// Makes a range's pages present where only a pager can, or the store has them, so that a step can copy them at once.
    ///
    /// # Errors
    /// [`STALLED`](super::STALLED). A hole is no error.
    pub fn await_range<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        pages: core::ops::Range<u64>,
    ) -> KernResult<()> {
        debug_assert!(pages.end - pages.start <= STEP * PAGE_SIZE);
        if !self.may_stall() {
            return Ok(());
        }
        let mut at = pages.start;
        while at < pages.end {
            let Some(id) = self.first_in(map, &(at..pages.end)) else {
                return Ok(());
            };
            let entry = self.entry(id);
            let (start, end) = (entry.start.max(at), entry.end.min(pages.end));
            if let Some(object) = entry.object {
                let first = entry.page_at(start);
                self.await_pages(context, object, first..first + (end - start) / PAGE_SIZE)?;
            }
            at = end;
        }
        Ok(())
    }

    /// As [`await_range`](Self::await_range), for pages of an object.
    pub(super) fn await_pages<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        pages: core::ops::Range<u64>,
    ) -> KernResult<()> {
        if self.paged_behind(object, pages.start).is_none() && self.slots.is_empty() {
            return Ok(());
        }
        let right = super::fault::needed(Access::Read);
        for index in pages {
            match self.find(object, index) {
                None => self.await_missing(object, index, right)?,
                Some(Shown::Stored(stored)) => self.fetch(context, stored)?,
                Some(Shown::Page(found)) if found.paged => {
                    if let Some((pager, behind, page)) = self.paged_behind(object, index) {
                        self.check_lock(pager, (behind, page), right)?;
                    }
                }
                Some(Shown::Page(_)) => {}
            }
        }
        Ok(())
    }
}

/// The first page of a range in an object and how many there are.
pub(super) fn page_range(offset: u64, size: u64) -> KernResult<(u64, u64)> {
    let end = offset.checked_add(size);
    if size == 0 || end.is_none() || !(offset | size).is_multiple_of(PAGE_SIZE) {
        return Err(KernReturn::InvalidArgument);
    }
    Ok((offset / PAGE_SIZE, size / PAGE_SIZE))
}
