//! [`Entry`]: a range of a map with one object, one protection, one inheritance.

use abi::PAGE_SIZE;
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS};
use arena::Arena;

use super::tree::{Links, Node, Path, Tree, node, push};
use super::{EntryId, ObjectId};

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
    /// Message buffers that lie here. They are exactly as large as the entry.
    pub(super) wired: u32,
    pub(super) links: Links<Self>,
    /// Of the subtree.
    pub(super) span: Span,
}

/// What two entries must have in common to become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Attributes {
    pub(super) protection: u32,
    pub(super) maximum: u32,
    pub(super) inheritance: u32,
}

/// Summary of a subtree of entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// Start of the first entry.
    pub(super) low: u64,
    /// End of the last entry.
    pub(super) high: u64,
    /// The largest hole between two of them.
    pub(super) gap: u64,
    /// Whether one is wired.
    pub(super) wired: bool,
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
            links: Links::new(),
            span: Span {
                low: start,
                high: end,
                gap: 0,
                wired: false,
            },
        }
    }

    /// The part of the entry from `at` on.
    pub(super) fn tail(&self, at: u64) -> Self {
        let mut tail = Self::new(at, self.end, self.attributes);
        tail.object = self.object;
        tail.index = self.object.map_or(0, |_| self.page_at(at));
        tail.needs_copy = self.needs_copy;
        tail.wired = self.wired;
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

    /// Whether `next`, which begins where this one ends, only continues it.
    pub(super) fn continues_in(&self, next: &Self) -> bool {
        self.end == next.start
            && self.attributes == next.attributes
            && self.object == next.object
            && self.needs_copy == next.needs_copy
            && self.wired == 0
            && next.wired == 0
            && (self.object.is_none() || self.page_at(self.end) == next.index)
    }
}

impl Node for Entry {
    type Summary = Span;

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

    fn summarize(&mut self, left: Option<Span>, right: Option<Span>) {
        let mut span = Span {
            low: self.start,
            high: self.end,
            gap: 0,
            wired: self.wired > 0,
        };
        if let Some(left) = left {
            span.low = left.low;
            span.gap = left.gap.max(self.start - left.high);
            span.wired |= left.wired;
        }
        if let Some(right) = right {
            span.high = right.high;
            span.gap = span.gap.max(right.gap).max(right.low - self.end);
            span.wired |= right.wired;
        }
        self.span = span;
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
    let before = tree.floor(entries, from).map(|id| node(entries, id).end);
    let mut candidate = before.unwrap_or(0).max(from);
    let fits = |candidate: u64, limit: u64| limit.saturating_sub(candidate) >= size;
    let mut path = Path::<Entry>::new();
    let mut at = tree.root();
    loop {
        while let Some(id) = at {
            let here: &Entry = node(entries, id);
            if here.start <= from {
                at = here.links.right;
                continue;
            }
            if here.span.low > from {
                if fits(candidate, here.span.low) {
                    return Some(candidate);
                }
                if here.span.gap < size {
                    candidate = here.span.high;
                    break;
                }
            }
            push(&mut path, id);
            at = here.links.left;
        }
        let Some(id) = path.pop() else {
            return fits(candidate, MAX_ADDRESS).then_some(candidate);
        };
        let here = node(entries, id);
        if fits(candidate, here.start) {
            return Some(candidate);
        }
        candidate = here.end;
        at = here.links.right;
    }
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
    entry_at(tree, entries, address).or_else(|| tree.ceiling(entries, address))
}
