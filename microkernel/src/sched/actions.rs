//! Where exceptions go, and what is told there: data of threads, tasks and the host.
//!
//! Invariant: an action holds one send right to its port. It is plain data here; `task` makes the right
//! and releases it.

use abi::exception::{MASK_ALL, NARROW_RAISE, RAISE, TYPES, WIDE_RAISE, behavior};
use abi::thread_state::FLAVOR;

use super::policy::Constraint;
use crate::base::ids::{ActionsId, PortId};

/// What a handler is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    /// Of [`abi::exception::behavior`], one of the four.
    behavior: u8,
    /// Whether codes have 64 bits.
    wide: bool,
    /// [`FLAVOR`], or 0.
    flavor: u8,
}

impl Form {
    /// One short message.
    pub const BRIEF: Self = Self {
        behavior: behavior::BRIEF as u8,
        wide: false,
        flavor: 0,
    };

    /// What a caller means by a behavior and a flavor; `None`: nothing.
    pub fn new(behavior: u32, flavor: u32) -> Option<Self> {
        let form = Self {
            behavior: u8::try_from(behavior & !behavior::WIDE_CODES).ok()?,
            wide: behavior & behavior::WIDE_CODES != 0,
            flavor: u8::try_from(flavor).ok()?,
        };
        let valid = match u32::from(form.behavior) {
            behavior::BRIEF => !form.wide && flavor == 0,
            behavior::DEFAULT => flavor == 0 || flavor == FLAVOR,
            behavior::STATE | behavior::STATE_IDENTITY => flavor == FLAVOR,
            _ => false,
        };
        valid.then_some(form)
    }

    /// The behavior, as callers say it.
    pub fn behavior(self) -> u32 {
        let wide = if self.wide { behavior::WIDE_CODES } else { 0 };
        u32::from(self.behavior) | wide
    }

    /// The flavor, as callers say it.
    pub fn flavor(self) -> u32 {
        self.flavor.into()
    }

    /// Whether the message is [`behavior::BRIEF`]'s.
    pub fn is_brief(self) -> bool {
        self == Self::BRIEF
    }

    /// Whether rights to thread and task are in it.
    pub fn has_rights(self) -> bool {
        matches!(
            self.behavior.into(),
            behavior::DEFAULT | behavior::STATE_IDENTITY
        )
    }

    /// Whether registers are in it and in the answer.
    pub fn has_state(self) -> bool {
        matches!(
            self.behavior.into(),
            behavior::STATE | behavior::STATE_IDENTITY
        )
    }

    /// A code, as the message has it.
    pub fn code(self, code: u64) -> u64 {
        if self.wide { code } else { code & 0xffff_ffff }
    }

    /// The message's id.
    pub fn id(self) -> i32 {
        let first = if self.wide { WIDE_RAISE } else { NARROW_RAISE };
        match self.behavior {
            0 => RAISE,
            behavior => first + i32::from(behavior) - 1,
        }
    }
}

/// Where exceptions of one type go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// The handler's port.
    pub port: PortId,
    /// What it is told.
    pub form: Form,
}

/// Where exceptions go, by type.
#[derive(Clone, Copy, Debug)]
pub struct Actions([Option<Action>; TYPES as usize]);

impl Actions {
    /// All go to the next level.
    pub const NONE: Self = Self([None; TYPES as usize]);

    /// Where a type goes.
    pub fn of(&self, kind: u32) -> Option<Action> {
        self.0.get(kind as usize).copied().flatten()
    }

    /// Says where a type goes; answers where it went.
    pub fn replace(&mut self, kind: u32, action: Option<Action>) -> Option<Action> {
        let place = self.0.get_mut(kind as usize)?;
        core::mem::replace(place, action)
    }

    /// The port of each type that has one.
    pub fn ports(&self) -> impl Iterator<Item = PortId> + '_ {
        self.0.iter().flatten().map(|action| action.port)
    }

    /// The actions of the types in a mask, each with the mask of those types among them that share it.
    pub fn groups(&self, mask: u32) -> impl Iterator<Item = (u32, Action)> + '_ {
        let mut left = mask & MASK_ALL;
        core::iter::from_fn(move || {
            let first = kinds(left).find(|kind| self.of(*kind).is_some())?;
            let action = self.of(first)?;
            let group = kinds(left)
                .filter(|kind| self.of(*kind) == Some(action))
                .fold(0, |group, kind| group | 1 << kind);
            left &= !group;
            Some((group, action))
        })
    }
}

/// The types in a mask.
pub fn kinds(mask: u32) -> impl Iterator<Item = u32> {
    (1..TYPES).filter(move |kind| mask & 1 << kind != 0)
}

/// What only few threads have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra {
    /// The port that stands for the thread, made when first asked for.
    pub port: Option<PortId>,
    /// Where its exceptions go.
    pub actions: Option<ActionsId>,
    /// Its time constraint, which holds while its policy says so.
    pub constraint: Option<Constraint>,
}
