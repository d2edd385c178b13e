//! [`Entry`]: a range of a map with one object, one protection, one inheritance.

use abi::PAGE_SIZE;
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS};
use arena::Arena;

use super::mappers::Mapper;
use super::traits::Traits;
use super::tree::{Links, Node, Tree, node};
use super::{EntryId, MapId, ObjectId};

/// A range of a map.
pub struct Entry {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Attributes,
    /// `None`: anonymous memory that nobody touched.
    pub(super) object: Option<ObjectId>,
    /// The object's page at `start`. 0 without an object.
    pub(super) index: u64,
    /// The object is somebody else's too: a shadow comes in front of it before the first write.
    pub(super) needs_copy: bool,
    /// What its object makes of it: [`Traits::DEVICE`], [`Traits::COMMON`].
    pub(super) shows: Traits,
    /// What follows from all of these: see [`note_traits`](Self::note_traits).
    pub(super) traits: Traits,
    /// Message buffers that lie here. They are exactly as large as the entry.
    pub(super) wired: u32,
    /// How often [`Vm::wire_step`](super::Vm::wire_step) wired it: its pages are there, and copies of it are made at once.
    pub(super) wires: u32,
    /// The entries beside this one.
    pub(super) previous: Option<EntryId>,
    pub(super) next: Option<EntryId>,
    /// Bytes between the previous one, or [`MIN_ADDRESS`], and this one.
    pub(super) hole: u64,
    pub(super) links: Links<Self>,
    /// Of the subtree.
    pub(super) span: Span,
    /// The map that it is in.
    pub(super) map: Option<MapId>,
    /// Place among the entries that show a pager's object, if it does.
    pub(super) mapper: Option<Mapper>,
}

/// What two entries must have in common to become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Attributes {
    pub(super) protection: u32,
    pub(super) maximum: u32,
    pub(super) inheritance: u32,
    /// How it is used, of [`abi::vm::behavior`].
    pub(super) behavior: u32,
}

/// Summary of a subtree of entries. It is made anew for each node above one that changes: what is asked of all is in few words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// The largest hole before one of them.
    pub(super) gap: u64,
    /// The traits that all have.
    pub(super) all: Traits,
    /// The traits that any has.
    pub(super) any: Traits,
    /// Bytes that count for the map's limit of size.
    pub(super) usable: u64,
}

impl Entry {
    pub(super) fn new(start: u64, end: u64, attributes: Attributes) -> Self {
        Self {
            start,
            end,
            attributes,
            object: None,
            index: 0,
            needs_copy: false,
            wired: 0,
            wires: 0,
            previous: None,
            next: None,
            hole: 0,
            links: Links::new(),
            shows: Traits::NONE,
            traits: Traits::NONE,
            span: Self::NOTHING,
            map: None,
            mapper: None,
        }
    }

    /// The part of the entry from `at` on.
    pub(super) fn tail(&self, at: u64) -> Self {
        let mut tail = Self::new(at, self.end, self.attributes);
        tail.object = self.object;
        tail.index = self.object.map_or(0, |_| self.page_at(at));
        tail.needs_copy = self.needs_copy;
        tail.wired = self.wired;
        tail.wires = self.wires;
        tail
    }

    /// In pages.
    pub(super) fn size(&self) -> u64 {
        (self.end - self.start) / PAGE_SIZE
    }

    /// The object's page at an address inside.
    pub(super) fn page_at(&self, address: u64) -> u64 {
        self.index + (address - self.start) / PAGE_SIZE
    }

    /// The address inside at which an object's page lies.
    pub(super) fn address_of(&self, page: u64) -> u64 {
        self.start + (page - self.index) * PAGE_SIZE
    }

    /// Whether its pages must stay where they are, or at least there: nothing of it is copied late.
    pub(super) fn is_wired(&self) -> bool {
        self.wired > 0 || self.wires > 0
    }

    /// Whether `next`, which begins where this one ends, only continues it.
    pub(super) fn continues_in(&self, next: &Self) -> bool {
        self.end == next.start
            && self.attributes == next.attributes
            && self.object == next.object
            && self.needs_copy == next.needs_copy
            && self.wired == 0
            && next.wired == 0
            && self.wires == next.wires
            && (self.object.is_none() || self.page_at(self.end) == next.index)
    }
}

impl Node for Entry {
    type Summary = Span;

    const NOTHING: Span = Span {
        gap: 0,
        usable: 0,
        all: Traits::ALL,
        any: Traits::NONE,
    };

    fn key(&self) -> u64 {
        self.start
    }

    fn links(&self) -> &Links<Self> {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.links
    }

    fn summary(&self) -> Span {
        self.span
    }

    fn set_summary(&mut self, span: Span) {
        self.span = span;
    }

    #[inline(always)]
    fn summarize(&self, left: Span, right: Span) -> Span {
        Span {
            gap: self.hole.max(left.gap).max(right.gap),
            usable: self.usable() + left.usable + right.usable,
            all: self.traits.common(left.all).common(right.all),
            any: self.traits.and(left.any).and(right.any),
        }
    }
}

/// The lowest address at or above `hint` at which `size` bytes are free. Logarithmic: subtrees without a hole of
/// that size are skipped.
pub(super) fn find_gap(
    tree: &Tree<Entry>,
    entries: &Arena<Entry>,
    hint: u64,
    size: u64,
) -> Option<u64> {
    let from = hint.max(MIN_ADDRESS);
    let fits = |start: u64, limit: u64| limit.saturating_sub(start) >= size;
    let before = tree.floor(entries, from).map(|id| node(entries, id));
    let start = before.map_or(from, |before| before.end.max(from));
    let after = match before {
        Some(before) => before.next,
        None => tree.ceiling(entries, from),
    };
    let Some(after) = after.map(|id| node(entries, id)) else {
        return fits(start, MAX_ADDRESS).then_some(start);
    };
    if fits(start, after.start) {
        return Some(start);
    }
    // What is before any later entry lies above the hint as a whole.
    let large = tree.search(
        entries,
        after.end,
        |span| span.gap >= size,
        |entry| entry.hole >= size,
    );
    if let Some(id) = large {
        let entry = node(entries, id);
        return Some(entry.start - entry.hole);
    }
    let last = tree.floor(entries, MAX_ADDRESS)?;
    let end = node(entries, last).end;
    fits(end, MAX_ADDRESS).then_some(end)
}

/// The entry that holds an address.
pub(super) fn entry_at(
    tree: &Tree<Entry>,
    entries: &Arena<Entry>,
    address: u64,
) -> Option<EntryId> {
    let id = tree.floor(entries, address)?;
    (address < node(entries, id).end).then_some(id)
}

/// The first entry that ends above an address.
pub(super) fn entry_from(
    tree: &Tree<Entry>,
    entries: &Arena<Entry>,
    address: u64,
) -> Option<EntryId> {
    match tree.floor(entries, address) {
        Some(id) if address < node(entries, id).end => Some(id),
        Some(id) => node(entries, id).next,
        None => tree.ceiling(entries, address),
    }
}
