//! Subsets of the name service, and their ports.
//!
//! The objects behind the ports are the serving loop's; here is who may have them, and when they end.

use alloc::vec::Vec;

use abi::kern_return::KernReturn;
use abi::names::Name;
use interfaces::bootstrap::{Bootstrap, refusal};
use libmach::{Result, SendRight, abi};

use super::{Hub, SUPERVISOR};
use crate::launch::Launcher;
use crate::registry::{Face, Space, arm_death};

impl<L: Launcher> Hub<L> {
    /// Makes a subset of `space` for the task with this identity token, until `requestor` dies.
    ///
    /// # Errors
    /// `NO_MEMORY` when there are too many; `InvalidCapability` for a dead port;
    /// `InvalidArgument` for a subset's.
    pub fn subset(&mut self, space: Space, maker: u64, requestor: SendRight) -> Result<Space> {
        if self.registry.spaces.has(requestor.name()) {
            return Err(KernReturn::InvalidArgument.into());
        }
        let watched = requestor.duplicate();
        let subset = self.registry.spaces.add(space, maker, requestor)?;
        let armed = watched.and_then(|port| arm_death(&port, self.ports.notify));
        if armed.is_err() {
            self.registry.end(subset);
            return Err(KernReturn::InvalidCapability.into());
        }
        Ok(subset)
    }

    /// The namespace that `space` is a subset of; the root's is itself.
    ///
    /// # Errors
    /// `NOT_PRIVILEGED` unless the caller's manifest names the supervisor: a subset holds in it whom
    /// it was made for.
    pub fn parent(&mut self, identity: u64, space: Space) -> Result<Space> {
        if !self.is_named(identity, SUPERVISOR) {
            return Err(refusal::NOT_PRIVILEGED.into());
        }
        Ok(self.registry.spaces.parent(space).unwrap_or(Space::ROOT))
    }

    /// The root's port.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn root(&self) -> Result<SendRight<dyn Bootstrap>> {
        self.ports.bootstrap.duplicate()
    }

    /// The port of a namespace's face, if it has one.
    pub fn port_of(&self, space: Space, face: Face) -> Option<Name> {
        self.registry.spaces.port(space, face)
    }

    /// A face has a port from now on.
    pub fn opened(&mut self, space: Space, face: Face, port: Name) {
        self.registry.spaces.opened(space, face, port);
    }

    /// A face's port has ended, and with its full one a subset; the other ports that end with it.
    pub fn closed(&mut self, space: Space, face: Face) -> Vec<Name> {
        self.registry.spaces.closed(space, face);
        match face {
            Face::Full => self.registry.end(space),
            Face::Unprivileged => Vec::new(),
        }
    }

    /// Ends the subsets whose requestor died; their ports.
    pub(super) fn requestor_died(&mut self, port: Name) -> Vec<Name> {
        let spaces = self.registry.spaces.of_requestor(port);
        let ended = spaces.into_iter().map(|space| self.registry.end(space));
        ended.flatten().collect()
    }
}
