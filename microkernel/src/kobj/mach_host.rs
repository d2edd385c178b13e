//! Mach's calls to a host.

use abi::clock::{CALENDAR_CHANGED, change};
use abi::kern_return::KernReturn;
use abi::transport::Result;
use interfaces::mach_host::MachHost;

use super::host::HostObject;
use super::transport::{Held, KernelRights};
use crate::ipc::alarm::{Clock, Hand, Told};
use crate::machine::Machine;

impl<M: Machine> HostObject<'_, '_, M> {
    fn clock(&mut self, which: u32, hand: Hand) -> Result<Held> {
        let port = self
            .core
            .layers
            .ipc
            .clocks
            .port(Clock::decode(which)?, hand);
        Ok(self.core.give(port.ok_or(KernReturn::Failure)?))
    }
}

impl<M: Machine> MachHost for HostObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn clock_service(&mut self, which: u32) -> Result<Held> {
        self.clock(which, Hand::Ask)
    }

    async fn clock_control(&mut self, which: u32) -> Result<Held> {
        self.privileged()?;
        self.clock(which, Hand::Set)
    }

    async fn request_notification(&mut self, change: u32, port: Held) -> Result<()> {
        let id = match change {
            change::CALENDAR_CHANGED => CALENDAR_CHANGED,
            change::CALENDAR_SET => CALENDAR_CHANGED + 1,
            _ => return Err(KernReturn::InvalidArgument.into()),
        };
        Ok(self.core.add_alarm((Told::Calendar(id), 0), port)?)
    }
}
