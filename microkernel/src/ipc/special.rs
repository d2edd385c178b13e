//! The host's special ports: a few of the kernel's own, and places for those of servers (H-02).

use abi::host::special;
use abi::kern_return::KernReturn;

use super::Ipc;
use super::right::Right;
use crate::base::KernResult;
use crate::base::ids::PortId;

/// Numbers from 0 on; the first one is none.
const COUNT: usize = special::LAST as usize + 1;

/// A send right each, or nothing.
pub struct Specials([Option<PortId>; COUNT]);

impl Specials {
    pub(super) const fn new() -> Self {
        Self([None; COUNT])
    }

    /// Sets one of the kernel's own ports, which are there for ever.
    pub fn set_own(&mut self, which: u32, port: PortId) {
        if let Some(place) = self.0.get_mut(which as usize) {
            *place = Some(port);
        }
    }

    /// The ports to which it has send rights: all but the kernel's own.
    pub(super) fn held(&self) -> impl Iterator<Item = PortId> + '_ {
        let first = special::LAST_OF_KERNEL as usize + 1;
        self.0.iter().skip(first).copied().flatten()
    }
}

impl Ipc {
    /// A send right to a special port.
    ///
    /// # Errors
    /// `InvalidArgument`: there is none of that number · `Failure`: nobody set it, or its port died.
    pub fn special_port(&mut self, which: u32) -> KernResult<Right> {
        let place = self.specials.0.get(which as usize);
        let port = *place
            .filter(|_| which > 0)
            .ok_or(KernReturn::InvalidArgument)?;
        let port = port.filter(|port| self.ports.get(*port).is_some());
        Ok(self.make_send(port.ok_or(KernReturn::Failure)?))
    }

    /// Sets a special port to a send right; the one before ends.
    ///
    /// # Errors
    /// The right, and `InvalidArgument`: there is none of that number, or it is the kernel's ·
    /// `InvalidCapability`: the right is no send right, or dead.
    pub fn set_special_port(
        &mut self,
        which: u32,
        right: Right,
    ) -> Result<(), (Right, KernReturn)> {
        if which <= special::LAST_OF_KERNEL || which > special::LAST {
            return Err((right, KernReturn::InvalidArgument));
        }
        let Right::Send(port) = right else {
            return Err((right, KernReturn::InvalidCapability));
        };
        if let Some(old) = self.specials.0[which as usize].replace(port) {
            self.release(Right::Send(old));
        }
        Ok(())
    }
}
