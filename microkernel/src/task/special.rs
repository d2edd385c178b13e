//! Ports that are kept for a task: special ones, and those that it registered.
//!
//! Invariant: each holds one send right.

use abi::kern_return::KernReturn;
use abi::task::special;

use super::{Task, Tasks};
use crate::base::KernResult;
use crate::base::ids::{PortId, TaskId};
use crate::ipc::Ipc;
use crate::ipc::right::Right;

/// How many there are: three special ones, then the registered.
const PLACES: usize = 3 + special::REGISTERED as usize;

/// Where one of them is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(usize);

impl Place {
    /// The task's own port.
    pub const KERNEL: Self = Self(0);
    /// The host's.
    pub const HOST: Self = Self(1);

    /// The place of a special port.
    ///
    /// # Errors
    /// `InvalidArgument`: no port has that number · `NotSupported`: rights to a task that are less than its control port.
    pub fn special(which: u32) -> KernResult<Self> {
        match which {
            special::KERNEL => Ok(Self::KERNEL),
            special::HOST => Ok(Self::HOST),
            special::BOOTSTRAP => Ok(Self(2)),
            special::NAME | special::INSPECT | special::READ => Err(KernReturn::NotSupported),
            _ => Err(KernReturn::InvalidArgument),
        }
    }

    /// The place of a registered port.
    ///
    /// # Errors
    /// `InvalidArgument`: there are not so many.
    pub fn registered(index: u32) -> KernResult<Self> {
        if index < special::REGISTERED {
            Ok(Self(3 + index as usize))
        } else {
            Err(KernReturn::InvalidArgument)
        }
    }
}

/// The ports of one task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Specials([Option<PortId>; PLACES]);

impl Specials {
    /// How many of them are this port.
    pub(super) fn count(&self, port: PortId) -> u32 {
        self.0.iter().filter(|held| **held == Some(port)).count() as u32
    }
}

impl Task {
    /// The port that is kept in a place, or what a task has there at first.
    pub fn special(&self, ipc: &Ipc, place: Place) -> Option<PortId> {
        let set = self.specials.0.get(place.0).copied().flatten();
        let at_first = match place {
            Place::KERNEL => Some(self.port),
            Place::HOST => ipc.host_port,
            _ => None,
        };
        let port = set.or(at_first)?;
        ipc.ports.get(port).map(|_| port)
    }

    /// The ports that are kept, a send right each.
    pub fn kept(&self) -> impl Iterator<Item = PortId> + '_ {
        self.specials.0.iter().copied().flatten()
    }

    /// Keeps a port, or none; it gets a send right for that.
    pub fn set_special(&mut self, ipc: &mut Ipc, place: Place, port: Option<PortId>) {
        let Some(held) = self.specials.0.get_mut(place.0) else {
            return;
        };
        if let Some(port) = port {
            ipc.add_send(port);
        }
        if let Some(old) = core::mem::replace(held, port) {
            ipc.release(Right::Send(old));
        }
    }

    /// Releases all of them.
    pub(super) fn end_specials(&mut self, ipc: &mut Ipc) {
        for place in 0..PLACES {
            self.set_special(ipc, Place(place), None);
        }
    }
}

impl Tasks {
    /// A child gets the ports of its parent, but for the own port.
    pub fn inherit_specials(&mut self, ipc: &mut Ipc, (parent, child): (TaskId, TaskId)) {
        let specials = self.arena.get(parent).map(|task| task.specials);
        let (Some(specials), Some(child)) = (specials, self.arena.get_mut(child)) else {
            return;
        };
        for (place, port) in specials.0.into_iter().enumerate().skip(1) {
            let port = port.filter(|port| ipc.ports.get(*port).is_some());
            child.set_special(ipc, Place(place), port);
        }
    }
}
