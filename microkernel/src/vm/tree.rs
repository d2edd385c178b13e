//! [`Tree`]: a balanced search tree of arena objects that carry their own links.
//!
//! An AVL tree: its height is at most 1.44 log2 n whatever keys a user chooses, so a walk has a bound.
//! Each node keeps a summary of its subtree (free gaps, counts), which searches use to skip subtrees.
//!
//! Deliberately absent: recursion, parent links, and ownership. Nodes stay in their arena; the tree
//! only orders them.

use arena::{Arena, Id};

/// No AVL tree of 2^32 nodes is higher than 47.
const DEPTH: usize = 48;

/// The way from the root to a node.
pub(super) type Path<T> = heapless::Vec<Id<T>, DEPTH>;

/// What a node of a tree carries.
pub(super) struct Links<T> {
    pub(super) left: Option<Id<T>>,
    pub(super) right: Option<Id<T>>,
    height: u8,
}

impl<T> Links<T> {
    pub(super) fn new() -> Self {
        Self {
            left: None,
            right: None,
            height: 1,
        }
    }
}

/// An object that can be in a tree.
pub(super) trait Node: Sized {
    /// What is known of a whole subtree.
    type Summary: Copy + PartialEq;
    /// Its place. No two nodes of a tree have the same.
    fn key(&self) -> u64;
    fn links(&self) -> &Links<Self>;
    fn links_mut(&mut self) -> &mut Links<Self>;
    /// The subtree's summary.
    fn summary(&self) -> Self::Summary;
    fn set_summary(&mut self, summary: Self::Summary);
    /// What the summary is to be, from the node itself and its children's.
    fn summarize(&self, left: Option<Self::Summary>, right: Option<Self::Summary>)
    -> Self::Summary;
}

/// The root.
pub(super) struct Tree<T> {
    root: Option<Id<T>>,
}

/// Where a node is, or belongs.
pub(super) struct Place<T> {
    path: Path<T>,
    /// Of the nodes above it, the last one before it and the first one after it. For a node that is not there yet:
    /// of all nodes.
    pub(super) previous: Option<Id<T>>,
    pub(super) next: Option<Id<T>>,
    next_depth: usize,
}

impl<T> Place<T> {
    /// The depth above which nodes need an update only if one below them changed.
    fn sure(&self) -> usize {
        match self.next {
            Some(_) => self.next_depth + 1,
            None => self.path.len(),
        }
    }
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

    /// Where a node with this key belongs. Its key must not be there yet.
    pub(super) fn place(&self, arena: &Arena<T>, key: u64) -> Place<T> {
        let place = self.walk(arena, key);
        debug_assert!(
            place
                .path
                .last()
                .is_none_or(|last| node(arena, *last).key() != key),
            "a key twice"
        );
        place
    }

    /// Puts a node in where [`place`](Self::place) said. The summary of the next node may have changed meanwhile.
    pub(super) fn insert(&mut self, arena: &mut Arena<T>, place: &Place<T>, id: Id<T>) {
        let new = node_mut(arena, id);
        *new.links_mut() = Links::new();
        new.set_summary(new.summarize(None, None));
        match place.path.last() {
            None => self.root = Some(id),
            Some(&parent) if place.next == Some(parent) => {
                set_child(arena, parent, Side::Left, Some(id));
            }
            Some(&parent) => set_child(arena, parent, Side::Right, Some(id)),
        }
        self.rebalance(arena, &place.path, place.sure());
    }

    /// Takes a node out. It must be there. The summary of the next node may have changed meanwhile.
    pub(super) fn remove(&mut self, arena: &mut Arena<T>, id: Id<T>) {
        let mut place = self.walk(arena, node(arena, id).key());
        debug_assert!(place.path.last() == Some(&id), "not in this tree");
        let sure = place.sure();
        let path = &mut place.path;
        let depth = path.len() - 1;
        let parent = depth.checked_sub(1).map(|above| path[above]);
        let (left, right) = children(arena, id);
        let (Some(left), Some(right)) = (left, right) else {
            self.replace(arena, parent, id, left.or(right));
            path.truncate(depth);
            let Some(right) = right else {
                return self.rebalance(arena, path, sure);
            };
            // The next node in order, alone on that side.
            push(path, right);
            return self.rebalance(arena, path, depth);
        };
        // The next node in order takes the place; it has no left child.
        let mut next = right;
        while let Some(lower) = node(arena, next).links().left {
            push(path, next);
            next = lower;
        }
        let rest = node(arena, next).links().right;
        if next == right {
            set_child(arena, next, Side::Right, rest);
        } else {
            let above = path[path.len() - 1];
            set_child(arena, above, Side::Left, rest);
            set_child(arena, next, Side::Right, Some(right));
        }
        set_child(arena, next, Side::Left, Some(left));
        path[depth] = next;
        self.replace(arena, parent, id, Some(next));
        // What this node says of itself is of where it was.
        self.rebalance(arena, path, depth);
    }

    /// Brings the summaries up to date after a node changed in place. Its key may have changed if the order
    /// did not.
    pub(super) fn refresh(&mut self, arena: &mut Arena<T>, id: Id<T>) {
        let Place { path, .. } = self.walk(arena, node(arena, id).key());
        debug_assert!(path.last() == Some(&id), "not in this tree");
        self.rebalance(arena, &path, path.len());
    }

    /// From the root to the node with this key, or to the one below which it belongs.
    #[inline(always)]
    fn walk(&self, arena: &Arena<T>, key: u64) -> Place<T> {
        let mut place = Place {
            path: Path::new(),
            previous: None,
            next: None,
            next_depth: 0,
        };
        let mut at = self.root;
        while let Some(id) = at {
            push(&mut place.path, id);
            let here = node(arena, id);
            if here.key() == key {
                break;
            }
            if key < here.key() {
                place.next = at;
                place.next_depth = place.path.len() - 1;
                at = here.links().left;
            } else {
                place.previous = at;
                at = here.links().right;
            }
        }
        place
    }

    /// Brings nodes up to date from below, until one above `sure` is as it was: then those above it are too.
    fn rebalance(&mut self, arena: &mut Arena<T>, path: &[Id<T>], sure: usize) {
        for (depth, &id) in path.iter().enumerate().rev() {
            let (top, changed) = balance(arena, id);
            if top != id {
                let parent = depth.checked_sub(1).map(|above| path[above]);
                self.replace(arena, parent, id, Some(top));
            } else if !changed && depth < sure {
                return;
            }
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
pub(super) fn push<T>(path: &mut Path<T>, id: Id<T>) {
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
    let of = |id| {
        let here = node(arena, id);
        (here.links().height, here.summary())
    };
    let (left, right) = (left.map(of), right.map(of));
    let low = left.map_or(0, |(height, _)| height);
    let high = right.map_or(0, |(height, _)| height);
    let here = node_mut(arena, id);
    let height = low.max(high) + 1;
    let summary = here.summarize(left.map(|left| left.1), right.map(|right| right.1));
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

#[cfg(test)]
mod tests {
    use super::{Links, Node, Tree, height, node};
    use arena::{Arena, Region};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    struct Item {
        key: u64,
        count: u32,
        links: Links<Self>,
    }

    impl Node for Item {
        type Summary = u32;
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
        fn summarize(&self, left: Option<u32>, right: Option<u32>) -> u32 {
            1 + left.unwrap_or(0) + right.unwrap_or(0)
        }
    }

    fn assert_balanced(arena: &Arena<Item>, at: Option<arena::Id<Item>>) -> u32 {
        let Some(id) = at else { return 0 };
        let links = node(arena, id).links();
        let count = 1 + assert_balanced(arena, links.left) + assert_balanced(arena, links.right);
        let (low, high) = (height(arena, links.left), height(arena, links.right));
        assert!(low.abs_diff(high) <= 1, "{low} beside {high}");
        assert_eq!(height(arena, at), 1 + low.max(high));
        assert_eq!(node(arena, id).count, count);
        count
    }

    proptest! {
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
                    tree.remove(&mut arena, id);
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
