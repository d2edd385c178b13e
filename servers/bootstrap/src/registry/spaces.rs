//! Namespaces: the root, and subsets below it (MACH.md B-04).
//!
//! Invariants: a subset has a live parent, so that the way up always ends at the root; a subset's end
//! is the end of all below it. A namespace has at most one port of each face. No send right to those
//! ports is kept: nobody's holding one is what ends a subset.

use alloc::vec::Vec;
use core::iter::successors;

use abi::names::Name;
use interfaces::bootstrap::refusal;
use libmach::{Result, SendRight, abi};

/// The most subsets that one task may have made; beyond it is `NO_MEMORY`.
pub const MAX_SUBSETS_OF_TASK: usize = 16;
/// The most subsets of all tasks, for the same refusal.
pub const MAX_SUBSETS: usize = 256;

/// A namespace. Its number is never used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space(u64);

impl Space {
    /// Where manifests declare services.
    pub const ROOT: Self = Self(0);
}

/// What a port lets its holder do in a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    /// Everything that the caller may do.
    Full,
    /// Look up only.
    Unprivileged,
}

#[derive(Debug)]
struct Subset {
    space: Space,
    parent: Space,
    /// Identity token of the task that made it.
    maker: u64,
    /// The port that it ends with.
    requestor: SendRight,
}

/// All subsets, and the ports of all namespaces.
#[derive(Debug, Default)]
pub struct Spaces {
    last: u64,
    subsets: Vec<Subset>,
    ports: Vec<(Space, Face, Name)>,
}

impl Spaces {
    /// Makes a subset of `parent` that lives no longer than the port `requestor`.
    ///
    /// # Errors
    /// `NO_MEMORY` beyond [`MAX_SUBSETS_OF_TASK`] of `maker`'s, or [`MAX_SUBSETS`].
    pub fn add(&mut self, parent: Space, maker: u64, requestor: SendRight) -> Result<Space> {
        let own = self.subsets.iter().filter(|subset| subset.maker == maker);
        if own.count() >= MAX_SUBSETS_OF_TASK || self.subsets.len() >= MAX_SUBSETS {
            return Err(refusal::NO_MEMORY.into());
        }
        self.last += 1;
        let space = Space(self.last);
        self.subsets.push(Subset {
            space,
            parent,
            maker,
            requestor,
        });
        Ok(space)
    }

    /// What `space` is a subset of; the root of nothing.
    pub fn parent(&self, space: Space) -> Option<Space> {
        let mut all = self.subsets.iter();
        all.find(|s| s.space == space).map(|s| s.parent)
    }

    /// `space` and all above it, the root last.
    pub fn path(&self, space: Space) -> impl Iterator<Item = Space> {
        successors(Some(space), |space| self.parent(*space))
    }

    /// The port of a namespace's face, if it has one.
    pub fn port(&self, space: Space, face: Face) -> Option<Name> {
        let mut all = self.ports.iter();
        let found = all.find(|entry| (entry.0, entry.1) == (space, face));
        found.map(|entry| entry.2)
    }

    /// Whether the port is a namespace's. To keep a right to it would keep a subset that nobody can
    /// reach.
    pub fn has(&self, port: Name) -> bool {
        self.ports.iter().any(|entry| entry.2 == port)
    }

    /// The face has this port from now on.
    pub fn opened(&mut self, space: Space, face: Face, port: Name) {
        self.ports.push((space, face, port));
    }

    /// The face's port has ended.
    pub fn closed(&mut self, space: Space, face: Face) {
        self.ports
            .retain(|entry| (entry.0, entry.1) != (space, face));
    }

    /// The subsets that live no longer than the port known as `requestor`.
    pub fn of_requestor(&self, requestor: Name) -> Vec<Space> {
        let all = self.subsets.iter();
        let theirs = all.filter(|s| s.requestor.name() == requestor);
        theirs.map(|s| s.space).collect()
    }

    /// Ends a subset and all below it; the namespaces that ended, and their ports.
    pub fn end(&mut self, space: Space) -> (Vec<Space>, Vec<Name>) {
        let all = self.subsets.iter().map(|subset| subset.space);
        let below = |subset: &Space| self.path(*subset).any(|up| up == space);
        let ended: Vec<Space> = all.filter(below).collect();
        let mut ports = Vec::new();
        self.ports.retain(|(of, _, port)| {
            let ends = ended.contains(of);
            if ends {
                ports.push(*port);
            }
            !ends
        });
        self.subsets.retain(|s| !ended.contains(&s.space));
        (ended, ports)
    }
}
