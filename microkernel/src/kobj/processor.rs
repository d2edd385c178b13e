//! Processors, and the one set that they are in.

use abi::host::info::{CPU_SUBTYPE, CPU_TYPE};
use abi::host::statistics::TICK;
use abi::host::{processor, processor_set};
use abi::kern_return::KernReturn;
use abi::task::basic::TIMESHARE;
use abi::transport::Result;
use interfaces::bounded::List;
use interfaces::processor::{Processor, ProcessorSet};

use super::transport::{Held, KernelRights, Reply, Request, Series, serve};
use super::{Core, listing};
use crate::base::KernResult;
use crate::ipc::alarm::Hand;
use crate::ipc::port::Object;
use crate::machine::{Cpu, Machine};
use crate::task::{Stage, Tasks};

struct ProcessorObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    cpu: Cpu,
}

struct SetObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    hand: Hand,
}

#[inline(never)]
pub(super) fn serve_processor<M: Machine>(
    core: &mut Core<'_, M>,
    cpu: Cpu,
    request: Request<'_>,
) -> Reply {
    serve::<dyn Processor, _>(ProcessorObject { core, cpu }, request)
}

#[inline(never)]
pub(super) fn serve_set<M: Machine>(
    core: &mut Core<'_, M>,
    hand: Hand,
    request: Request<'_>,
) -> Reply {
    serve::<dyn ProcessorSet, _>(SetObject { core, hand }, request)
}

/// The words of a flavor, for a caller with so much room.
///
/// # Errors
/// `short`: there are more.
pub(super) fn words<const N: usize>(
    words: &[u32],
    count: u32,
    short: KernReturn,
) -> Result<List<u32, N>> {
    if (count as usize) < words.len() {
        return Err(short.into());
    }
    let mut list = List::default();
    for word in words {
        let fits = list.push(*word);
        debug_assert!(fits, "the interface has room for the flavor");
    }
    Ok(list)
}

/// The halves of a number, the lower one first.
pub(super) fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

impl<M: Machine> Core<'_, M> {
    /// How many processors run.
    pub(super) fn processors(&self) -> u32 {
        let cpus = &self.layers.cx.sched.cpus;
        cpus.iter().filter(|cpu| cpu.online).count() as u32
    }

    /// Ticks that a processor ran programs, the system, nobody, and programs of low priority. Time in the kernel is the
    /// program's for which it runs.
    pub(super) fn ticks(&self, cpu: Cpu, now: u64) -> [u32; 4] {
        let busy = self.layers.cx.sched.busy(cpu);
        let [busy, idle] = [busy, now.saturating_sub(busy)].map(|time| (time / TICK) as u32);
        [busy, 0, idle, 0]
    }

    /// What a flavor tells of a processor.
    pub(super) fn processor_words(
        &mut self,
        cpu: Cpu,
        flavor: u32,
    ) -> KernResult<heapless::Vec<u32, 5>> {
        let online = self.layers.cx.sched.cpu(cpu).online;
        let words: &[u32] = match flavor {
            processor::BASIC => &[
                CPU_TYPE,
                CPU_SUBTYPE,
                online.into(),
                cpu.0,
                u32::from(cpu == Cpu(0)),
            ],
            processor::CPU_LOAD => {
                let now = self.layers.cx.machine.now();
                &self.ticks(cpu, now)
            }
            _ => return Err(KernReturn::InvalidArgument),
        };
        heapless::Vec::from_slice(words).map_err(|_| KernReturn::Failure)
    }

    /// A right to the processor set.
    pub(super) fn give_set(&mut self, hand: Hand) -> KernResult<Held> {
        let port = self.layers.ipc.set_ports[hand as usize];
        Ok(self.give(port.ok_or(KernReturn::Failure)?))
    }

    /// Whether a right of the request steers the set in which all is.
    ///
    /// # Errors
    /// `InvalidArgument`: it is another right.
    pub(super) fn steers_set(&self, set: &Held) -> KernResult<()> {
        match self.object_of(set) {
            Ok(Object::ProcessorSet(Hand::Set)) => Ok(()),
            _ => Err(KernReturn::InvalidArgument),
        }
    }
}

impl<M: Machine> Processor for ProcessorObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn info(&mut self, flavor: u32, count: u32) -> Result<List<u32, 8>> {
        let told = self.core.processor_words(self.cpu, flavor)?;
        words(&told, count, KernReturn::Failure)
    }

    async fn assignment(&mut self) -> Result<Held> {
        Ok(self.core.give_set(Hand::Ask)?)
    }

    async fn assign(&mut self, set: Held) -> Result<()> {
        Ok(self.core.steers_set(&set)?)
    }
}

impl<M: Machine> SetObject<'_, '_, M> {
    fn privileged(&self) -> KernResult<()> {
        match self.hand {
            Hand::Set => Ok(()),
            Hand::Ask => Err(KernReturn::NoAccess),
        }
    }
}

impl<M: Machine> ProcessorSet for SetObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn info(&self, flavor: u32, count: u32) -> Result<List<u32, 8>> {
        match flavor {
            processor_set::BASIC => {
                let told = [self.core.processors(), TIMESHARE];
                words(&told, count, KernReturn::Failure)
            }
            _ => Err(KernReturn::InvalidArgument.into()),
        }
    }

    async fn statistics(&mut self, flavor: u32, count: u32) -> Result<List<u32, 8>> {
        if flavor != processor_set::LOAD {
            return Err(KernReturn::InvalidArgument.into());
        }
        let cx = &mut self.core.layers.cx;
        let (loads, factors) = cx.sched.load(cx.machine.now()).averages();
        let told = [
            self.core.tasks.arena.len(),
            cx.sched.threads.len(),
            loads[0],
            factors[0],
        ];
        words(&told, count, KernReturn::Failure)
    }

    async fn tasks(&mut self) -> Result<Series> {
        self.privileged()?;
        let end = self.core.tasks.arena.end();
        listing::rights(self.core, end, |core, index| {
            let task = core.tasks.arena.id_at(index);
            let task = task.and_then(|id| core.tasks.get(id));
            let task = task.filter(|task| task.stage == Stage::Alive);
            Ok(task.map(|task| task.port))
        })
    }

    async fn threads(&mut self) -> Result<Series> {
        self.privileged()?;
        let end = self.core.layers.cx.sched.threads.end();
        listing::rights(self.core, end, |core, index| {
            let thread = core.layers.cx.sched.threads.id_at(index);
            let port = thread.map(|thread| Tasks::thread_port(&mut core.layers, thread));
            port.transpose()
        })
    }
}
