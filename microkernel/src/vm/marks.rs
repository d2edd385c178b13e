//! What the slot of a page holds: where it is, its [`Marks`], and how many wired regions *hold* it.
//!
//! From the lowest bit on: the page's number (32 bits), whether the slot is used, the marks (16 bits), the holds (14 bits), and whether
//! the page is in the store.

use abi::vm::protection;

use crate::machine::Page;

/// Set in a slot that is used. Below are the page's number, or the node's index: the level says which.
pub(super) const USED: u64 = 1 << 32;
/// Set in a slot whose page is in the store: below is its number there.
const STORED: u64 = 1 << 63;
/// Where a page's [`Marks`] lie in its slot.
const MARKS: u32 = 33;

/// Where the count of its holds lies.
const HOLDS: u32 = 49;
/// The most regions that hold a page.
const MAX_HOLDS: u64 = (1 << 14) - 1;

bitflags::bitflags! {
    /// What is known of a page beside its content. Most are of pages that a pager supplied.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(super) struct Marks: u16 {
        /// It may not be read until the pager unlocks it.
        const NO_READ = 1;
        /// It may not be written until then.
        const NO_WRITE = 2;
        /// It may not be executed until then.
        const NO_EXECUTE = 4;
        /// It was written since its pager last had it.
        const DIRTY = 8;
        /// Its pager wants it back even if it is clean.
        const PRECIOUS = 16;
        /// It is being taken out of all mappings: nobody may map it.
        const BUSY = 32;
        /// It is to be sent to its pager. Unless the page goes too, it is clean then.
        const RETURN = 64;
        /// It was dirty when it got that mark.
        const WAS_DIRTY = 128;
        /// Nobody maps it, and nobody used it since that was so. Pages without a pager may have this one, too.
        const IDLE = 256;
        /// It is being unmapped everywhere (`leaving.rs`), and nobody used it since that began. Of anonymous pages alone.
        const LEAVING = 512;
    }
}

impl Marks {
    /// What is not so any more when somebody uses the page.
    pub(super) const UNUSED: Self = Self::IDLE.union(Self::LEAVING);

    /// The accesses that a lock forbids.
    pub(super) const LOCK: Self = Self::NO_READ.union(Self::NO_WRITE).union(Self::NO_EXECUTE);

    /// A lock value, as protections are written.
    pub(super) fn locked(protection: u32) -> Self {
        Self::from_bits_truncate(protection as u16).intersection(Self::LOCK)
    }

    /// The accesses that are forbidden, as protections are written.
    pub(super) fn lock(self) -> u32 {
        if self.contains(Self::BUSY) {
            return protection::ALL;
        }
        self.intersection(Self::LOCK).bits().into()
    }

    /// As if it had never been to be returned, or to go.
    pub(super) fn restored(self) -> Self {
        let back = match self.intersection(Self::RETURN.union(Self::WAS_DIRTY)) {
            marks if !marks.contains(Self::RETURN) => Self::empty(),
            marks if marks.contains(Self::WAS_DIRTY) => Self::DIRTY,
            _ => Self::PRECIOUS,
        };
        (self | back) - (Self::RETURN | Self::WAS_DIRTY | Self::BUSY)
    }

    /// Whether its content is nowhere else.
    pub(super) fn must_return(self) -> bool {
        self.intersects(Self::DIRTY | Self::PRECIOUS | Self::RETURN)
    }
}

/// What an object has at an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// A page of memory.
    Page(Page),
    /// One that was put away, under this number.
    Stored(u32),
}

impl Content {
    /// The page, if it is in memory.
    pub(super) fn page(self) -> Option<Page> {
        match self {
            Self::Page(page) => Some(page),
            Self::Stored(_) => None,
        }
    }

    /// Whether it was put away.
    pub(super) fn is_stored(self) -> bool {
        matches!(self, Self::Stored(_))
    }

    pub(super) fn of(slot: u64) -> Option<Self> {
        match slot {
            0 => None,
            slot if slot & STORED != 0 => Some(Self::Stored(slot as u32)),
            slot => Some(Self::Page(Page(slot as u32))),
        }
    }

    pub(super) fn slot(self) -> u64 {
        match self {
            Self::Page(page) => USED | u64::from(page.0),
            Self::Stored(number) => USED | STORED | u64::from(number),
        }
    }
}

/// The marks in a slot.
pub(super) fn marks_of(slot: u64) -> Marks {
    Marks::from_bits_truncate((slot >> MARKS) as u16)
}

/// A slot with other marks.
pub(super) fn marked(slot: u64, marks: Marks) -> u64 {
    let kept = slot & !(u64::from(u16::MAX) << MARKS);
    kept | u64::from(marks.bits()) << MARKS
}

/// How many regions hold the page in a slot.
pub(super) fn holds_of(slot: u64) -> u64 {
    slot >> HOLDS & MAX_HOLDS
}

/// A slot whose page one more region holds, unless as many do as may.
pub(super) fn held(slot: u64) -> Option<u64> {
    (holds_of(slot) < MAX_HOLDS).then_some(slot + (1 << HOLDS))
}

/// A slot whose page one region less holds.
pub(super) fn released(slot: u64) -> u64 {
    debug_assert!(holds_of(slot) > 0, "nobody holds a page");
    slot - (1 << HOLDS)
}
