//! Mach's calls to a host that [`crate::host`] does not have: clocks, and notice of what changes.
//!
//! They go to the same ports.

use macros::interface;

use crate::clock::{Clock, HostNotify};

/// Operations on a host.
#[interface(name = "org.mello.mach-host", subsystem = 400)]
pub trait MachHost {
    /// `host_get_clock_service`: a clock (`abi::clock::which`), to be asked. `InvalidArgument`: there is no such one.
    async fn clock_service(&mut self, which: u32) -> Result<SendRight<dyn Clock>>;
    /// `host_get_clock_control`: a clock, to be set as well. Privileged.
    async fn clock_control(&mut self, which: u32) -> Result<SendRight<dyn Clock>>;
    /// `host_request_notification`: one message when something changes (`abi::clock::change`).
    ///
    /// `InvalidArgument`: there is no such change. `ResourceShortage`: it counts as a message of the caller's until it
    /// is received.
    async fn request_notification(
        &mut self,
        change: u32,
        port: SendOnce<dyn HostNotify>,
    ) -> Result<()>;
}
