//! Shadows: objects in front of another one, their *backing*, which shows through where they have no page.
//!
//! Invariant: an object knows its shadows, in the order in which they came ([`Shadows`]).

use super::object::Kind;
use super::tree::node_mut;
use super::{Context, ObjectId, Vm};
use crate::base::KernResult;
use crate::base::ledger::LedgerId;
use crate::machine::Machine;

/// The object that shows through where a shadow has no page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Backing {
    pub(super) object: ObjectId,
    /// The page of it that lies behind the shadow's first one.
    pub(super) index: u64,
}

impl Backing {
    /// What lies behind a part that begins so many pages later.
    pub(super) fn from(self, pages: u64) -> Self {
        Self {
            index: self.index + pages,
            ..self
        }
    }
}

/// The shadows of an object, in the order in which they came.
#[derive(Clone, Copy, Default)]
pub(super) struct Shadows {
    pub(super) count: u32,
    pub(super) first: Option<ObjectId>,
    pub(super) last: Option<ObjectId>,
}

/// The shadows of the same object beside one.
#[derive(Clone, Copy, Default)]
pub(super) struct Siblings {
    pub(super) previous: Option<ObjectId>,
    pub(super) next: Option<ObjectId>,
}

impl Vm {
    /// A shadow in front of `backing`, with one reference; takes over the caller's reference to `backing`.
    pub(super) fn create_shadow<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        backing: Backing,
        size: u64,
        ledger: LedgerId,
    ) -> KernResult<ObjectId> {
        let shadow = self.create_object(context, Kind::Anonymous, size, Some(ledger))?;
        self.join_shadows(shadow, backing);
        Ok(shadow)
    }

    /// A new shadow in front of a part of an object, with a reference of its own to it.
    pub(super) fn shadow_of<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, index): (ObjectId, u64),
        size: u64,
        ledger: LedgerId,
    ) -> KernResult<ObjectId> {
        let backing = Backing { object, index };
        let shadow = self.create_shadow(context, backing, size, ledger)?;
        self.reference(object);
        Ok(shadow)
    }

    /// As how many pages of an object with nothing behind it one of this object counts that is looked for in steps.
    pub(super) fn weight(&self, object: ObjectId) -> u64 {
        1 + u64::from(self.chain(object)) / 4
    }

    /// How many objects lie behind this one.
    pub(super) fn chain(&self, object: ObjectId) -> u32 {
        let (mut object, mut depth) = (object, 0);
        while let Some(backing) = self.object(object).backing {
            object = backing.object;
            depth += 1;
        }
        depth
    }

    /// Puts an object that has no backing in front of one, as its last shadow.
    pub(super) fn join_shadows(&mut self, shadow: ObjectId, backing: Backing) {
        let behind = self.object_mut(backing.object);
        let previous = behind.shadows.last.replace(shadow);
        behind.shadows.first.get_or_insert(shadow);
        behind.shadows.count += 1;
        if let Kind::Paged(pager) = behind.kind {
            let pager = node_mut(&mut self.pagers, pager);
            pager.preserving = pager.preserving.map(|now| now.with(shadow));
        }
        if let Some(previous) = previous {
            self.object_mut(previous).siblings.next = Some(shadow);
        }
        let here = self.object_mut(shadow);
        debug_assert!(here.backing.is_none(), "two backings");
        here.backing = Some(backing);
        here.siblings = Siblings {
            previous,
            next: None,
        };
    }

    /// Takes an object away from its backing, whose reference becomes the caller's.
    pub(super) fn leave_shadows(&mut self, shadow: ObjectId) -> Option<Backing> {
        let here = self.object_mut(shadow);
        let backing = here.backing.take()?;
        let Siblings { previous, next } = core::mem::take(&mut here.siblings);
        if let Some(previous) = previous {
            self.object_mut(previous).siblings.next = next;
        }
        if let Some(next) = next {
            self.object_mut(next).siblings.previous = previous;
        }
        let behind = self.object_mut(backing.object);
        behind.shadows.count -= 1;
        if previous.is_none() {
            behind.shadows.first = next;
        }
        if next.is_none() {
            behind.shadows.last = previous;
        }
        if let Kind::Paged(pager) = behind.kind {
            let pager = node_mut(&mut self.pagers, pager);
            pager.preserving = pager.preserving.map(|now| now.without(shadow, next));
        }
        Some(backing)
    }
}
