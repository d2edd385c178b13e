//! Guards: a number that the owner of a receive right chooses, without which the right is not destroyed, and
//! if it is strict not moved either (P-19). What asks with another number changes nothing.
//!
//! Deliberately absent: `EXC_GUARD`. The code says whose fault it is; a task is not stopped for it.

use abi::kern_return::KernReturn;
use abi::names::Name;

use super::Ipc;
use super::port::Guard;
use crate::base::KernResult;
use crate::base::ids::{PortId, SpaceId};

impl Ipc {
    /// `mach_port_guard`.
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: the port has a guard.
    pub fn guard(&mut self, space: SpaceId, name: Name, guard: Guard) -> KernResult<()> {
        let held = self.guard_of(space, name)?;
        if held.is_some() {
            return Err(KernReturn::InvalidArgument);
        }
        *held = Some(guard);
        Ok(())
    }

    /// `mach_port_unguard`.
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: the port has another guard, or none.
    pub fn unguard(&mut self, space: SpaceId, name: Name, value: u64) -> KernResult<()> {
        let held = self.guard_of(space, name)?;
        held.take_if(|held| held.value == value)
            .map(|_| ())
            .ok_or(KernReturn::InvalidArgument)
    }

    /// `mach_port_swap_guard`: it stays as strict as it was.
    ///
    /// # Errors
    /// As [`unguard`](Self::unguard).
    pub fn swap_guard(&mut self, space: SpaceId, name: Name, old: u64, new: u64) -> KernResult<()> {
        match self.guard_of(space, name)? {
            Some(held) if held.value == old => {
                held.value = new;
                Ok(())
            }
            _ => Err(KernReturn::InvalidArgument),
        }
    }

    fn guard_of(&mut self, space: SpaceId, name: Name) -> KernResult<&mut Option<Guard>> {
        let id = self.receive_right(space, name)?;
        let port = self.ports.get_mut(id).ok_or(KernReturn::InvalidRight)?;
        Ok(&mut port.guard)
    }

    /// Whether a name is a receive right with a guard.
    pub(super) fn is_guarded(&mut self, space: SpaceId, name: Name) -> bool {
        self.guard_of(space, name)
            .is_ok_and(|guard| guard.is_some())
    }

    /// Whether the receive right to a port stays where it is.
    pub(super) fn is_strictly_guarded(&self, port: Option<PortId>) -> bool {
        let guard = self.ports.find(port).and_then(|port| port.guard);
        guard.is_some_and(|guard| guard.strict)
    }
}
