//! [`Residents`]: the pages that an object has, by their index in it.
//!
//! A radix tree of nodes with 64 slots. What an access costs depends on the highest index alone, and an object
//! with page 0 and no other has no node at all: the root is the page. A node counts the pages below it, so
//! that counting skips subtrees.
//!
//! Invariant: a bit of [`Node::occupied`] is set exactly when its slot is not 0. A node goes with its last slot; one
//! without any exists only where [`Residents::reserve`] made it, until a page comes or [`Residents::prune`].
//!
//! A page that was put away keeps its place: a number says under which the store has it.
//!
//! Deliberately absent: charging. Who inserts asks how many nodes are [`missing`](Residents::missing) first.

use core::ops::RangeInclusive;

use arena::{Arena, Full, Id};

use super::marks::{Content, Marks, USED, held, holds_of, marked, marks_of, released};
use super::tree::{node, node_mut};
use crate::machine::{LARGE, Page};

/// Bits of an index that one level decides.
const BITS: u32 = 6;
/// Slots of a node.
const SLOTS: usize = 1 << BITS;
/// No tree of 64-bit indices is higher.
const DEPTH: usize = 11;
/// 64 pages, or 64 subtrees.
pub struct Node {
    occupied: u64,
    /// In the subtree.
    pages: u64,
    /// How many of them were put away.
    stored: u64,
    slots: [u64; SLOTS],
}

type NodeId = Id<Node>;
/// The nodes on the way to an index, from the top, each with the slot that was taken.
type Path = heapless::Vec<(NodeId, usize), DEPTH>;

/// All nodes.
pub(super) type Nodes = Arena<Node>;

/// A node on the way to a page is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoPlace;

/// The pages of one object.
pub(super) struct Residents {
    /// As a slot: the page at index 0 (height 0), or the top node.
    root: u64,
    /// Levels of nodes.
    height: u32,
    nodes: u32,
    pages: u64,
    /// How many of them were put away.
    stored: u64,
}

impl Node {
    const fn new() -> Self {
        Self {
            occupied: 0,
            pages: 0,
            stored: 0,
            slots: [0; SLOTS],
        }
    }

    fn set(&mut self, slot: usize, value: u64) {
        self.slots[slot] = value;
        let bit = 1 << slot;
        if value == 0 {
            self.occupied &= !bit;
        } else {
            self.occupied |= bit;
        }
    }
}

/// The slot for an index in a node that is the top of this many levels.
#[inline(always)]
fn slot_of(index: u64, level: u32) -> usize {
    (index >> (BITS * (level - 1))) as usize % SLOTS
}

/// The slot that leads to a node.
fn slot_for(node: NodeId) -> u64 {
    USED | u64::from(node.index())
}

#[inline(always)]
fn child(nodes: &Nodes, slot: u64) -> Option<&Node> {
    nodes.at(slot as u32).filter(|_| slot != 0)
}

#[inline(always)]
fn child_mut(nodes: &mut Nodes, slot: u64) -> Option<&mut Node> {
    nodes.at_mut(slot as u32).filter(|_| slot != 0)
}

fn child_id(nodes: &Nodes, slot: u64) -> Option<NodeId> {
    nodes.id_at(slot as u32).filter(|_| slot != 0)
}

/// Whether a tree of this height has a place for an index.
#[inline(always)]
fn reaches(height: u32, index: u64) -> bool {
    index.checked_shr(BITS * height).unwrap_or(0) == 0
}

impl Residents {
    pub(super) const fn new() -> Self {
        Self {
            root: 0,
            height: 0,
            nodes: 0,
            pages: 0,
            stored: 0,
        }
    }

    /// How many pages there are.
    pub(super) fn len(&self) -> u64 {
        self.pages
    }

    /// How many nodes they take.
    pub(super) fn nodes(&self) -> u32 {
        self.nodes
    }

    /// What is at an index.
    #[inline(always)]
    pub(super) fn get(&self, nodes: &Nodes, index: u64) -> Option<Content> {
        Some(self.look(nodes, index)?.0)
    }

    /// The same with the marks.
    #[inline(always)]
    pub(super) fn look(&self, nodes: &Nodes, index: u64) -> Option<(Content, Marks)> {
        let slot = self.slot(nodes, index)?;
        Some((Content::of(slot)?, marks_of(slot)))
    }

    #[inline(always)]
    fn slot(&self, nodes: &Nodes, index: u64) -> Option<u64> {
        if !reaches(self.height, index) {
            return None;
        }
        let (mut at, mut level) = (self.root, self.height);
        while level > 0 {
            at = child(nodes, at)?.slots[slot_of(index, level)];
            level -= 1;
        }
        (at != 0).then_some(at)
    }

    /// The marks of the page at an index.
    pub(super) fn marks(&self, nodes: &Nodes, index: u64) -> Marks {
        let found = self.look(nodes, index);
        found.map_or(Marks::empty(), |(_, marks)| marks)
    }

    /// Sets the marks of the page at an index, if there is one.
    pub(super) fn set_marks(&mut self, nodes: &mut Nodes, index: u64, marks: Marks) {
        if let Some(Content::Page(_)) = self.get(nodes, index) {
            self.change(nodes, index, |slot| marked(slot, marks));
        }
    }

    /// How many regions hold the page at an index.
    pub(super) fn holds(&self, nodes: &Nodes, index: u64) -> u64 {
        self.slot(nodes, index).map_or(0, holds_of)
    }

    /// One more region holds the page at an index; `false`: as many do as may, or there is none.
    pub(super) fn hold(&mut self, nodes: &mut Nodes, index: u64) -> bool {
        let slot = self.slot(nodes, index).and_then(held);
        if let Some(slot) = slot {
            self.change(nodes, index, |_| slot);
        }
        slot.is_some()
    }

    /// One region less holds the page at an index.
    pub(super) fn release(&mut self, nodes: &mut Nodes, index: u64) {
        self.change(nodes, index, released);
    }

    /// Puts something else where there is something.
    pub(super) fn replace(&mut self, nodes: &mut Nodes, index: u64, content: Content) {
        let old = self.get(nodes, index);
        debug_assert!(old.is_some(), "nothing to replace");
        self.change(nodes, index, |_| content.slot());
        match (old.is_some_and(Content::is_stored), content.is_stored()) {
            (true, false) => self.count_stored(nodes, index, |stored| stored - 1),
            (false, true) => self.count_stored(nodes, index, |stored| stored + 1),
            _ => {}
        }
    }

    /// One page more, or less, is put away at an index.
    #[cold]
    fn count_stored(&mut self, nodes: &mut Nodes, index: u64, change: fn(u64) -> u64) {
        self.stored = change(self.stored);
        for (id, _) in self.path(nodes, index) {
            let here = node_mut(nodes, id);
            here.stored = change(here.stored);
        }
    }

    /// Changes the slot of an index that has something.
    fn change(&mut self, nodes: &mut Nodes, index: u64, change: impl FnOnce(u64) -> u64) {
        match self.path(nodes, index).last() {
            None => self.root = change(self.root),
            Some((leaf, slot)) => {
                let leaf = node_mut(nodes, *leaf);
                leaf.slots[*slot] = change(leaf.slots[*slot]);
            }
        }
    }

    /// The first page at or after an index, and its index.
    pub(super) fn next(&self, nodes: &Nodes, from: u64) -> Option<(u64, Content)> {
        let mut from = from;
        while reaches(self.height, from) {
            match self.next_below_top(nodes, from)? {
                Ok(found) => return Some(found),
                Err(later) => from = later,
            }
        }
        None
    }

    /// The page at `from`, or the first one after it in the lowest node on the way there that has a later slot;
    /// if it has none, the index from which on another node decides.
    fn next_below_top(&self, nodes: &Nodes, from: u64) -> Option<Result<(u64, Content), u64>> {
        let (mut at, mut level, mut from) = (self.root, self.height, from);
        while level > 0 {
            let here = child(nodes, at)?;
            let slot = slot_of(from, level);
            let later = here.occupied & (u64::MAX << slot);
            if later == 0 {
                let behind = from.checked_shr(BITS * level)? + 1;
                return Some(Err(behind << (BITS * level)));
            }
            let first = later.trailing_zeros() as usize;
            if first != slot {
                let shift = BITS * (level - 1);
                from = ((from >> shift) + (first - slot) as u64) << shift;
            }
            at = here.slots[first];
            level -= 1;
        }
        Content::of(at).map(|content| Ok((from, content)))
    }

    /// How many pages there are below an index.
    pub(super) fn below(&self, nodes: &Nodes, index: u64) -> u64 {
        if !reaches(self.height, index) {
            return self.pages;
        }
        let (mut at, mut below) = (self.root, 0);
        for level in (1..=self.height).rev() {
            let Some(here) = child(nodes, at) else {
                return below;
            };
            let slot = slot_of(index, level);
            let mut before = here.occupied & !(u64::MAX << slot);
            if level == 1 {
                return below + u64::from(before.count_ones());
            }
            while before != 0 {
                let slot = here.slots[before.trailing_zeros() as usize];
                below += child(nodes, slot).map_or(0, |child| child.pages);
                before &= before - 1;
            }
            at = here.slots[slot];
        }
        below
    }

    /// How many pages were put away.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// How many pages below an index were put away.
    pub(super) fn stored_below(&self, nodes: &Nodes, index: u64) -> u64 {
        if self.stored == 0 || !reaches(self.height, index) {
            return self.stored;
        }
        let (mut at, mut below) = (self.root, 0);
        for level in (1..=self.height).rev() {
            let Some(here) = child(nodes, at) else {
                return below;
            };
            let slot = slot_of(index, level);
            let before = here.slots[..slot].iter().filter(|slot| **slot != 0);
            below += before
                .map(|slot| match level {
                    1 => Content::of(*slot).is_some_and(Content::is_stored).into(),
                    _ => child(nodes, *slot).map_or(0, |child| child.stored),
                })
                .sum::<u64>();
            at = here.slots[slot];
        }
        below
    }

    /// Puts a page at an index that has nothing.
    ///
    /// # Errors
    /// [`NoPlace`]: [`reserve`](Self::reserve) first. Nothing changed.
    pub(super) fn insert(
        &mut self,
        nodes: &mut Nodes,
        index: u64,
        content: Content,
    ) -> Result<(), NoPlace> {
        if !reaches(self.height, index) {
            return Err(NoPlace);
        }
        let value = content.slot();
        if self.height == 0 {
            debug_assert!(self.root == 0, "a page twice");
            self.root = value;
            self.pages = 1;
            self.stored = content.is_stored().into();
            return Ok(());
        }
        // Counts above change last: only the lowest node tells that none is missing.
        let mut at = self.root;
        for level in (2..=self.height).rev() {
            let here = child(nodes, at).ok_or(NoPlace)?;
            at = here.slots[slot_of(index, level)];
        }
        let leaf = child_mut(nodes, at).ok_or(NoPlace)?;
        debug_assert!(leaf.slots[slot_of(index, 1)] == 0, "a page twice");
        leaf.set(slot_of(index, 1), value);
        leaf.pages += 1;
        self.pages += 1;
        at = self.root;
        for level in (2..=self.height).rev() {
            if let Some(here) = child_mut(nodes, at) {
                here.pages += 1;
                at = here.slots[slot_of(index, level)];
            }
        }
        if content.is_stored() {
            self.count_stored(nodes, index, |stored| stored + 1);
        }
        Ok(())
    }

    /// Takes what is at an index out.
    pub(super) fn remove(&mut self, nodes: &mut Nodes, index: u64) -> Option<Content> {
        let mut taken = None;
        self.take_run(nodes, index..=index, 1, |content| taken = Some(content));
        taken
    }

    /// How many pages follow each other from an index on, as far as one node tells.
    pub(super) fn run(&self, nodes: &Nodes, index: u64) -> u64 {
        if self.height == 0 || !reaches(self.height, index) {
            return u64::from(self.get(nodes, index).is_some());
        }
        let mut at = self.root;
        for level in (2..=self.height).rev() {
            at = child(nodes, at).map_or(0, |here| here.slots[slot_of(index, level)]);
        }
        let slot = slot_of(index, 1);
        child(nodes, at).map_or(0, |leaf| (leaf.occupied >> slot).trailing_ones().into())
    }

    /// The first page of a large one that lies at an index, all of it in memory, and nothing else said of any page.
    pub(super) fn large_at(&self, nodes: &Nodes, index: u64) -> Option<Page> {
        let first = self.get(nodes, index)?.page()?;
        let aligned = index.is_multiple_of(LARGE) && u64::from(first.0).is_multiple_of(LARGE);
        if !aligned || self.height < 2 {
            return None;
        }
        let mut expected = Content::Page(first).slot();
        for part in (index..index + LARGE).step_by(SLOTS) {
            let mut at = self.root;
            for level in (2..=self.height).rev() {
                at = child(nodes, at)?.slots[slot_of(part, level)];
            }
            for slot in &child(nodes, at)?.slots {
                if *slot != expected {
                    return None;
                }
                expected += 1;
            }
        }
        Some(first)
    }

    /// Takes pages of a range out, at most `limit` and those of one node; hands each out, and says how many they were.
    pub(super) fn take_run(
        &mut self,
        nodes: &mut Nodes,
        range: RangeInclusive<u64>,
        limit: u64,
        mut take: impl FnMut(Content),
    ) -> u64 {
        let (start, last) = range.into_inner();
        let first = self.next(nodes, start);
        let Some((first, content)) = first.filter(|(first, _)| *first <= last && limit > 0) else {
            return 0;
        };
        if self.height == 0 {
            (self.root, self.pages, self.stored) = (0, 0, 0);
            take(content);
            return 1;
        }
        let path = self.path(nodes, first);
        let Some((id, slot)) = path.last() else {
            return 0;
        };
        let (leaf, mut taken, mut stored) = (node_mut(nodes, *id), 0, 0);
        let end = (last - first)
            .saturating_add(*slot as u64)
            .min(SLOTS as u64 - 1) as usize;
        for slot in *slot..=end {
            let value = leaf.slots[slot];
            if let Some(content) = Content::of(value).filter(|_| taken < limit) {
                take(content);
                leaf.set(slot, 0);
                taken += 1;
                stored += u64::from(content.is_stored());
            }
        }
        self.take_counts(nodes, &path, (taken, stored));
        taken
    }

    /// So many pages of the lowest node on a way, and of those so many that were put away, are gone, and so are nodes
    /// without any.
    fn take_counts(&mut self, nodes: &mut Nodes, path: &Path, (taken, stored): (u64, u64)) {
        self.pages -= taken;
        self.stored -= stored;
        let mut empty = true;
        for (id, slot) in path.iter().rev() {
            let here = node_mut(nodes, *id);
            here.pages -= taken;
            here.stored -= stored;
            if empty {
                // In the lowest one, the first of those that were taken.
                here.set(*slot, 0);
                empty = here.occupied == 0;
            }
            if empty {
                self.free(nodes, *id);
            }
        }
        if empty {
            (self.root, self.height) = (0, 0);
        }
    }

    /// How many nodes [`reserve`](Self::reserve) would make.
    pub(super) fn missing(&self, nodes: &Nodes, index: u64) -> u32 {
        let mut height = self.height;
        while !reaches(height, index) {
            height += 1;
        }
        if self.root == 0 {
            return height;
        }
        if height > self.height {
            // New tops, and from the highest one on a way that nothing had taken.
            return height - self.height + height - 1;
        }
        height - self.path(nodes, index).len() as u32
    }

    /// Makes the nodes on the way to an index, so that a page can be put there.
    ///
    /// # Errors
    /// [`Full`]: no memory. Nodes that were made stay.
    pub(super) fn reserve(&mut self, nodes: &mut Nodes, index: u64) -> Result<(), Full> {
        while !reaches(self.height, index) {
            if self.root != 0 {
                let mut top = Node::new();
                (top.pages, top.stored) = (self.pages, self.stored);
                top.set(0, self.root);
                self.root = slot_for(nodes.insert(top)?);
                self.nodes += 1;
            }
            self.height += 1;
        }
        let mut above: Option<(NodeId, usize)> = None;
        for level in (1..=self.height).rev() {
            let at = above.map_or(self.root, |(id, slot)| node(nodes, id).slots[slot]);
            let id = match child_id(nodes, at) {
                Some(id) => id,
                None => {
                    let id = nodes.insert(Node::new())?;
                    self.nodes += 1;
                    match above {
                        Some((above, slot)) => node_mut(nodes, above).set(slot, slot_for(id)),
                        None => self.root = slot_for(id),
                    }
                    id
                }
            };
            above = Some((id, slot_of(index, level)));
        }
        Ok(())
    }

    /// Frees the nodes of a tree without pages. As many as were reserved, and never used.
    pub(super) fn prune(&mut self, nodes: &mut Nodes) {
        debug_assert!(self.pages == 0, "pages are left");
        while self.nodes > 0 {
            let mut path = Path::new();
            let mut at = self.root;
            while let Some(id) = child_id(nodes, at) {
                let here = node(nodes, id);
                let slot = here.occupied.trailing_zeros() as usize % SLOTS;
                let pushed = path.push((id, slot));
                debug_assert!(pushed.is_ok(), "a tree is too high");
                at = here.slots[slot];
            }
            while let Some((id, slot)) = path.pop() {
                let here = node_mut(nodes, id);
                here.set(slot, 0);
                if here.occupied != 0 {
                    break;
                }
                self.free(nodes, id);
                if path.is_empty() {
                    self.root = 0;
                }
            }
        }
        (self.root, self.height) = (0, 0);
    }

    fn free(&mut self, nodes: &mut Nodes, id: NodeId) {
        nodes.discard(id);
        self.nodes -= 1;
    }

    /// The nodes on the way to an index, as far as there are any.
    fn path(&self, nodes: &Nodes, index: u64) -> Path {
        let mut path = Path::new();
        let (mut at, mut level) = (self.root, self.height);
        while level > 0
            && let Some(id) = child_id(nodes, at)
        {
            let slot = slot_of(index, level);
            let pushed = path.push((id, slot));
            debug_assert!(pushed.is_ok(), "a tree is too high");
            at = node(nodes, id).slots[slot];
            level -= 1;
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arena::Region;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    fn nodes() -> Nodes {
        Arena::new(Region::on_heap(1 << 20))
    }

    const fn page(number: u32) -> Content {
        Content::Page(Page(number))
    }

    fn put(residents: &mut Residents, nodes: &mut Nodes, index: u64, content: Content) {
        let (missing, before) = (residents.missing(nodes, index), residents.nodes());
        if missing > 0 {
            assert_eq!(residents.insert(nodes, index, content), Err(NoPlace));
            residents.reserve(nodes, index).unwrap();
        }
        assert_eq!(residents.nodes(), before + missing);
        assert_eq!(residents.missing(nodes, index), 0);
        assert_eq!(residents.insert(nodes, index, content), Ok(()));
    }

    #[test]
    fn a_single_page_takes_no_node() {
        let (mut nodes, mut residents) = (nodes(), Residents::new());
        put(&mut residents, &mut nodes, 0, page(0));
        assert_eq!(nodes.len(), 0);
        assert_eq!(residents.get(&nodes, 0), Some(page(0)));
        assert_eq!(residents.next(&nodes, 0), Some((0, page(0))));
        assert_eq!(residents.next(&nodes, 1), None);
        put(&mut residents, &mut nodes, u64::MAX, page(7));
        assert_eq!(residents.next(&nodes, 1), Some((u64::MAX, page(7))));
        assert_eq!(residents.below(&nodes, u64::MAX), 1);
        assert_eq!(residents.remove(&mut nodes, u64::MAX), Some(page(7)));
        assert_eq!(residents.remove(&mut nodes, 0), Some(page(0)));
        assert_eq!((nodes.len(), residents.nodes()), (0, 0));
    }

    #[test]
    fn what_was_reserved_and_not_used_goes() {
        let (mut nodes, mut residents) = (nodes(), Residents::new());
        for index in [0, 70, 5000, 1 << 40] {
            residents.reserve(&mut nodes, index).unwrap();
        }
        assert_eq!(residents.next(&nodes, 0), None);
        put(&mut residents, &mut nodes, 71, page(1));
        assert_eq!(residents.next(&nodes, 3), Some((71, page(1))));
        assert_eq!(residents.remove(&mut nodes, 71), Some(page(1)));
        assert!(residents.nodes() > 0);
        residents.prune(&mut nodes);
        assert_eq!((nodes.len(), residents.nodes()), (0, 0));
    }

    #[test]
    fn marks_are_a_page_s_and_go_with_it() {
        let (mut nodes, mut residents) = (nodes(), Residents::new());
        for index in [0, 3] {
            put(&mut residents, &mut nodes, index, page(9));
            assert!(residents.hold(&mut nodes, index));
            residents.set_marks(&mut nodes, index, Marks::all());
            assert!(residents.hold(&mut nodes, index));
            assert_eq!(residents.look(&nodes, index), Some((page(9), Marks::all())));
            assert_eq!(residents.holds(&nodes, index), 2);
            residents.release(&mut nodes, index);
            assert_eq!(residents.holds(&nodes, index), 1);
            assert_eq!(residents.look(&nodes, index), Some((page(9), Marks::all())));
            residents.replace(&mut nodes, index, Content::Stored(u32::MAX));
            residents.set_marks(&mut nodes, index, Marks::all());
            let stored = Some((Content::Stored(u32::MAX), Marks::empty()));
            assert_eq!(residents.look(&nodes, index), stored);
            assert_eq!(residents.holds(&nodes, index), 0);
        }
    }

    #[test]
    fn a_large_page_is_whole_and_lies_in_order() {
        let (mut nodes, mut residents) = (nodes(), Residents::new());
        let large = LARGE as u32;
        for index in 0..2 * large {
            assert_eq!(residents.large_at(&nodes, 0).is_some(), index >= large);
            let content = page(4 * large + index);
            put(&mut residents, &mut nodes, index.into(), content);
        }
        assert_eq!(residents.large_at(&nodes, 0), Some(Page(4 * large)));
        assert_eq!(residents.large_at(&nodes, LARGE), Some(Page(5 * large)));
        assert_eq!(residents.large_at(&nodes, 1), None);
        assert_eq!(residents.large_at(&nodes, 2 * LARGE), None);
        residents.set_marks(&mut nodes, LARGE - 1, Marks::IDLE);
        assert_eq!(residents.large_at(&nodes, 0), None);
        residents.replace(&mut nodes, LARGE + 70, page(9));
        assert_eq!(residents.large_at(&nodes, LARGE), None);
        for index in 0..2 * LARGE {
            residents.remove(&mut nodes, index);
            // The page before is the right one, but lies at the wrong place.
            put(
                &mut residents,
                &mut nodes,
                index,
                page(4 * large + 1 + index as u32),
            );
        }
        assert_eq!(residents.large_at(&nodes, 0), None);
    }

    proptest! {
        #[test]
        fn residents_agree_with_an_ordered_map(
            steps in prop::collection::vec((0..6, 0_u64..200, 0_u32..4), 1..300),
        ) {
            let (mut nodes, mut residents) = (nodes(), Residents::new());
            let mut model = BTreeMap::new();
            for (number, (what, small, spread)) in steps.into_iter().enumerate() {
                let index = small << (spread * 6);
                if what < 3 && !model.contains_key(&index) {
                    let content = match number % 3 {
                        0 => Content::Stored(number as u32),
                        _ => page(number as u32),
                    };
                    put(&mut residents, &mut nodes, index, content);
                    model.insert(index, content);
                } else if what == 4 {
                    let (last, limit) = (index + small, small % 9);
                    let first = model.range(index..=last).next().map_or(0, |(index, _)| *index);
                    let expected: Vec<_> = model
                        .range(index..=last)
                        .filter(|(index, _)| **index >> BITS == first >> BITS)
                        .take(limit as usize)
                        .map(|(index, page)| (*index, *page))
                        .collect();
                    let mut taken = Vec::new();
                    let count = residents.take_run(&mut nodes, index..=last, limit, |page| {
                        taken.push(page);
                    });
                    prop_assert_eq!(count, taken.len() as u64);
                    prop_assert!(taken.into_iter().eq(expected.iter().map(|(_, page)| *page)));
                    for (index, _) in expected {
                        model.remove(&index);
                    }
                } else if what == 3 && model.contains_key(&index) {
                    let content = match model[&index] {
                        Content::Page(_) => Content::Stored(number as u32),
                        Content::Stored(_) => page(number as u32),
                    };
                    residents.replace(&mut nodes, index, content);
                    model.insert(index, content);
                } else {
                    prop_assert_eq!(residents.remove(&mut nodes, index), model.remove(&index));
                }
                prop_assert_eq!(residents.len(), model.len() as u64);
                prop_assert_eq!(residents.nodes(), nodes.len());
                for probe in [0, index.saturating_sub(1), index, index + 1, index * 64] {
                    prop_assert_eq!(residents.get(&nodes, probe), model.get(&probe).copied());
                    let next = model.range(probe..).next().map(|(index, page)| (*index, *page));
                    prop_assert_eq!(residents.next(&nodes, probe), next);
                    let run = (probe..=probe | 63).take_while(|index| model.contains_key(index));
                    prop_assert_eq!(residents.run(&nodes, probe), run.count() as u64);
                    let below = model.range(..probe).count() as u64;
                    prop_assert_eq!(residents.below(&nodes, probe), below);
                    let stored = model.range(..probe).filter(|(_, content)| content.is_stored());
                    prop_assert_eq!(residents.stored_below(&nodes, probe), stored.count() as u64);
                }
            }
            for index in model.into_keys() {
                residents.remove(&mut nodes, index);
            }
            prop_assert_eq!((nodes.len(), residents.nodes()), (0, 0));
        }
    }
}
