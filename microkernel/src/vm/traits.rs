//! [`Traits`]: what can be asked of all entries of a range at once.
//!
//! A range may have thousands of entries, and what is checked before anything changes must be checked of all of them in
//! one step. So each node of a map's tree knows which traits all entries of its subtree have and which any has, and every
//! question here is answered by a few searches from the root.

use core::ops::Range;

use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::entry::{Attributes, Entry};
use super::tree::node;
use super::{EntryId, MapId, Vm};
use crate::base::KernResult;

/// Bits that say of an entry what its protection, maximum, inheritance and behavior are, and what else is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Traits(u16);

const MAXIMUM: u32 = 3;
const INHERITANCE: u32 = 6;
const BEHAVIOR: u32 = 8;

impl Traits {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u16::MAX);
    /// Both writable and executable.
    pub(super) const BOTH: Self = Self(1 << 11);
    /// It shows a device's registers.
    pub(super) const DEVICE: Self = Self(1 << 12);
    /// It shows memory that others see too, without a copy.
    pub(super) const COMMON: Self = Self(1 << 13);
    /// Nobody wired it.
    pub(super) const UNWIRED: Self = Self(1 << 14);
    /// A message buffer lies in it.
    pub(super) const BUFFER: Self = Self(1 << 15);

    /// These accesses are allowed.
    pub(super) fn allows(rights: u32) -> Self {
        Self((rights & protection::ALL) as u16)
    }

    /// These accesses may be allowed.
    pub(super) fn may_allow(rights: u32) -> Self {
        Self(Self::allows(rights).0 << MAXIMUM)
    }

    fn of(attributes: Attributes) -> Self {
        const BOTH: u32 = protection::WRITE | protection::EXECUTE;
        let Attributes {
            protection,
            maximum,
            inheritance,
            behavior,
        } = attributes;
        let both = match protection & BOTH {
            BOTH => Self::BOTH,
            _ => Self::NONE,
        };
        Self::allows(protection)
            .and(Self::may_allow(maximum))
            .and(Self(
                (inheritance << INHERITANCE | behavior << BEHAVIOR) as u16,
            ))
            .and(both)
    }

    /// Those of either.
    pub(super) const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Those of both.
    pub(super) const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn contains(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }
}

impl Entry {
    /// What is to be known of it in its tree, from what it says of itself.
    pub(super) fn made_of(&self) -> Traits {
        let unwired = match self.wires {
            0 => Traits::UNWIRED,
            _ => Traits::NONE,
        };
        let buffer = match self.wired {
            0 => Traits::NONE,
            _ => Traits::BUFFER,
        };
        Traits::of(self.attributes)
            .and(self.shows)
            .and(unwired)
            .and(buffer)
    }

    /// Brings that up to date, before the tree is.
    pub(super) fn note_traits(&mut self) {
        self.traits = self.made_of();
    }

    /// Bytes that count for a map's limit of size.
    pub(super) fn usable(&self) -> u64 {
        match self.attributes.maximum {
            protection::NONE => 0,
            _ => self.end - self.start,
        }
    }
}

/// What becomes of the attributes of a range.
#[derive(Clone, Copy)]
pub(super) struct Change {
    /// Those that no entry is to have.
    clear: Traits,
    /// Those that each is to have.
    set: Traits,
    change: fn(Attributes, u32) -> Attributes,
    to: u32,
}

impl Change {
    /// The protection.
    pub(super) fn protection(rights: u32) -> Self {
        Self {
            clear: Traits::allows(!rights),
            set: Traits::allows(rights),
            change: |old, protection| Attributes { protection, ..old },
            to: rights,
        }
    }

    /// The protection, and that it may be written.
    pub(super) fn writable(rights: u32) -> Self {
        Self {
            clear: Traits::allows(!rights),
            set: Traits::allows(rights).and(Traits::may_allow(protection::WRITE)),
            change: |old, protection| Attributes {
                protection,
                maximum: old.maximum | protection::WRITE,
                ..old
            },
            to: rights,
        }
    }

    /// The maximum, which lowers the protection.
    pub(super) fn maximum(rights: u32) -> Self {
        Self {
            clear: Traits::allows(!rights).and(Traits::may_allow(!rights)),
            set: Traits::may_allow(rights),
            change: |old, maximum| Attributes {
                maximum,
                protection: old.protection & maximum,
                ..old
            },
            to: rights,
        }
    }

    /// What a child gets.
    pub(super) fn inheritance(how: u32) -> Self {
        Self {
            clear: Traits((!how as u16 & 3) << INHERITANCE),
            set: Traits((how as u16) << INHERITANCE),
            change: |old, inheritance| Attributes { inheritance, ..old },
            to: how,
        }
    }

    /// How it will be used.
    pub(super) fn behavior(how: u32) -> Self {
        Self {
            clear: Traits((!how as u16 & 7) << BEHAVIOR),
            set: Traits((how as u16) << BEHAVIOR),
            change: |old, behavior| Attributes { behavior, ..old },
            to: how,
        }
    }

    /// Whether one of several entries is not yet as it is to be.
    pub(super) fn is_due(&self, all: Traits, any: Traits) -> bool {
        !all.contains(self.set) || any.common(self.clear) != Traits::NONE
    }

    pub(super) fn apply(&self, old: Attributes) -> Attributes {
        (self.change)(old, self.to)
    }
}

impl Vm {
    /// Whether regions cover a range without holes, each with all of some traits.
    ///
    /// # Errors
    /// `InvalidAddress`: a hole; it comes before `ProtectionFailure`: a trait is missing.
    pub(super) fn check_covered(
        &self,
        map: MapId,
        range: &Range<u64>,
        needed: Traits,
    ) -> KernResult<()> {
        let first = self.entry(self.find_entry(map, range.start)?);
        if first.end < range.end {
            let here = self.map_ref(map)?;
            let last = self.entry(self.find_entry(map, range.end - 1)?);
            let hole = here.entries.search(
                &self.entries,
                first.end,
                |span| span.gap > 0,
                |entry| entry.hole > 0,
            );
            if hole.is_some_and(|behind| self.entry(behind).start <= last.start) {
                return Err(KernReturn::InvalidAddress);
            }
        }
        match self.first_where(map, range, |all, _| !all.contains(needed)) {
            Some(_) => Err(KernReturn::ProtectionFailure),
            None => Ok(()),
        }
    }

    /// The first entry in a range that a question holds for. The question is asked of several entries, too: of the traits that all
    /// have and of those that any has; it must hold exactly when it holds for one of them.
    pub(super) fn first_where(
        &self,
        map: MapId,
        range: &Range<u64>,
        question: impl Fn(Traits, Traits) -> bool,
    ) -> Option<EntryId> {
        let asked = |entry: &Entry| question(entry.traits, entry.traits);
        let first = self.first_in(map, range)?;
        let entry = self.entry(first);
        if asked(entry) {
            return Some(first);
        }
        let found = node(&self.maps, map).entries.search(
            &self.entries,
            entry.end,
            |span| question(span.all, span.any),
            asked,
        )?;
        (self.entry(found).start < range.end).then_some(found)
    }

    /// Whether an entry in a range has a trait.
    pub(super) fn any_has(&self, map: MapId, range: &Range<u64>, one: Traits) -> bool {
        self.first_where(map, range, |_, any| any.contains(one))
            .is_some()
    }

    /// Whether all entries in a range have a trait.
    pub(super) fn all_have(&self, map: MapId, range: &Range<u64>, one: Traits) -> bool {
        self.first_where(map, range, |all, _| !all.contains(one))
            .is_none()
    }

    /// Bytes below an address that count for a map's limit of size.
    pub(super) fn usable_below(&self, map: MapId, address: u64) -> KernResult<u64> {
        let here = self.map_ref(map)?;
        let below = here.entries.sum_below(
            &self.entries,
            address,
            |span| span.usable,
            |entry| entry.usable(),
        );
        let over = match self.find_entry(map, address) {
            Ok(id) if self.entry(id).usable() > 0 => {
                let entry = self.entry(id);
                match entry.start < address {
                    true => entry.end - address,
                    false => 0,
                }
            }
            _ => 0,
        };
        Ok(below - over)
    }

    /// Brings up to date what is known of an entry's object, and with it the map's tree.
    pub(super) fn note_object(&mut self, map: MapId, id: EntryId) {
        let shows = self.shows(self.entry(id));
        self.entry_mut(id).shows = shows;
        self.refresh_entry(map, id);
    }

    /// What an entry's object makes of it.
    pub(super) fn shows(&self, entry: &Entry) -> Traits {
        let Some(object) = entry.object.map(|object| self.object(object)) else {
            return Traits::NONE;
        };
        let device = match object.is_device() {
            true => Traits::DEVICE,
            false => Traits::NONE,
        };
        if entry.needs_copy || object.is_private() {
            return device;
        }
        device.and(Traits::COMMON)
    }
}
