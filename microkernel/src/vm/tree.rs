//! [`Tree`]: a balanced search tree of arena objects that carry their own links.
//!
//! An AVL tree: its height is at most 1.44 log2 n whatever keys a user chooses, so a walk has a bound.
//! Each node keeps a summary of its subtree (free gaps, counts), which searches use to skip subtrees.
//!
//! A change is followed upwards by the links to the parents, as far as it makes a difference.
//!
//! Deliberately absent: recursion, and ownership. Nodes stay in their arena; the tree only orders them.

use core::ops::Range;

use arena::{Arena, Id};

/// No AVL tree of 2^32 nodes is higher than 47.
const DEPTH: usize = 48;

/// Nodes on the way from the root.
type Path<T> = heapless::Vec<Id<T>, DEPTH>;

/// What a node of a tree carries.
pub(super) struct Links<T> {
    pub(super) left: Option<Id<T>>,
    pub(super) right: Option<Id<T>>,
    pub(super) parent: Option<Id<T>>,
    /// Of the subtree; 0: not known.
    height: u8,
}

impl<T> Links<T> {
    pub(super) fn new() -> Self {
        Self {
            left: None,
            right: None,
            parent: None,
            height: 1,
        }
    }
}

/// An object that can be in a tree.
pub(super) trait Node: Sized {
    /// What is known of a whole subtree.
    type Summary: Copy + PartialEq;
    /// The summary of no node at all.
    const NOTHING: Self::Summary;
    /// Its place. No two nodes of a tree have the same.
    fn key(&self) -> u64;
    fn links(&self) -> &Links<Self>;
    fn links_mut(&mut self) -> &mut Links<Self>;
    /// The subtree's summary.
    fn summary(&self) -> Self::Summary;
    fn set_summary(&mut self, summary: Self::Summary);
    /// What the summary is to be, from the node itself and its children's.
    fn summarize(&self, left: Self::Summary, right: Self::Summary) -> Self::Summary;
}

/// The root.
pub(super) struct Tree<T> {
    root: Option<Id<T>>,
}

/// Where a node belongs.
pub(super) struct Place<T> {
    parent: Option<Id<T>>,
    /// The last node before it.
    pub(super) previous: Option<Id<T>>,
    /// The first node after it.
    pub(super) next: Option<Id<T>>,
}

/// Which child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl<T: Node> Tree<T> {
    pub(super) fn new() -> Self {
        Self { root: None }
    }

    /// The node with this key.
    pub(super) fn find(&self, arena: &Arena<T>, key: u64) -> Option<Id<T>> {
        let id = self.floor(arena, key)?;
        (node(arena, id).key() == key).then_some(id)
    }

    /// The last node with a key at or below this one.
    pub(super) fn floor(&self, arena: &Arena<T>, key: u64) -> Option<Id<T>> {
        let (mut at, mut best) = (self.root, None);
        while let Some(id) = at {
            let here = node(arena, id);
            if here.key() <= key {
                best = at;
                at = here.links().right;
            } else {
                at = here.links().left;
            }
        }
        best
    }

    /// The first node with a key at or above this one.
    pub(super) fn ceiling(&self, arena: &Arena<T>, key: u64) -> Option<Id<T>> {
        let (mut at, mut best) = (self.root, None);
        while let Some(id) = at {
            let here = node(arena, id);
            if here.key() >= key {
                best = at;
                at = here.links().left;
            } else {
                at = here.links().right;
            }
        }
        best
    }

    /// The first node with a key at or above `from` that is accepted. Subtrees that are not promising are
    /// skipped, so the search is logarithmic when a promising subtree holds a node that is accepted.
    pub(super) fn search(
        &self,
        arena: &Arena<T>,
        from: u64,
        promising: impl Fn(T::Summary) -> bool,
        accept: impl Fn(&T) -> bool,
    ) -> Option<Id<T>> {
        let mut path = Path::<T>::new();
        let mut at = self.root;
        loop {
            while let Some(id) = at {
                let here = node(arena, id);
                if !promising(here.summary()) {
                    break;
                }
                if here.key() >= from {
                    push(&mut path, id);
                    at = here.links().left;
                } else {
                    at = here.links().right;
                }
            }
            let id = path.pop()?;
            if accept(node(arena, id)) {
                return Some(id);
            }
            at = node(arena, id).links().right;
        }
    }

    /// The sum of what nodes with a key below this one have.
    pub(super) fn sum_below(
        &self,
        arena: &Arena<T>,
        key: u64,
        of_all: impl Fn(T::Summary) -> u64,
        of_one: impl Fn(&T) -> u64,
    ) -> u64 {
        let (mut at, mut sum) = (self.root, 0);
        while let Some(id) = at {
            let here = node(arena, id);
            if here.key() >= key {
                at = here.links().left;
                continue;
            }
            let left = here.links().left.map(|left| node(arena, left));
            sum += of_one(here) + left.map_or(0, |left| of_all(left.summary()));
            at = here.links().right;
        }
        sum
    }

    /// Where a node with this key belongs. Its key must not be there yet.
    pub(super) fn place(&self, arena: &Arena<T>, key: u64) -> Place<T> {
        let mut place = Place {
            parent: None,
            previous: None,
            next: None,
        };
        let mut at = self.root;
        while let Some(id) = at {
            let here = node(arena, id);
            debug_assert!(key != here.key(), "a key twice");
            place.parent = at;
            if key < here.key() {
                place.next = at;
                at = here.links().left;
            } else {
                place.previous = at;
                at = here.links().right;
            }
        }
        place
    }

    /// Puts a node in where [`place`](Self::place) said. What the next node says of itself may have changed meanwhile.
    pub(super) fn insert(&mut self, arena: &mut Arena<T>, place: &Place<T>, id: Id<T>) {
        let new = node_mut(arena, id);
        *new.links_mut() = Links::new();
        new.set_summary(new.summarize(T::NOTHING, T::NOTHING));
        match place.parent {
            None => self.root = Some(id),
            Some(parent) if place.next == Some(parent) => {
                set_child(arena, parent, Side::Left, Some(id));
            }
            Some(parent) => set_child(arena, parent, Side::Right, Some(id)),
        }
        self.update_from(arena, place.parent, place.next);
    }

    /// Takes a node out. It must be there, and `next` be the one after it, of which what it says of itself may have
    /// changed meanwhile.
    pub(super) fn remove(&mut self, arena: &mut Arena<T>, id: Id<T>, next: Option<Id<T>>) {
        let (left, right) = children(arena, id);
        let parent = node(arena, id).links().parent;
        let (Some(_), Some(next)) = (right, next) else {
            // The next node is one of those above.
            self.replace(arena, parent, id, left);
            return self.update_from(arena, parent, next);
        };
        // The next node takes the place; it has no left child.
        let above = node(arena, next).links().parent;
        let mut from = next;
        if let Some(above) = above.filter(|above| *above != id) {
            let rest = node(arena, next).links().right;
            set_child(arena, above, Side::Left, rest);
            set_child(arena, next, Side::Right, right);
            from = above;
        }
        set_child(arena, next, Side::Left, left);
        // What it says of its subtree is of where it was.
        node_mut(arena, next).links_mut().height = 0;
        self.replace(arena, parent, id, Some(next));
        self.update_from(arena, Some(from), Some(next));
    }

    /// Puts a node into the place of all whose keys lie in a range, as its own does. They are in no tree any more. What the node
    /// after the range says of itself may have changed meanwhile.
    ///
    /// Logarithmic: what a [`join`] takes is by how much the heights of its trees differ, and these grow from join to join.
    pub(super) fn replace_range(&mut self, arena: &mut Arena<T>, range: &Range<u64>, id: Id<T>) {
        let before = self.edge(arena, |key| key < range.start, Side::Right);
        let after = self.edge(arena, |key| key >= range.end, Side::Left);
        let (mut low, mut high) = (None, None);
        for id in before.into_iter().rev() {
            let (left, _) = children(arena, id);
            low = Some(join(arena, left, id, low));
        }
        for id in after.into_iter().rev() {
            let (_, right) = children(arena, id);
            high = Some(join(arena, high, id, right));
        }
        self.root = Some(join(arena, low, id, high));
    }

    /// The nodes on the way to where those that belong to one side end. Their children on the other side do too.
    fn edge(&self, arena: &Arena<T>, belongs: impl Fn(u64) -> bool, towards: Side) -> Path<T> {
        let mut path = Path::<T>::new();
        let mut at = self.root;
        while let Some(id) = at {
            let (left, right) = children(arena, id);
            let belongs = belongs(node(arena, id).key());
            if belongs {
                push(&mut path, id);
            }
            at = match belongs == (towards == Side::Left) {
                true => left,
                false => right,
            };
        }
        path
    }

    /// Brings the summaries up to date after a node changed in place. Its key may have changed if the order
    /// did not.
    pub(super) fn refresh(&mut self, arena: &mut Arena<T>, id: Id<T>) {
        self.update_from(arena, Some(id), Some(id));
    }

    /// Brings nodes up to date upwards, until one is as it was: then those above it are too. Not before `last` was,
    /// which is one of those above.
    fn update_from(&mut self, arena: &mut Arena<T>, from: Option<Id<T>>, last: Option<Id<T>>) {
        let (mut at, mut last) = (from, last);
        while let Some(id) = at {
            let parent = node(arena, id).links().parent;
            let (top, changed) = balance(arena, id);
            if top != id {
                self.replace(arena, parent, id, Some(top));
            }
            last = last.filter(|last| *last != id);
            if !changed && last.is_none() {
                return;
            }
            at = parent;
        }
    }

    /// Lets `parent`, or the root, link to `new` instead of `old`.
    fn replace(
        &mut self,
        arena: &mut Arena<T>,
        parent: Option<Id<T>>,
        old: Id<T>,
        new: Option<Id<T>>,
    ) {
        let Some(parent) = parent else {
            self.root = new;
            if let Some(new) = new {
                node_mut(arena, new).links_mut().parent = None;
            }
            return;
        };
        let side = if node(arena, parent).links().left == Some(old) {
            Side::Left
        } else {
            Side::Right
        };
        set_child(arena, parent, side, new);
    }
}

/// The object behind a link.
///
/// # Panics
/// When a link outlived its object: the tree is damaged, and nothing it says can be relied on.
pub(super) fn node<T, K>(arena: &Arena<T, K>, id: Id<K>) -> &T {
    arena.get(id).expect("a tree links to live nodes")
}

/// See [`node`].
pub(super) fn node_mut<T, K>(arena: &mut Arena<T, K>, id: Id<K>) -> &mut T {
    arena.get_mut(id).expect("a tree links to live nodes")
}

/// # Panics
/// When the tree is higher than any AVL tree of that many nodes: it is damaged.
fn push<T>(path: &mut Path<T>, id: Id<T>) {
    assert!(path.push(id).is_ok(), "a tree is too high");
}

fn children<T: Node>(arena: &Arena<T>, id: Id<T>) -> (Option<Id<T>>, Option<Id<T>>) {
    let links = node(arena, id).links();
    (links.left, links.right)
}

fn set_child<T: Node>(arena: &mut Arena<T>, parent: Id<T>, side: Side, child: Option<Id<T>>) {
    let links = node_mut(arena, parent).links_mut();
    match side {
        Side::Left => links.left = child,
        Side::Right => links.right = child,
    }
    if let Some(child) = child {
        node_mut(arena, child).links_mut().parent = Some(parent);
    }
}

pub(super) fn height<T: Node>(arena: &Arena<T>, id: Option<Id<T>>) -> u8 {
    id.map_or(0, |id| node(arena, id).links().height)
}

/// What [`update`] found.
struct Updated {
    /// Height or summary are not what they were.
    changed: bool,
    /// The children's heights.
    left: u8,
    right: u8,
}

/// Height and summary from the children's.
#[inline(always)]
fn update<T: Node>(arena: &mut Arena<T>, id: Id<T>) -> Updated {
    let (left, right) = children(arena, id);
    let of = |id: Option<Id<T>>| {
        id.map_or((0, T::NOTHING), |id| {
            let here = node(arena, id);
            (here.links().height, here.summary())
        })
    };
    let ((low, left), (high, right)) = (of(left), of(right));
    let here = node_mut(arena, id);
    let height = low.max(high) + 1;
    let summary = here.summarize(left, right);
    let changed = here.links().height != height || here.summary() != summary;
    here.links_mut().height = height;
    here.set_summary(summary);
    Updated {
        changed,
        left: low,
        right: high,
    }
}

/// Restores the balance of a subtree whose children are balanced; returns its root, and whether anything
/// changed.
fn balance<T: Node>(arena: &mut Arena<T>, id: Id<T>) -> (Id<T>, bool) {
    let Updated {
        changed,
        left: low,
        right: high,
    } = update(arena, id);
    if low.abs_diff(high) <= 1 {
        return (id, changed);
    }
    let (left, right) = children(arena, id);
    if let Some(left) = left.filter(|_| low > high) {
        let (outer, inner) = children(arena, left);
        if height(arena, outer) < height(arena, inner) {
            let top = rotate(arena, left, Side::Left);
            set_child(arena, id, Side::Left, Some(top));
        }
        return (rotate(arena, id, Side::Right), true);
    }
    if let Some(right) = right {
        let (inner, outer) = children(arena, right);
        if height(arena, outer) < height(arena, inner) {
            let top = rotate(arena, right, Side::Right);
            set_child(arena, id, Side::Right, Some(top));
        }
        return (rotate(arena, id, Side::Left), true);
    }
    (id, changed)
}

/// Lets a node sink to a side; the child of the other side comes up and is returned.
fn rotate<T: Node>(arena: &mut Arena<T>, id: Id<T>, sink: Side) -> Id<T> {
    let (left, right) = children(arena, id);
    let (other, rises) = match sink {
        Side::Left => (Side::Right, right),
        Side::Right => (Side::Left, left),
    };
    let Some(rises) = rises else {
        return id;
    };
    let (left, right) = children(arena, rises);
    let moves = if sink == Side::Left { left } else { right };
    set_child(arena, id, other, moves);
    set_child(arena, rises, sink, Some(id));
    update(arena, id);
    update(arena, rises);
    rises
}

/// Makes one tree of two and of a node between them; returns its root.
fn join<T: Node>(
    arena: &mut Arena<T>,
    left: Option<Id<T>>,
    id: Id<T>,
    right: Option<Id<T>>,
) -> Id<T> {
    let (low, high) = (height(arena, left), height(arena, right));
    // Where the higher tree, on the side of the node, is as high as the other one.
    let (mut at, side) = if low > high {
        (left, Side::Right)
    } else {
        (right, Side::Left)
    };
    let (top, mut above) = (at, None);
    while let Some(here) = at.filter(|_| height(arena, at) > low.min(high) + 1) {
        above = at;
        let (left, right) = children(arena, here);
        at = if side == Side::Left { left } else { right };
    }
    let (left, right) = if low > high { (at, right) } else { (left, at) };
    set_child(arena, id, Side::Left, left);
    set_child(arena, id, Side::Right, right);
    update(arena, id);
    let Some(above) = above else {
        node_mut(arena, id).links_mut().parent = None;
        return id;
    };
    set_child(arena, above, side, Some(id));
    let mut tree = Tree { root: None };
    tree.replace(arena, None, id, top);
    tree.update_from(arena, Some(above), None);
    tree.root.unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::{Links, Node, Tree, height, node};
    use arena::{Arena, Region};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    struct Item {
        key: u64,
        count: u32,
        links: Links<Self>,
    }

    impl Node for Item {
        type Summary = u32;
        const NOTHING: u32 = 0;
        fn key(&self) -> u64 {
            self.key
        }
        fn links(&self) -> &Links<Self> {
            &self.links
        }
        fn links_mut(&mut self) -> &mut Links<Self> {
            &mut self.links
        }
        fn summary(&self) -> u32 {
            self.count
        }
        fn set_summary(&mut self, count: u32) {
            self.count = count;
        }
        fn summarize(&self, left: u32, right: u32) -> u32 {
            1 + left + right
        }
    }

    fn assert_balanced(arena: &Arena<Item>, at: Option<arena::Id<Item>>) -> u32 {
        let Some(id) = at else { return 0 };
        let links = node(arena, id).links();
        for child in [links.left, links.right].into_iter().flatten() {
            assert_eq!(node(arena, child).links().parent, Some(id));
        }
        let count = 1 + assert_balanced(arena, links.left) + assert_balanced(arena, links.right);
        let (low, high) = (height(arena, links.left), height(arena, links.right));
        assert!(low.abs_diff(high) <= 1, "{low} beside {high}");
        assert_eq!(height(arena, at), 1 + low.max(high));
        assert_eq!(node(arena, id).count, count);
        count
    }

    proptest! {
        #[test]
        fn a_node_takes_the_place_of_a_range(
            keys in prop::collection::btree_set(0u64..2000, 0..600),
            ranges in prop::collection::vec((0u64..2000, 0u64..900), 1..20),
        ) {
            let mut arena = Arena::new(Region::on_heap(256 * 1024));
            let mut tree = Tree::<Item>::new();
            let item = |key| Item { key, count: 1, links: Links::new() };
            let mut model = BTreeMap::new();
            for key in keys {
                let id = arena.insert(item(key)).unwrap();
                let place = tree.place(&arena, key);
                tree.insert(&mut arena, &place, id);
                model.insert(key, id);
            }
            for (start, length) in ranges {
                let range = start..start + length + 1;
                let id = arena.insert(item(start + length / 2)).unwrap();
                tree.replace_range(&mut arena, &range, id);
                model.retain(|key, _| !range.contains(key));
                model.insert(start + length / 2, id);
                prop_assert_eq!(assert_balanced(&arena, tree.root) as usize, model.len());
                prop_assert_eq!(tree.root.and_then(|root| node(&arena, root).links().parent), None);
                let (mut from, mut found) = (0, Vec::new());
                while let Some(id) = tree.ceiling(&arena, from) {
                    from = node(&arena, id).key + 1;
                    found.push(id);
                }
                prop_assert_eq!(found, model.values().copied().collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_tree_agrees_with_an_ordered_map(steps in prop::collection::vec((any::<bool>(), 0u64..200), 1..400)) {
            let mut arena = Arena::new(Region::on_heap(64 * 1024));
            let mut tree = Tree::<Item>::new();
            let mut model = BTreeMap::new();
            for (insert, key) in steps {
                if insert && !model.contains_key(&key) {
                    let item = Item { key, count: 1, links: Links::new() };
                    let id = arena.insert(item).unwrap();
                    let place = tree.place(&arena, key);
                    prop_assert_eq!(place.previous, model.range(..key).next_back().map(|(_, id)| *id));
                    prop_assert_eq!(place.next, model.range(key..).next().map(|(_, id)| *id));
                    tree.insert(&mut arena, &place, id);
                    model.insert(key, id);
                } else if let Some(id) = model.remove(&key) {
                    let next = model.range(key..).next().map(|(_, id)| *id);
                    tree.remove(&mut arena, id, next);
                    arena.remove(id);
                }
                prop_assert_eq!(assert_balanced(&arena, tree.root) as usize, model.len());
                for probe in [key.saturating_sub(1), key, key + 1] {
                    prop_assert_eq!(tree.find(&arena, probe), model.get(&probe).copied());
                    prop_assert_eq!(tree.floor(&arena, probe), model.range(..=probe).next_back().map(|(_, id)| *id));
                    prop_assert_eq!(tree.ceiling(&arena, probe), model.range(probe..).next().map(|(_, id)| *id));
                    let found = tree.search(&arena, probe, |_| true, |item| item.key % 3 == 0);
                    prop_assert_eq!(found, model.range(probe..).find(|(key, _)| *key % 3 == 0).map(|(_, id)| *id));
                }
            }
        }
    }
}
