//! A search tree whose nodes lie elsewhere: a treap.
//!
//! The tree holds no memory: keys and links lie in the objects that it orders, and the caller's
//! [`Nodes`] reaches them by index. Balance comes from priorities that [`Nodes::weight`] scatters, so
//! nothing is stored for it. All walks are loops; their expected length is logarithmic.

/// No node.
pub const NIL: u32 = u32::MAX;

/// Links of one node, kept in the object that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Links {
    /// Subtree of smaller keys.
    pub left: u32,
    /// Subtree of larger keys.
    pub right: u32,
}

impl Links {
    /// A node without children.
    pub const LEAF: Self = Self {
        left: NIL,
        right: NIL,
    };
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

    /// A node's weight: heavier nodes lie above lighter ones. Must not change while it is in a tree.
    fn weight(&self, node: u32) -> u64 {
        scatter(node.into())
    }
}

/// Spreads a number over 64 bits (the finaliser of `SplitMix64`).
pub fn scatter(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// Which link of which node (or the root) is to be written next.
#[derive(Clone, Copy)]
enum Slot {
    Root,
    Left(u32),
    Right(u32),
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
                core::cmp::Ordering::Equal => return Some(node),
                core::cmp::Ordering::Less => links.left,
                core::cmp::Ordering::Greater => links.right,
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
            node = nodes.links(node).left;
        }
        found
    }

    /// The node with the smallest key that is not below `key`.
    pub fn ceiling<N: Nodes>(&self, nodes: &N, key: N::Key) -> Option<u32> {
        let (mut node, mut found) = (self.root, None);
        while node != NIL {
            let (here, links) = nodes.key_and_links(node);
            node = if here < key {
                links.right
            } else {
                found = Some(node);
                links.left
            };
        }
        found
    }

    /// Adds a node.
    pub fn insert<N: Nodes>(&mut self, nodes: &mut N, node: u32) {
        let (key, weight) = (nodes.key(node), nodes.weight(node));
        let (mut slot, mut here) = (Slot::Root, self.root);
        while here != NIL && nodes.weight(here) >= weight {
            let (other, links) = nodes.key_and_links(here);
            (slot, here) = if key < other {
                (Slot::Left(here), links.left)
            } else {
                (Slot::Right(here), links.right)
            };
        }
        self.write(nodes, slot, node);
        self.split(nodes, here, key, node);
    }

    /// Takes the node with this key out.
    pub fn remove<N: Nodes>(&mut self, nodes: &mut N, key: N::Key) -> Option<u32> {
        let (mut slot, mut here) = (Slot::Root, self.root);
        let Links { left, right } = loop {
            if here == NIL {
                return None;
            }
            let (other, links) = nodes.key_and_links(here);
            (slot, here) = match key.cmp(&other) {
                core::cmp::Ordering::Equal => break links,
                core::cmp::Ordering::Less => (Slot::Left(here), links.left),
                core::cmp::Ordering::Greater => (Slot::Right(here), links.right),
            };
        };
        nodes.set_links(here, Links::LEAF);
        self.merge(nodes, slot, left, right);
        Some(here)
    }

    /// Hangs the nodes of the subtree `from` under `node`: smaller keys left, larger ones right.
    fn split<N: Nodes>(&mut self, nodes: &mut N, from: u32, key: N::Key, node: u32) {
        nodes.set_links(node, Links::LEAF);
        let (mut smaller, mut larger) = (Slot::Left(node), Slot::Right(node));
        let mut here = from;
        while here != NIL {
            let (other, links) = nodes.key_and_links(here);
            if other < key {
                self.write(nodes, smaller, here);
                smaller = Slot::Right(here);
                here = links.right;
            } else {
                self.write(nodes, larger, here);
                larger = Slot::Left(here);
                here = links.left;
            }
        }
        self.write(nodes, smaller, NIL);
        self.write(nodes, larger, NIL);
    }

    /// Puts two subtrees, all keys of the first below all of the second, where one node was.
    fn merge<N: Nodes>(&mut self, nodes: &mut N, slot: Slot, left: u32, right: u32) {
        let (mut slot, mut left, mut right) = (slot, left, right);
        loop {
            let rest = match (left, right) {
                (NIL, rest) | (rest, NIL) => rest,
                _ if nodes.weight(left) >= nodes.weight(right) => {
                    self.write(nodes, slot, left);
                    slot = Slot::Right(left);
                    left = nodes.links(left).right;
                    continue;
                }
                _ => {
                    self.write(nodes, slot, right);
                    slot = Slot::Left(right);
                    right = nodes.links(right).left;
                    continue;
                }
            };
            return self.write(nodes, slot, rest);
        }
    }

    fn write<N: Nodes>(&mut self, nodes: &mut N, slot: Slot, node: u32) {
        match slot {
            Slot::Root => self.root = node,
            Slot::Left(parent) => {
                let links = nodes.links(parent);
                nodes.set_links(
                    parent,
                    Links {
                        left: node,
                        ..links
                    },
                );
            }
            Slot::Right(parent) => {
                let links = nodes.links(parent);
                nodes.set_links(
                    parent,
                    Links {
                        right: node,
                        ..links
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Links, Nodes, Tree};
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
