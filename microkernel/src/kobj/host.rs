//! The host port, as everybody may know it and as those may who steer the machine.

use abi::kern_return::KernReturn;
use abi::trace::{Kind as TraceKind, Record};
use abi::transport::Result;
use interfaces::bounded::{Bytes, List, Text};
use interfaces::host::{ArenaEntry, Host, Info, Statistics, TaskEntry, ThreadEntry};
use interfaces::mach_host::MachHost;

use super::arenas::usage;
use super::transport::{Held, KernelRights, Reply, Request, serve as dispatch};
use super::{Core, listing};
use crate::base::KernResult;
use crate::base::ids::TaskId;
use crate::base::ledger::Resource;
use crate::base::trace::Detail;
use crate::ipc::message::Made;
use crate::ipc::port::Object;
use crate::machine::Machine;
use crate::sched::Flags;
use crate::task::Stage;

/// Threads that one step of [`set_fast_path`](Host::set_fast_path) tells.
const LOOK: u32 = 512;

/// What a host port allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Power {
    /// To look.
    None,
    /// To steer.
    All,
}

/// A host that is asked something.
pub(super) struct HostObject<'a, 'k, M: Machine> {
    pub(super) core: &'a mut Core<'k, M>,
    power: Power,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    power: Power,
    request: Request<'_>,
) -> Reply {
    dispatch::<dyn Host, _>(HostObject { core, power }, request)
}

/// What else a host is asked: Mach's calls. Apart, since what is asked often would pay for the choice.
#[cold]
#[inline(never)]
pub(super) fn serve_mach<M: Machine>(
    core: &mut Core<'_, M>,
    power: Power,
    request: Request<'_>,
) -> Reply {
    dispatch::<dyn MachHost, _>(HostObject { core, power }, request)
}

/// What the holder of a port may do with the host, if it is a host's.
pub(super) fn power_of(object: Object) -> Option<Power> {
    match object {
        Object::Host => Some(Power::None),
        Object::HostPrivileged => Some(Power::All),
        _ => None,
    }
}

impl<M: Machine> HostObject<'_, '_, M> {
    pub(super) fn privileged(&self) -> KernResult<()> {
        match self.power {
            Power::All => Ok(()),
            Power::None => Err(KernReturn::NoAccess),
        }
    }
}

/// The kernel's name and version.
pub(super) fn version() -> Text<48> {
    Text::cut(concat!("MelloOS ", env!("CARGO_PKG_VERSION")))
}

/// A task as tools list it.
fn entry<M: Machine>(core: &Core<'_, M>, id: TaskId) -> Option<TaskEntry> {
    let task = core.tasks.get(id)?;
    let own = |what| {
        let own = core.layers.cx.ledgers.own(task.ledger, what);
        u32::try_from(own).unwrap_or(u32::MAX)
    };
    Some(TaskEntry {
        index: id.index(),
        threads: task.thread_count,
        pages: own(Resource::Pages),
        names: own(Resource::Names),
        identity: task.identity,
        cpu_time: task.cpu_time,
        name: listing::label(task),
    })
}

/// 0 or 1.
fn switch(value: u32) -> KernResult<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(KernReturn::InvalidArgument),
    }
}

impl<M: Machine> Host for HostObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn info(&self) -> Result<Info> {
        let cx = &self.core.layers.cx;
        let cpus = cx.sched.cpus.iter().filter(|cpu| cpu.online).count();
        Ok(Info {
            cpus: cpus as u32,
            pages: self.core.memory,
            free_pages: cx.machine.free_pages(),
            version: version(),
        })
    }

    async fn statistics(&self) -> Result<Statistics> {
        let (counters, layers) = (&*self.core.counters, &self.core.layers);
        let free = layers.cx.machine.free_pages();
        Ok(Statistics {
            traps: counters.traps,
            messages: counters.handoffs + counters.queued + counters.kernel_calls,
            handoffs: counters.handoffs,
            queued: counters.queued,
            faults: counters.faults,
            exceptions: counters.exceptions,
            interrupts: counters.interrupts,
            switches: counters.switches,
            tasks: self.core.tasks.arena.len().into(),
            threads: layers.cx.sched.threads.len().into(),
            ports: layers.ipc.ports.len().into(),
            queued_now: layers.ipc.messages.len().into(),
            frames: self.core.memory.saturating_sub(free),
            kernel_bytes: usage(self.core).map(|usage| usage.committed).sum(),
            kernel_frames: layers.cx.machine.kept_pages(),
            shootdowns: layers.cx.machine.shootdowns(),
        })
    }

    async fn arenas(&self) -> Result<List<ArenaEntry, 32>> {
        let mut list = List::default();
        for usage in usage(self.core) {
            let fits = list.push(ArenaEntry {
                name: Text::cut(usage.name),
                live: usage.live,
                size: usage.size,
                committed: usage.committed,
            });
            debug_assert!(fits, "the kernel has more arenas");
        }
        Ok(list)
    }

    async fn tasks(&mut self, first: u32) -> Result<List<TaskEntry, 32>> {
        let end = self.core.tasks.arena.end();
        listing::listed(self.core, (first, end), |core, index| {
            entry(core, core.tasks.arena.id_at(index)?)
        })
    }

    async fn task(&mut self, index: u32) -> Result<Held> {
        self.privileged()?;
        let tasks = &*self.core.tasks;
        let task = tasks.arena.id_at(index).and_then(|id| tasks.get(id));
        let task = task.filter(|task| task.stage == Stage::Alive);
        let port = task.ok_or(KernReturn::InvalidTask)?.port;
        Ok(self.core.give(port))
    }

    async fn log(&self, position: u64) -> Result<(u64, Bytes<1024>)> {
        let mut bytes = [0; 1024];
        let (start, length) = self.core.log.read(position, &mut bytes);
        Ok((start, Bytes::new(&bytes[..length]).unwrap_or_default()))
    }

    async fn trace(&self, position: u64) -> Result<(u64, List<Record, 64>)> {
        let trace = &self.core.layers.cx.sched.trace;
        let (end, mut list) = (trace.next_sequence(), List::default());
        let start = position.clamp(trace.oldest(), end);
        for record in (start..end).map_while(|sequence| trace.get(sequence)) {
            if !list.push(*record) {
                break;
            }
        }
        Ok((start, list))
    }

    async fn trace_mark(&mut self, a: u64, b: u64) -> Result<()> {
        self.core.note(TraceKind::Mark, a, b);
        Ok(())
    }

    async fn trace_enable(&mut self, on: u32) -> Result<()> {
        self.privileged()?;
        let detail = if switch(on)? {
            Detail::Messages
        } else {
            Detail::Rare
        };
        self.core.layers.cx.sched.set_trace_detail(detail);
        Ok(())
    }

    async fn shutdown(&mut self, status: u32) -> Result<()> {
        self.privileged()?;
        let cx = &mut self.core.layers.cx;
        cx.machine.log(format_args!("shut down, status {status}"));
        cx.machine.power_off();
        Ok(())
    }

    async fn reboot(&mut self) -> Result<()> {
        self.privileged()?;
        let cx = &mut self.core.layers.cx;
        cx.machine.log(format_args!("reboot"));
        cx.machine.reset();
        Ok(())
    }

    async fn threads(&mut self, first: u32) -> Result<List<ThreadEntry, 64>> {
        let end = self.core.layers.cx.sched.threads.end();
        listing::listed(self.core, (first, end), |core, index| {
            let view = core.layers.cx.sched.view_at(index)?;
            Some(ThreadEntry {
                index,
                task: view.task.index(),
                priority: view.priority.into(),
                state: view.wait.code(),
                waits_at: view.wait.object().unwrap_or(u32::MAX),
                cpu: view.cpu.map_or(u32::MAX, |cpu| cpu.0),
            })
        })
    }

    async fn special_port(&mut self, which: u32) -> Result<Held> {
        self.privileged()?;
        Ok(Held::Given(self.core.layers.ipc.special_port(which)?))
    }

    async fn set_special_port(&mut self, which: u32, port: Held) -> Result<()> {
        self.privileged()?;
        self.core.port_of(&port)?;
        let right = self.core.take(port);
        let ipc = &mut self.core.layers.ipc;
        let set = ipc.set_special_port(which, right);
        Ok(set.map_err(|(right, code)| {
            ipc.release(right);
            code
        })?)
    }

    async fn set_priority_limit(&mut self, task: Held, priority: u32) -> Result<()> {
        self.privileged()?;
        let limit = super::priority(priority)?;
        let Object::Task(task) = self.core.object_of(&task)? else {
            return Err(KernReturn::InvalidTask.into());
        };
        self.core.tasks.set_priority_limit(task, limit);
        Ok(())
    }

    async fn set_default_pager(&mut self, object: Held, pages: u64) -> Result<()> {
        self.privileged()?;
        let port = self.core.port_of(&object)?;
        let layers = &mut self.core.layers;
        let payer = layers.ipc.set_store(&mut layers.cx, port, pages)?;
        layers.cx.ledgers.extend_root(payer, pages);
        Ok(())
    }

    async fn set_free_target(&mut self, pages: u64) -> Result<()> {
        self.privileged()?;
        if pages > self.core.memory {
            return Err(KernReturn::InvalidArgument.into());
        }
        self.core.layers.cx.vm.set_free_target(pages);
        Ok(())
    }

    /// For comparisons: switches it for every thread there is, and for those to come.
    async fn set_fast_path(&mut self, on: u32) -> Result<()> {
        self.privileged()?;
        let off = !switch(on)?;
        let first = match *self.core.made {
            Some(Made::At(at)) => u32::try_from(at).unwrap_or(u32::MAX),
            _ => 0,
        };
        let sched = &mut *self.core.layers.cx.sched;
        sched.default_flags.set(Flags::NO_FAST_PATH, off);
        let end = sched.threads.end();
        let stop = end.min(first.saturating_add(LOOK));
        for index in first..stop {
            if let Some(thread) = sched.threads.at_mut(index) {
                thread.flags.set(Flags::NO_FAST_PATH, off);
            }
        }
        if stop < end {
            *self.core.made = Some(Made::At(stop.into()));
            return Err(self.core.again());
        }
        Ok(())
    }
}
