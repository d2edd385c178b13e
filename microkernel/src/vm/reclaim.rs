//! Page-out: what leaves memory when it is short.
//!
//! There is no list of pages by age. Three *hands* go round: over the entries of all maps, for anonymous memory that one
//! alone reaches; over objects, for what several reach (`leaving.rs`); and over the memory objects of pagers. A page that a hand meets is unmapped, and called *idle*; who uses it clears
//! that. A page that is still idle when the hand comes by again goes: a clean one of a pager's at once, a dirty or precious one back to its
//! pager, an anonymous one to the store (`store.rs`). Objects that only stay because they may be cached go before that.
//!
//! Work is done when an allocation finds less memory free than the *target*, in steps of up to [`STEP`] pages, in the time of the
//! thread that asked for more. A pager that has [as many messages waiting](crate::ipc::pager::MAX_RETURNS) as may is not sent
//! more: its pages stay, charged to its own ledger. The last [`RESERVE`] pages are the kernel's and the default
//! pager's: whoever else needs one waits until pages came free, as for a pager's page.
//!
//! Invariant: an idle page is mapped nowhere. While somebody waits for memory, there is more page-out to do, or a message at the store's
//! port, whose receipt or whose receiver's end makes it go on, or all are to be woken ([`Vm::check`]). So it does no harm that the
//! target is looked at only when somebody takes memory: nobody waits for that, but for more than the reserve, and the steps that come
//! anyway see what others freed or wired meanwhile.
//!
//! Deliberately absent: what a slow pager does not take is not put into the store instead (Mach 3 did that). Its task pays
//! for those pages wherever they lie, so it fills its own account alone, and other memory goes. Wired memory, message
//! buffers, and what is on its way in a message stay, too.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;

use super::leaving::Batch;
use super::marks::{Content, Marks};
use super::object::Found;
use super::order::{Order, OrderStep};
use super::pages::Withdraw;
use super::request::{Stalled, WaitKey};
use super::{Context, Cursor, EntryId, MapId, ObjectId, PagerId, STALLED, STEP, Vm};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Machine, Page};

/// Pages that nobody gets but the kernel and the default pager, while there is one.
pub const RESERVE: u64 = 64;

/// How many pages beyond the target are made free at once.
const SLACK: u64 = 32;

/// Allocations between two looks at how much is free, while that is plenty.
const UNWATCHED: u64 = 32;

/// How often the hands go round without finding anything before they rest: once to unmap, once to find it idle, and
/// once more for what changed meanwhile.
const MAX_ROUNDS: u32 = 3;

/// Allocations below the target after which hands that found nothing try again.
const REST: u32 = 64;

/// How a wait for free memory is known.
pub(super) const MEMORY_KEY: WaitKey = [0, 3];

/// Which hand moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Hand {
    /// Over entries, for what each of them alone reaches.
    #[default]
    Entries,
    /// Over objects, for what several reach; the four that follow end a batch of it (`leaving.rs`).
    Objects,
    Pieces,
    Buffers,
    Mappings,
    Batch,
    /// Over the memory objects of pagers.
    Pagers,
}

/// Where page-out is.
#[derive(Clone, Copy, Default)]
pub(super) struct Reclaim {
    /// As many pages are to be free.
    target: u64,
    /// There is work.
    pub(super) wanted: bool,
    /// It goes on when the store's pager takes a message.
    pub(super) blocked: bool,
    hand: Hand,
    /// Place of the hand in its arena, and in the object there.
    pub(super) place: u32,
    pub(super) page: u64,
    /// What several reach, and is being unmapped.
    pub(super) batch: Batch,
    /// Where it is with a window of a memory object that takes several steps.
    pub(super) cursor: Option<Cursor>,
    rounds: u32,
    rest: u32,
    /// Allocations before the next look at how much is free.
    unwatched: u32,
    /// Threads wait for free memory.
    waiters: bool,
    /// They are to be woken, or to be told that there is none.
    pub(super) wake: Option<Woken>,
    /// Idle pages that somebody used, since boot.
    reactivated: u64,
}

/// What threads are told that wait for memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Woken {
    /// There is some.
    TryAgain,
    /// There will be none.
    Hopeless,
}

/// Whether the store's pager can be sent pages now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// Nothing waits at its port.
    Idle,
    /// Some messages wait.
    Some,
    /// As many wait as may.
    Full,
}

/// What follows from a step of page-out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReclaimStep {
    /// Nothing.
    Done,
    /// Pages are to be returned: [`Vm::collect`] from there.
    Return(PagerId, Cursor),
    /// A page is to be sent to the store: [`Vm::put_away`].
    Store(Victim),
}

/// A page that is to leave memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Victim {
    pub(super) object: ObjectId,
    pub(super) index: u64,
}

/// A part of an entry whose pages nobody else reaches.
struct Part {
    map: MapId,
    object: ObjectId,
    pages: Range<u64>,
}

impl Reclaim {
    /// What is free, or is to be, has changed.
    pub(super) fn watch(&mut self) {
        (self.rest, self.unwatched) = (0, 0);
    }

    /// Nobody waits for memory, or will be told of it.
    pub(super) fn forgets_nobody(&self) -> bool {
        !self.waiters || self.wanted || self.blocked || self.wake.is_some()
    }

    pub(super) fn store_lost(&mut self) {
        self.blocked = false;
        if self.waiters {
            self.wake = Some(Woken::Hopeless);
        }
    }

    pub(super) fn next_place(&mut self) {
        self.place += 1;
        (self.page, self.cursor) = (0, None);
    }

    pub(super) fn turn_to(&mut self, hand: Hand) {
        (self.hand, self.place, self.page) = (hand, 0, 0);
    }

    /// The store's pager has as many messages waiting as may.
    pub(super) fn wait_for_room(&mut self) {
        (self.blocked, self.wanted) = (true, false);
    }
}

impl Vm {
    /// How many pages are to be kept free.
    pub fn set_free_target(&mut self, pages: u64) {
        self.reclaim.target = pages;
        self.reclaim.watch();
    }

    /// How often since boot somebody used a page that was idle. How many are, is not known: they are in no list, and who frees a page
    /// does not look at its marks.
    pub fn reactivated(&self) -> u64 {
        self.reclaim.reactivated
    }

    pub(super) fn free_target(&self) -> u64 {
        // Who waits for memory waits until more than the reserve is free.
        let least = self.store.map_or(0, |_| 2 * RESERVE);
        self.reclaim.target.max(least)
    }

    /// A page for a ledger's task. The ledger is charged already.
    pub(super) fn allocate_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        ledger: LedgerId,
    ) -> Option<Page> {
        if self.reclaim.unwatched > 0 {
            self.reclaim.unwatched -= 1;
        } else if !self.pagers.is_empty() {
            let free = context.machine.free_pages();
            if free > self.free_target() + 2 * UNWATCHED {
                // Even with what others take meanwhile there is enough.
                self.reclaim.unwatched = UNWATCHED as u32;
            }
            if free < self.free_target() && !self.reclaim.wanted && !self.reclaim.blocked {
                self.reclaim.wanted = self.reclaim.rest == 0;
                self.reclaim.rest = self.reclaim.rest.saturating_sub(1);
            }
            if free <= RESERVE && self.store.is_some_and(|store| store.ledger != ledger) {
                return None;
            }
        }
        context.machine.allocate_page()
    }

    /// Somebody uses a page.
    pub(super) fn use_page(&mut self, found: &Found) {
        if found.idle {
            let (object, index) = found.holder;
            let was_idle = self.marks(object, index).contains(Marks::IDLE);
            let count = &mut self.reclaim.reactivated;
            *count = count.wrapping_add(was_idle.into());
            self.clear_marks(object, index..index + 1, Marks::UNUSED);
        }
    }

    /// What becomes of an access that failed with a code: if memory is short and some may come free, it waits.
    #[cold]
    #[inline(never)]
    pub(super) fn wait_for_memory<M: Machine>(
        &mut self,
        context: &Context<'_, M>,
        map: MapId,
        code: KernReturn,
    ) -> KernReturn {
        let code = self.excuse(code);
        let Some(ledger) = self.maps.get(map).map(|map| map.ledger) else {
            return code;
        };
        let ledgers = &context.ledgers;
        let pays = ledgers.used(ledger, Resource::Pages) < ledgers.limit(ledger, Resource::Pages);
        let short = context.machine.free_pages() <= RESERVE;
        let stores = self.store.is_some_and(|store| store.ledger != ledger);
        if code != KernReturn::ResourceShortage || !pays || !short || !stores {
            return code;
        }
        self.reclaim.wanted |= !self.reclaim.blocked;
        self.reclaim.waiters = true;
        self.stalled = Some(Stalled::Memory);
        STALLED
    }

    /// Whether [`notice_free`](Self::notice_free) is of interest.
    #[inline(always)]
    pub fn waits_for_memory(&self) -> bool {
        self.reclaim.waiters
    }

    /// So many pages are free now.
    pub fn notice_free(&mut self, free: u64) {
        if free > RESERVE && self.reclaim.wake.is_none() {
            self.reclaim.wake = Some(Woken::TryAgain);
        }
    }

    pub(super) fn all_woken_for_memory(&mut self) {
        self.reclaim.wake = None;
        self.reclaim.waiters = false;
    }

    /// A page has left memory, or is on its way: it is worth while to go on.
    pub fn note_reclaimed(&mut self) {
        self.reclaim.rounds = 0;
    }

    /// Does a step of page-out.
    pub fn reclaim_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        room: Room,
    ) -> ReclaimStep {
        let (enough, free) = (self.free_target() + SLACK, context.machine.free_pages());
        if self.reclaim.waiters {
            // Frames come free when the lock is not held: this may be the last look at them for long.
            self.notice_free(free);
        }
        let reclaim = &mut self.reclaim;
        // A window that is begun is ended: its pages are barred till then.
        if free >= enough && reclaim.cursor.is_none() {
            (reclaim.wanted, reclaim.rounds) = (false, 0);
            return ReclaimStep::Done;
        }
        if reclaim.rounds >= MAX_ROUNDS {
            (reclaim.wanted, reclaim.rounds, reclaim.rest) = (false, 0, REST);
            if reclaim.waiters && room == Room::Idle {
                reclaim.wake.get_or_insert(Woken::Hopeless);
            }
            reclaim.blocked = reclaim.waiters && room != Room::Idle;
            return ReclaimStep::Done;
        }
        if self.end_oldest() {
            return ReclaimStep::Done;
        }
        match self.reclaim.hand {
            Hand::Entries => self.sweep_entries(context, room),
            Hand::Objects => self.sweep_objects(context, room),
            Hand::Pieces => self.sweep_pieces(),
            Hand::Buffers => self.sweep_buffers(),
            Hand::Mappings => self.sweep_mappings(context),
            Hand::Batch => self.sweep_batch(),
            Hand::Pagers => self.sweep_pagers(context),
        }
    }

    /// Moves the hand that goes over entries.
    fn sweep_entries<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        room: Room,
    ) -> ReclaimStep {
        let mut budget = STEP;
        let stores = self.can_store(context);
        while budget > 0 {
            let place = self.reclaim.place;
            if !stores || place >= self.entries.end() {
                self.reclaim.turn_to(Hand::Objects);
                return ReclaimStep::Done;
            }
            budget -= 1;
            let entry = self.entries.id_at(place);
            let Some((id, part)) = entry.and_then(|id| Some((id, self.evictable(id)?))) else {
                self.reclaim.next_place();
                continue;
            };
            let from = part.pages.start.max(self.reclaim.page);
            let next = self.object(part.object).pages.next(&self.residents, from);
            let Some((index, content)) = next.filter(|(index, _)| *index < part.pages.end) else {
                self.reclaim.next_place();
                continue;
            };
            self.reclaim.page = index + 1;
            if content.page().is_none() {
                continue;
            }
            if !self.marks(part.object, index).contains(Marks::IDLE) {
                let run = self.idle_run(context, id, (&part, index), budget + 1);
                budget = (budget + 1).saturating_sub(run);
                self.reclaim.page = index + run;
            } else if room == Room::Full {
                self.reclaim.page = index;
                self.reclaim.wait_for_room();
                return ReclaimStep::Done;
            } else {
                let object = part.object;
                return ReclaimStep::Store(Victim { object, index });
            }
        }
        ReclaimStep::Done
    }

    /// Lets up to [`STEP`] pages of an entry's part, from its beginning on, be the first to go when memory is short, if they can
    /// be put away; up to where it did.
    pub(super) fn idle_front<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        part: Range<u64>,
    ) -> u64 {
        let Some(pages) = self.evictable(id).filter(|_| self.store.is_some()) else {
            return part.end;
        };
        let entry = self.entry(id);
        let (mut page, end) = (entry.page_at(part.start), entry.page_at(part.end));
        let mut budget = STEP;
        while budget > 0 {
            let next = self.resident_from(pages.object, page);
            let Some(next) = next.filter(|next| *next < end) else {
                return part.end;
            };
            let limit = budget.min(end - next);
            // One that is idle, or put away, is looked at.
            let run = self.idle_run(context, id, (&pages, next), limit).max(1);
            (page, budget) = (next + run, budget - run);
        }
        self.entry(id).address_of(page)
    }

    /// The part of an entry that can be put away as soon as it does not map it: its object's own pages, which it alone reaches.
    fn evictable(&self, id: EntryId) -> Option<Part> {
        let entry = self.entry(id);
        let (map, object) = (entry.map?, entry.object?);
        let here = self.object(object);
        let copies = entry.needs_copy && here.references > 1;
        if copies || entry.is_wired() || !here.is_private() {
            return None;
        }
        let ledger = self.maps.get(map)?.ledger;
        if self.store.is_some_and(|store| store.ledger == ledger) {
            return None;
        }
        Some(Part {
            map,
            object,
            pages: entry.index..entry.index + entry.size(),
        })
    }

    /// Unmaps the pages from `first` on that are used, up to `limit`; returns how many.
    fn idle_run<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        (part, first): (&Part, u64),
        limit: u64,
    ) -> u64 {
        let mut end = first;
        while end < part.pages.end && end - first < limit {
            let pages = &self.object(part.object).pages;
            match pages.look(&self.residents, end) {
                Some((Content::Page(_), marks)) if !marks.contains(Marks::IDLE) => end += 1,
                _ => break,
            }
        }
        for page in first..end {
            self.mark_page(part.object, page, Marks::IDLE);
        }
        let entry = self.entry(id);
        let range = entry.address_of(first)..entry.address_of(end);
        self.withdraw_all(context, (part.map, id), range, Withdraw::All);
        end - first
    }

    /// Moves the hand that goes over memory objects.
    fn sweep_pagers<M: Machine>(&mut self, context: &mut Context<'_, M>) -> ReclaimStep {
        for _ in 0..STEP {
            let place = self.reclaim.place;
            if place >= self.pagers.end() {
                self.reclaim.turn_to(Hand::Entries);
                self.reclaim.rounds += 1;
                return ReclaimStep::Done;
            }
            let pager = self.pagers.id_at(place);
            let Some(pager) = pager.filter(|pager| self.is_ready(*pager)) else {
                self.reclaim.next_place();
                continue;
            };
            let Some(object) = self.pagers.get(pager).map(|pager| pager.object) else {
                self.reclaim.next_place();
                continue;
            };
            let Some(page) = self.resident_from(object, self.reclaim.page) else {
                self.reclaim.next_place();
                continue;
            };
            let marks = self.marks(object, page);
            self.reclaim.page = page + 1;
            if self.is_held(object, page) {
                continue;
            }
            if marks.intersects(Marks::BUSY | Marks::RETURN) && self.reclaim.cursor.is_none() {
                continue;
            }
            if !marks.contains(Marks::IDLE) {
                self.idle_window(context, (pager, object), page);
                return ReclaimStep::Done;
            }
            if marks.must_return() {
                let end = self.mark_returns(object, page);
                self.reclaim.page = end;
                return ReclaimStep::Return(pager, Cursor::at(page * PAGE_SIZE));
            }
            self.drop_page(context, object, page);
            self.note_reclaimed();
            self.answer_unlocked((pager, object), &(page..page + 1));
        }
        ReclaimStep::Done
    }

    /// Unmaps the pages of a memory object from `first` on that are used.
    fn idle_window<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (pager, object): (PagerId, ObjectId),
        first: u64,
    ) {
        let mut end = first + 1;
        while end - first < STEP
            && self.resident_from(object, end) == Some(end)
            && !self.is_held(object, end)
            && !self.marks(object, end).contains(Marks::IDLE)
        {
            end += 1;
        }
        let range = (first * PAGE_SIZE, (end - first) * PAGE_SIZE);
        let cursor = self.reclaim.cursor.take();
        let cursor = cursor.unwrap_or(Cursor::at(range.0));
        self.reclaim.page = end;
        if let Ok(OrderStep::More(next)) =
            self.order_step(context, (pager, range), &Order::UNMAP, cursor)
            && !next.is_at_beginning()
        {
            self.reclaim.page = first;
            self.reclaim.cursor = Some(next);
        }
    }
}
