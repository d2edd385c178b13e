//! Private copies of a pager's memory: *asymmetric* copies. The copy changes, the pager's object stays as it is.
//!
//! A copy is a shadow in front of the pager's object. It is made without any page, and keeps the content of the moment at
//! which it was made: before a page of the object is written for the first time since its pager had it, each
//! shadow that has none gets a copy of it. The hardware lets nobody write a page that is not [`Marks::DIRTY`], so
//! that write is noticed. A page that is dirty already when the copy is made may be mapped writable, and is copied then.
//!
//! Who reads a private copy maps the pager's own page, without the right to write it, until the object's page is about to change.
//!
//! Invariant ([`Vm::check`]): no shadow shows a dirty page of a pager's object. A shadow that could not get its copy, because its
//! payer's ledger or memory is full, is *lost*: what it has no page for is an error from then on, never another content (what is
//! mapped of it stays so until it changes).
//! So who cannot pay harms neither who writes nor the pager.
//!
//! Deliberately absent: asking the pager to make copies (`MEMORY_OBJECT_COPY_CALL`).

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::vm::copy_strategy;

use super::marks::{Content, Marks};
use super::object::Kind;
use super::pager::PagerState;
use super::tree::{node, node_mut};
use super::{COPY_STEP, Context, ObjectId, PagerId, Progress, Vm};
use crate::base::KernResult;
use crate::machine::{Machine, Page};

/// A page of a pager's object that is about to be written.
#[derive(Clone, Copy)]
pub(super) struct Preserving {
    page: u64,
    stage: Stage,
}

/// What is done before that.
#[derive(Clone, Copy)]
enum Stage {
    /// The object's shadows get copies, this one next.
    Copies(ObjectId),
    /// Whoever reads it behind a shadow loses that mapping, this place among the entries next.
    Mappings(u32),
}

impl Preserving {
    /// A shadow leaves, before which `next` is.
    pub(super) fn without(self, shadow: ObjectId, next: Option<ObjectId>) -> Self {
        match self.stage {
            Stage::Copies(now) if now == shadow => Self {
                stage: next.map_or(Stage::Mappings(0), Stage::Copies),
                ..self
            },
            _ => self,
        }
    }

    /// A shadow comes, as the last one.
    pub(super) fn with(self, shadow: ObjectId) -> Self {
        match self.stage {
            Stage::Copies(_) => self,
            Stage::Mappings(_) => Self {
                stage: Stage::Copies(shadow),
                ..self
            },
        }
    }
}

/// How a copy of an object's memory is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Strategy {
    /// All pages are copied now; those that a pager has not supplied are waited for.
    AtOnce,
    /// A shadow in front of the pager's object.
    Behind,
}

impl Vm {
    /// How copies of an object are made that does not copy lazily.
    pub(super) fn strategy(&self, object: ObjectId) -> Strategy {
        let Kind::Paged(pager) = self.object(object).kind else {
            return Strategy::AtOnce;
        };
        let pager = node(&self.pagers, pager);
        // What a pager that is not ready wants is not known; nothing can have been written.
        let decided = pager.state != PagerState::Told;
        if decided && pager.attributes.copy_strategy == copy_strategy::NONE {
            Strategy::AtOnce
        } else {
            Strategy::Behind
        }
    }

    /// Copies the dirty pages of a range of a pager's object to a shadow that has none there, looking at up to
    /// [`COPY_STEP`] pages; returns how many pages of the range are done.
    pub(super) fn copy_written<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (from, range): (ObjectId, Range<u64>),
        (to, place): (ObjectId, u64),
    ) -> KernResult<u64> {
        let mut at = range.start;
        for _ in 0..COPY_STEP {
            let Some(index) = self.resident_from(from, at).filter(|at| *at < range.end) else {
                return Ok(range.end - range.start);
            };
            at = index + 1;
            let here = self.object(from);
            let target = place + (index - range.start);
            if here
                .pages
                .marks(&self.residents, index)
                // What is being returned may still be mapped writable.
                .intersects(Marks::DIRTY | Marks::RETURN)
                && self.resident_from(to, target) != Some(target)
                && let Some(Content::Page(page)) = here.pages.get(&self.residents, index)
            {
                let copy = self.add_page(context, to, target)?;
                context
                    .machine
                    .copy((page, 0), (copy, 0), PAGE_SIZE as usize);
            }
        }
        Ok(at - range.start)
    }

    /// Before a page of a pager's object is written that is not dirty: gives copies of it to up to [`COPY_STEP`] shadows, then takes
    /// its mappings behind shadows away. `Done`: all have one, or need none, and nobody but those who show the object itself
    /// has it mapped.
    pub(super) fn preserve<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        pager: PagerId,
        page: u64,
    ) -> Progress {
        let object = node(&self.pagers, pager).object;
        let begun = node(&self.pagers, pager).preserving;
        let first = self.object(object).shadows.first;
        let new = || {
            let stage = Stage::Copies(first?);
            Some(Preserving { page, stage })
        };
        // Who finds another page on its way helps with that one first.
        let Some(now) = begun.or_else(new) else {
            return Progress::Done(());
        };
        let found = self.object(object).pages.get(&self.residents, now.page);
        let found = found.and_then(Content::page);
        // When it is gone, so is the reason.
        let rest = found.and_then(|found| {
            let stage = self.preserve_step(context, object, (now, found))?;
            Some(Preserving { stage, ..now })
        });
        node_mut(&mut self.pagers, pager).preserving = rest;
        if rest.is_none() && now.page == page {
            return Progress::Done(());
        }
        if rest.is_none() && found.is_some() {
            // It was preserved for somebody who is about to write it.
            self.mark_page(object, now.page, Marks::DIRTY);
        }
        Progress::More
    }

    /// The next step for a page that is there; `None`: there is none.
    fn preserve_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        (now, found): (Preserving, Page),
    ) -> Option<Stage> {
        let from = match now.stage {
            Stage::Mappings(from) => from,
            Stage::Copies(shadow) => {
                let mut next = Some(shadow);
                for _ in 0..COPY_STEP {
                    let Some(shadow) = next else { break };
                    self.keep_page(context, shadow, (now.page, found));
                    next = self.object(shadow).siblings.next;
                }
                if let Some(shadow) = next {
                    return Some(Stage::Copies(shadow));
                }
                0
            }
        };
        let rest = self.withdraw_behind(context, (object, now.page), from);
        rest.map(Stage::Mappings)
    }

    /// Gives a shadow a copy of a page that is behind it, if that shows through; or the shadow is lost.
    fn keep_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        shadow: ObjectId,
        (index, page): (u64, Page),
    ) {
        let here = self.object(shadow);
        let window = here.backing.map_or(0, |backing| backing.index);
        let place = index.checked_sub(window).filter(|place| {
            let pages = &here.pages;
            let wants = here.references > 0 && !here.lost && *place < here.size;
            wants && pages.get(&self.residents, *place).is_none()
        });
        let Some(place) = place else { return };
        let Some(ledger) = here.ledger else { return };
        match context.for_heirs(ledger, |context| self.add_page(context, shadow, place)) {
            Ok(copy) => context
                .machine
                .copy((page, 0), (copy, 0), PAGE_SIZE as usize),
            Err(_) => self.object_mut(shadow).lost = true,
        }
    }

    /// Whether what lies behind an object cannot be had any more.
    pub(super) fn is_lost(&self, object: ObjectId) -> bool {
        let mut object = object;
        loop {
            let here = self.object(object);
            match here.backing {
                _ if here.lost => return true,
                Some(backing) => object = backing.object,
                None => return false,
            }
        }
    }
}
