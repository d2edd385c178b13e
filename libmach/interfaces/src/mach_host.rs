//! Mach's calls to a host that [`crate::host`] does not have: clocks, processors, and what it tells by flavors.
//!
//! They go to the same ports.

use macros::interface;

use crate::bounded::{List, Text};
use crate::clock::{Clock, HostNotify};
use crate::processor::{Processor, ProcessorSet};

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
    /// `host_info`, by a flavor of `abi::host::info`, as Mach lays it out in words of 32 bits; `count` is how many words
    /// the caller has room for.
    ///
    /// `InvalidArgument`: no such flavor. `Failure`: it has more words. So it is with the next three.
    async fn info(&self, flavor: u32, count: u32) -> Result<List<u32, 12>>;
    /// `host_statistics64`, by a flavor of `abi::host::statistics`.
    async fn statistics(&mut self, flavor: u32, count: u32) -> Result<List<u32, 40>>;
    /// `host_processor_info`: how many processors there are, and of each in turn what [`Processor::info`] tells.
    async fn processor_info(&mut self, flavor: u32) -> Result<(u32, List<u32, 128>)>;
    /// `host_page_size`.
    async fn page_size(&self) -> Result<u64>;
    /// `host_kernel_version`.
    async fn kernel_version(&self) -> Result<Text<48>>;
    /// `host_processors`. Privileged.
    async fn processors(&mut self) -> Result<SendRights<dyn Processor>>;
    /// `processor_set_default`: the one set there is, to be asked.
    async fn processor_set_default(&mut self) -> Result<SendRight<dyn ProcessorSet>>;
    /// `host_processor_sets`: all sets, to be asked. Privileged.
    async fn processor_sets(&mut self) -> Result<SendRights<dyn ProcessorSet>>;
    /// `host_processor_set_priv`: of the right to ask a set, the right to steer it. Privileged.
    ///
    /// `InvalidArgument`: it is no set.
    async fn processor_set_control(
        &mut self,
        set: SendRight<dyn ProcessorSet>,
    ) -> Result<SendRight<dyn ProcessorSet>>;
}
