//! A search tree whose nodes lie elsewhere: an AVL tree.
//!
//! The tree holds no memory: keys and links lie in the objects that it orders, and the caller's
//! [`Nodes`] reaches them by index. Its height is at most 1.44 log2 n whatever keys and indices a user
//! chooses; a tree balanced by chance would be as deep as whoever knows the chances wants it. All walks are loops.
//!
//! An entry of a name table has eight bytes for its links and no more, so they hold which subtree is the higher
//! one, too. Links to parents would need four more; a removal remembers its way instead.

use core::cmp::Ordering;

/// No node. An index is below it.
pub const NIL: u32 = HIGHER - 1;

/// Of a link: its subtree is higher than the other one, by one level.
const HIGHER: u32 = 1 << 31;

/// No AVL tree of 2^31 nodes is higher than 45.
const DEPTH: usize = 46;

/// A node on a way from the root, and where it goes on.
type Step = (u32, Side);

/// A way from the root.
type Path = heapless::Vec<Step, DEPTH>;

/// Links of one node, kept in the object that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Links {
    /// Smaller keys.
    left: u32,
    /// Larger keys.
    right: u32,
}

/// Which child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Left,
    Right,
}

impl Side {
    /// Where a key belongs, seen from another one.
    fn of<K: Ord>(key: &K, other: &K) -> Self {
        if key < other { Self::Left } else { Self::Right }
    }

    const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl Links {
    /// A node without children.
    pub const LEAF: Self = Self::new(NIL, NIL);

    /// Links for a list, of an object that is in no tree.
    pub const fn new(left: u32, right: u32) -> Self {
        Self { left, right }
    }

    /// The first link.
    pub const fn left(self) -> u32 {
        self.left & !HIGHER
    }

    /// The second link.
    pub const fn right(self) -> u32 {
        self.right & !HIGHER
    }

    const fn child(self, side: Side) -> u32 {
        match side {
            Side::Left => self.left(),
            Side::Right => self.right(),
        }
    }

    /// With another child; which subtree is higher stays.
    const fn with_child(self, side: Side, node: u32) -> Self {
        let Self { left, right } = self;
        match side {
            Side::Left => Self::new(left & HIGHER | node, right),
            Side::Right => Self::new(left, right & HIGHER | node),
        }
    }

    /// The higher subtree.
    const fn lean(self) -> Option<Side> {
        if self.left & HIGHER != 0 {
            Some(Side::Left)
        } else if self.right & HIGHER != 0 {
            Some(Side::Right)
        } else {
            None
        }
    }

    const fn leaning(self, lean: Option<Side>) -> Self {
        let (left, right) = (self.left(), self.right());
        match lean {
            None => Self::new(left, right),
            Some(Side::Left) => Self::new(left | HIGHER, right),
            Some(Side::Right) => Self::new(left, right | HIGHER),
        }
    }
}

/// Reaches keys and links by index.
pub trait Nodes {
    /// What orders the nodes. No two nodes of a tree have the same key.
    type Key: Ord + Copy;

    /// The key of a node.
    fn key(&self, node: u32) -> Self::Key;
    /// The links of a node.
    fn links(&self, node: u32) -> Links;
    /// Both, for nodes that take some steps to reach.
    fn key_and_links(&self, node: u32) -> (Self::Key, Links) {
        (self.key(node), self.links(node))
    }
    /// Changes the links of a node.
    fn set_links(&mut self, node: u32, links: Links);
}

/// The root of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tree {
    root: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree without nodes.
    pub const fn new() -> Self {
        Self { root: NIL }
    }

    /// Whether it has no nodes.
    pub fn is_empty(&self) -> bool {
        self.root == NIL
    }

    /// The node with this key.
    pub fn find<N: Nodes>(&self, nodes: &N, key: N::Key) -> Option<u32> {
        let mut node = self.root;
        while node != NIL {
            let (here, links) = nodes.key_and_links(node);
            node = match key.cmp(&here) {
                Ordering::Equal => return Some(node),
                Ordering::Less => links.left(),
                Ordering::Greater => links.right(),
            };
        }
        None
    }

    /// The node with the smallest key.
    pub fn first<N: Nodes>(&self, nodes: &N) -> Option<u32> {
        let mut node = self.root;
        let mut found = None;
        while node != NIL {
            found = Some(node);
            node = nodes.links(node).left();
        }
        found
    }

    /// The node with the smallest key that is not below `key`.
    pub fn ceiling<N: Nodes>(&self, nodes: &N, key: N::Key) -> Option<u32> {
        let (mut node, mut found) = (self.root, None);
        while node != NIL {
            let (here, links) = nodes.key_and_links(node);
            node = if here < key {
                links.right()
            } else {
                found = Some(node);
                links.left()
            };
        }
        found
    }

    /// Adds a node.
    pub fn insert<N: Nodes>(&mut self, nodes: &mut N, node: u32) {
        nodes.set_links(node, Links::LEAF);
        let key = nodes.key(node);
        // The lowest node on the way that leans, else the root: above it no height changes.
        let (mut above, mut top) = (None, None);
        let (mut slot, mut here) = (None, self.root);
        while here != NIL {
            let (other, links) = nodes.key_and_links(here);
            let step = Some((here, Side::of(&key, &other)));
            if top.is_none() || links.lean().is_some() {
                (above, top) = (slot, step);
            }
            (slot, here) = (step, step.map_or(NIL, |(_, side)| links.child(side)));
        }
        self.hang(nodes, slot, node);
        if let Some((top, side)) = top {
            let mut here = nodes.links(top).child(side);
            while here != node {
                let (other, even) = nodes.key_and_links(here);
                let side = Side::of(&key, &other);
                nodes.set_links(here, even.leaning(Some(side)));
                here = even.child(side);
            }
            self.grown(nodes, above, top, side);
        }
    }

    /// The subtree at one side of `top`, which hangs at `above`, is one level higher now.
    fn grown<N: Nodes>(&mut self, nodes: &mut N, above: Option<Step>, top: u32, side: Side) {
        let links = nodes.links(top);
        match links.lean() {
            None => nodes.set_links(top, links.leaning(Some(side))),
            Some(lean) if lean != side => nodes.set_links(top, links.leaning(None)),
            Some(_) => {
                let (root, _) = rotate(nodes, top, side);
                self.hang(nodes, above, root);
            }
        }
    }

    /// Takes the node with this key out.
    pub fn remove<N: Nodes>(&mut self, nodes: &mut N, key: N::Key) -> Option<u32> {
        let mut path = Path::new();
        let mut gone = self.root;
        let links = loop {
            if gone == NIL {
                return None;
            }
            let (other, links) = nodes.key_and_links(gone);
            if key == other {
                break links;
            }
            let side = Side::of(&key, &other);
            push(&mut path, (gone, side));
            gone = links.child(side);
        };
        match (links.left(), links.right()) {
            (NIL, rest) | (rest, NIL) => self.hang(nodes, path.last().copied(), rest),
            (_, right) => self.replace(nodes, &mut path, links, right),
        }
        nodes.set_links(gone, Links::LEAF);
        while let Some((node, side)) = path.pop() {
            let links = nodes.links(node);
            match links.lean() {
                None => {
                    nodes.set_links(node, links.leaning(Some(side.other())));
                    break;
                }
                Some(lean) if lean == side => nodes.set_links(node, links.leaning(None)),
                Some(_) => {
                    let (root, lower) = rotate(nodes, node, side.other());
                    self.hang(nodes, path.last().copied(), root);
                    if !lower {
                        break;
                    }
                }
            }
        }
        Some(gone)
    }

    /// Puts the smallest node of the subtree `right` where a node with `links`, at the end of the path, was.
    /// The path ends where that smallest node was, then.
    fn replace<N: Nodes>(&mut self, nodes: &mut N, path: &mut Path, links: Links, right: u32) {
        let above = path.last().copied();
        let place = path.len();
        push(path, (NIL, Side::Right));
        let (mut next, mut next_links) = (right, nodes.links(right));
        while next_links.left() != NIL {
            push(path, (next, Side::Left));
            next = next_links.left();
            next_links = nodes.links(next);
        }
        if let Some(place) = path.get_mut(place) {
            place.0 = next;
        }
        nodes.set_links(next, links);
        self.hang(nodes, above, next);
        self.hang(nodes, path.last().copied(), next_links.right());
    }

    /// Makes a node a child, or the root.
    fn hang<N: Nodes>(&mut self, nodes: &mut N, slot: Option<Step>, node: u32) {
        match slot {
            None => self.root = node,
            Some((parent, side)) => {
                let links = nodes.links(parent).with_child(side, node);
                nodes.set_links(parent, links);
            }
        }
    }
}

/// Lifts the subtree at one side of `top`, which is two levels higher than the other: the new root, and whether all is one level lower
/// than it was.
fn rotate<N: Nodes>(nodes: &mut N, top: u32, side: Side) -> (u32, bool) {
    let other = side.other();
    let links = nodes.links(top);
    let child = links.child(side);
    let below = nodes.links(child);
    if below.lean() != Some(other) {
        // An even child: only after a removal.
        let even = below.lean().is_none();
        let lean = |side| even.then_some(side);
        let lowered = links.with_child(side, below.child(other));
        nodes.set_links(top, lowered.leaning(lean(side)));
        let lifted = below.with_child(other, top);
        nodes.set_links(child, lifted.leaning(lean(other)));
        return (child, !even);
    }
    let middle = below.child(other);
    let inner = nodes.links(middle);
    let lean = |from, to| (inner.lean() == Some(from)).then_some(to);
    let lowered = links.with_child(side, inner.child(other));
    nodes.set_links(top, lowered.leaning(lean(side, other)));
    let lowered = below.with_child(other, inner.child(side));
    nodes.set_links(child, lowered.leaning(lean(other, side)));
    let lifted = inner.with_child(side, child).with_child(other, top);
    nodes.set_links(middle, lifted.leaning(None));
    (middle, true)
}

fn push(path: &mut Path, step: Step) {
    assert!(path.push(step).is_ok(), "a tree is too high");
}

#[cfg(test)]
mod tests {
    use super::{Links, NIL, Nodes, Side, Tree};
    use core::cmp::Ordering;
    use proptest::prelude::{Just, Strategy, any, proptest};
    use std::collections::BTreeMap;
    use std::vec::Vec;

    struct Table(Vec<(u16, Links)>);

    impl Nodes for Table {
        type Key = u16;
        fn key(&self, node: u32) -> u16 {
            self.0[node as usize].0
        }
        fn links(&self, node: u32) -> Links {
            self.0[node as usize].1
        }
        fn set_links(&mut self, node: u32, links: Links) {
            self.0[node as usize].1 = links;
        }
    }

    /// The height of a subtree, whose heights differ as its links say.
    fn height(table: &Table, node: u32) -> usize {
        if node == NIL {
            return 0;
        }
        let links = table.links(node);
        let (left, right) = (height(table, links.left()), height(table, links.right()));
        let lean = match left.cmp(&right) {
            Ordering::Less => Some(Side::Right),
            Ordering::Equal => None,
            Ordering::Greater => Some(Side::Left),
        };
        assert!(
            left.abs_diff(right) <= 1 && links.lean() == lean,
            "{left} and {right} below {links:?}"
        );
        left.max(right) + 1
    }

    #[test]
    fn no_order_of_keys_and_indices_makes_a_tree_deep() {
        const NODES: u16 = 10_000;
        let ascending = (0..NODES).collect();
        let descending = (0..NODES).rev().collect();
        let from_both_ends = (0..NODES / 2).flat_map(|n| [n, NODES - 1 - n]).collect();
        for keys in [ascending, descending, from_both_ends] as [Vec<u16>; 3] {
            let mut table = Table(keys.iter().map(|key| (*key, Links::LEAF)).collect());
            let mut tree = Tree::new();
            for node in 0..u32::from(NODES) {
                tree.insert(&mut table, node);
            }
            // 1.44 log2 10,000 = 19.1.
            assert!(height(&table, tree.root) <= 19);
            // What is left of it is balanced as well.
            for key in (0..NODES).filter(|key| key % 16 != 0) {
                assert!(tree.remove(&mut table, key).is_some());
            }
            assert!(height(&table, tree.root) <= 13);
        }
    }

    proptest! {
        #[test]
        fn a_tree_holds_what_a_map_holds(steps in Just(()).prop_flat_map(|()| {
            proptest::collection::vec((any::<bool>(), 0_u16..40), 0..300)
        })) {
            let mut table = Table(Vec::new());
            let mut tree = Tree::new();
            let mut map = BTreeMap::new();
            for (insert, key) in steps {
                if insert && !map.contains_key(&key) {
                    let node = table.0.len() as u32;
                    table.0.push((key, Links::LEAF));
                    tree.insert(&mut table, node);
                    map.insert(key, node);
                } else if !insert {
                    assert_eq!(tree.remove(&mut table, key), map.remove(&key));
                }
                height(&table, tree.root);
                assert_eq!(tree.first(&table), map.values().next().copied());
                for key in 0..40 {
                    assert_eq!(tree.find(&table, key), map.get(&key).copied());
                    let above = map.range(key..).next().map(|(_, node)| *node);
                    assert_eq!(tree.ceiling(&table, key), above);
                }
            }
        }
    }
}
