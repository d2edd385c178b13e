//! Mach's calls to a host.

use abi::PAGE_SIZE;
use abi::clock::{CALENDAR_CHANGED, change};
use abi::host::{info, statistics};
use abi::kern_return::KernReturn;
use abi::task::{DEFAULT_PRIORITY, MAX_PRIORITY};
use abi::transport::Result;
use interfaces::bounded::{List, Text};
use interfaces::mach_host::MachHost;

use super::host::{HostObject, version};
use super::listing;
use super::processor::{halves, words};
use super::transport::{Held, KernelRights, Series};
use crate::ipc::alarm::{Clock, Hand, Told};
use crate::ipc::port::Object;
use crate::machine::{Cpu, MAX_CPUS, Machine};
use crate::sched::SLICE;

/// Nanoseconds in a millisecond.
const MS: u64 = 1_000_000;

impl<M: Machine> HostObject<'_, '_, M> {
    fn clock(&mut self, which: u32, hand: Hand) -> Result<Held> {
        let clocks = &self.core.layers.ipc.clocks;
        let port = clocks.port(Clock::decode(which)?, hand);
        Ok(self.core.give(port.ok_or(KernReturn::Failure)?))
    }

    fn basic(&self) -> [u32; info::BASIC_COUNT as usize] {
        let cpus = self.core.processors();
        let bytes = self.core.memory.saturating_mul(PAGE_SIZE);
        let [low, high] = halves(bytes);
        let short = u32::try_from(bytes).unwrap_or(u32::MAX);
        let most = MAX_CPUS as u32;
        [
            most,
            cpus,
            short,
            info::CPU_TYPE,
            info::CPU_SUBTYPE,
            0,
            cpus,
            most,
            cpus,
            most,
            low,
            high,
        ]
    }

    /// Pages, and counts since boot.
    fn memory(&self) -> heapless::Vec<u32, { statistics::VM64_COUNT as usize }> {
        let (layers, counters) = (&self.core.layers, &*self.core.counters);
        let (free, kernel) = (
            layers.cx.machine.free_pages(),
            layers.cx.machine.kept_pages(),
        );
        let used = self.core.memory.saturating_sub(free + kernel);
        let (lookups, hits) = layers.cx.vm.cache_counts();
        let small = |pages| u32::try_from(pages).unwrap_or(u32::MAX);
        let counts = [
            counters.zero_filled,
            layers.cx.vm.reactivated(),
            counters.paged_in,
            layers.ipc.paged_out,
            counters.faults,
            counters.copied,
            lookups,
            hits,
            0,
        ];
        let pages = [small(free), small(used), 0, small(kernel)];
        let counts = counts.into_iter().flat_map(halves);
        pages.into_iter().chain(counts).chain([0, 0]).collect()
    }

    /// All processors' ticks together.
    fn all_ticks(&mut self) -> [u32; 4] {
        let now = self.core.layers.cx.machine.now();
        let mut all = [0_u32; 4];
        for cpu in (0..self.core.processors()).map(Cpu) {
            for (sum, ticks) in all.iter_mut().zip(self.core.ticks(cpu, now)) {
                *sum = sum.wrapping_add(ticks);
            }
        }
        all
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

    async fn info(&self, flavor: u32, count: u32) -> Result<List<u32, 12>> {
        let short = KernReturn::Failure;
        match flavor {
            info::BASIC => words(&self.basic(), count, short),
            info::SCHED => {
                // Timers are set to the nanosecond: the shortest sleep is none.
                words(&[0, (SLICE / MS) as u32], count, short)
            }
            info::PRIORITY => {
                let [most, usual] = [MAX_PRIORITY, DEFAULT_PRIORITY].map(u32::from);
                // The kernel has no threads of its own; who gives way has the least there is, as has an idle CPU.
                let told = [most, most, usual, usual, 0, 0, 0, most];
                words(&told, count, short)
            }
            _ => Err(KernReturn::InvalidArgument.into()),
        }
    }

    async fn statistics(&mut self, flavor: u32, count: u32) -> Result<List<u32, 40>> {
        let short = KernReturn::Failure;
        match flavor {
            statistics::LOAD => {
                let cx = &mut self.core.layers.cx;
                let (loads, factors) = cx.sched.load(cx.machine.now()).averages();
                let [a, b, c] = loads;
                let [d, e, f] = factors;
                words(&[a, b, c, d, e, f], count, short)
            }
            statistics::VM64 => words(&self.memory(), count, short),
            statistics::CPU_LOAD => words(&self.all_ticks(), count, short),
            _ => Err(KernReturn::InvalidArgument.into()),
        }
    }

    async fn processor_info(&mut self, flavor: u32) -> Result<(u32, List<u32, 128>)> {
        let cpus = self.core.processors();
        let mut list = List::default();
        for cpu in (0..cpus).map(Cpu) {
            for word in self.core.processor_words(cpu, flavor)? {
                let fits = list.push(word);
                debug_assert!(fits, "there are more processors");
            }
        }
        Ok((cpus, list))
    }

    async fn page_size(&self) -> Result<u64> {
        Ok(PAGE_SIZE)
    }

    async fn kernel_version(&self) -> Result<Text<48>> {
        Ok(version())
    }

    async fn processors(&mut self) -> Result<Series> {
        self.privileged()?;
        let end = self.core.processors();
        listing::rights(self.core, end, |core, index| {
            let port = core.layers.ipc.processor_ports.get(index as usize);
            Ok(port.copied().flatten())
        })
    }

    async fn processor_set_default(&mut self) -> Result<Held> {
        Ok(self.core.give_set(Hand::Ask)?)
    }

    async fn processor_sets(&mut self) -> Result<Series> {
        self.privileged()?;
        listing::rights(self.core, 1, |core, _| {
            Ok(core.layers.ipc.set_ports[Hand::Ask as usize])
        })
    }

    async fn processor_set_control(&mut self, set: Held) -> Result<Held> {
        self.privileged()?;
        match self.core.object_of(&set) {
            Ok(Object::ProcessorSet(_)) => Ok(self.core.give_set(Hand::Set)?),
            _ => Err(KernReturn::InvalidArgument.into()),
        }
    }
}
