//! What the kernel answers to messages to its own ports.
//!
//! One file per object family, each an implementation of that family's interface trait, the same that
//! servers implement; `transport` is the kernel's side of what the traits' dispatch is generated
//! against. Every method is polled once and never waits. One whose work has steps says so with
//! `Core::again`: its request is kept, the lock is let go, and the same request is served again.
//!
//! Rights discipline (G-02): a right stays in the request until the method takes it with `Core::take`,
//! after its last check. Whatever a failed method left there ends with the request.
//!
//! Bounds: what `vm` does in steps has them here too, lists come in parts, and a search over free places is one of steps.
//!
//! Deliberately absent: threads that wait in here, and anything that a name could not have asked for.

mod arenas;
mod clock;
mod entry_calls;
mod exceptions;
mod host;
mod info;
mod interrupt;
mod io;
mod listing;
mod mach_host;
mod memory;
mod memory_control;
mod policy;
mod processor;
mod region_info;
mod semaphore;
mod task;
mod task_vm;
mod thread;
mod thread_state;
mod transport;

pub use transport::{Reply, Scratch, words_of};

use abi::kern_return::KernReturn;
use abi::trace::Kind as TraceKind;
use abi::transport::{Error, Request as _};
use interfaces::mach_host::MachHost;

use crate::base::KernResult;
use crate::base::counters::Counters;
use crate::base::ids::{BodyId, PortId, TaskId, ThreadId};
use crate::base::ledger::LedgerId;
use crate::base::log::Log;
use crate::ipc::answer::Asked;
use crate::ipc::body::Carried;
use crate::ipc::message::Made;
use crate::ipc::port::{Kind, Object};
use crate::ipc::right::Right;
use crate::machine::Machine;
use crate::sched::thread::MAX_PRIORITY;
use crate::task::{Layers, Level, Tasks};
use crate::vm;
use transport::{Extent, Held, Request};

/// Who made a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The thread.
    pub thread: ThreadId,
    /// Its task.
    pub task: TaskId,
}

/// Whether a request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It is.
    Answer,
    /// A step is done: serve it again.
    Again,
}

/// All of the kernel that requests reach.
pub struct Core<'a, M: Machine> {
    /// All tasks.
    pub tasks: &'a mut Tasks,
    /// All below them.
    pub layers: Layers<'a, M>,
    /// What happened since boot.
    pub counters: &'a mut Counters,
    /// The kernel's log.
    pub log: &'a mut Log,
    /// Pages that the machine had to give when the kernel started.
    pub memory: u64,
    /// Who asks.
    pub caller: Caller,
    /// What the request carries.
    pub body: Option<BodyId>,
    /// What earlier steps of it made.
    pub made: &'a mut Option<Made>,
    /// How it goes on.
    pub next: Next,
}

/// Serves a request once. [`Core::next`] says afterwards whether the reply counts.
#[inline(always)]
pub fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    scratch: &mut Scratch,
    object: Object,
    asked: &Asked<'_>,
) -> Reply {
    let (mut request, bytes) = Request::new(scratch, asked);
    if let Some(body) = core.body
        && request.read(core, body, (asked.size, bytes)).is_none()
    {
        return Reply::code(KernReturn::MigArrayTooLarge);
    }
    if exceptions::is_meant(request.id())
        && let Some(level) = level_of(object)
    {
        return exceptions::serve(core, level, request);
    }
    if request.is_of::<dyn MachHost>()
        && let Some(power) = host::power_of(object)
    {
        return host::serve_mach(core, power, request);
    }
    match object {
        Object::Task(id) => task::serve(core, id, request),
        Object::Thread(id) => thread::serve(core, id, request),
        Object::Host => host::serve(core, host::Power::None, request),
        Object::HostPrivileged => host::serve(core, host::Power::All, request),
        Object::IoRoot => io::serve_root(core, request),
        Object::IoRange { first, count } => io::serve_range((first, count), request),
        Object::InterruptRoot => interrupt::serve_root(core, request),
        Object::Interrupt { line } => interrupt::serve_line(core, line, request),
        Object::MemoryRoot => memory::serve_root(core, request),
        Object::Processor(cpu) => processor::serve_processor(core, cpu, request),
        Object::ProcessorSet(hand) => processor::serve_set(core, hand, request),
        Object::Clock(clock, hand) => clock::serve(core, (clock, hand), request),
        Object::Semaphore(id) => semaphore::serve(core, id, request),
        Object::Memory(id) => memory::serve_entry(core, id, request),
        Object::MemoryControl(id) => memory_control::serve(core, id, request),
        Object::MemoryName(_) => Reply::code(KernReturn::MigBadId),
    }
}

/// What has exception ports.
fn level_of(object: Object) -> Option<Level> {
    match object {
        Object::Thread(id) => Some(Level::Thread(id)),
        Object::Task(id) => Some(Level::Task(id)),
        Object::HostPrivileged => Some(Level::Host),
        _ => None,
    }
}

/// A priority, as messages carry it.
fn priority(value: u32) -> KernResult<u8> {
    let priority = u8::try_from(value).ok();
    priority
        .filter(|priority| *priority <= MAX_PRIORITY)
        .ok_or(KernReturn::InvalidArgument)
}

impl<M: Machine> Core<'_, M> {
    /// A step of a request is done; what is returned does not count.
    fn again(&mut self) -> Error {
        self.next = Next::Again;
        KernReturn::Aborted.into()
    }

    /// The result of work that has steps.
    fn done<T>(&mut self, progress: vm::Progress<T>) -> Result<T, Error> {
        match progress {
            vm::Progress::Done(result) => Ok(result),
            vm::Progress::More => Err(self.again()),
        }
    }

    /// Takes a right out of the request, to be kept or released.
    fn take(&mut self, held: Held) -> Right {
        match (held, self.body) {
            (Held::Received(index), Some(body)) => self.layers.ipc.take_carried(body, index),
            (Held::Given(right), _) => right,
            (Held::Received(_), None) => Right::None,
        }
    }

    /// A copy that the request carries, and its bytes; `None` for no bytes.
    fn memory_of(&self, extent: &Extent) -> KernResult<Option<(vm::CopyId, u64)>> {
        match (extent, self.body) {
            (Extent::Received(index), Some(body)) => match self.layers.ipc.carried(body, *index) {
                Some(Carried::Memory(copy, size)) => Ok(copy.map(|copy| (copy, *size))),
                _ => Err(KernReturn::InvalidCapability),
            },
            _ => Err(KernReturn::InvalidCapability),
        }
    }

    /// The live port behind a right of the request.
    fn port_of(&self, held: &Held) -> KernResult<PortId> {
        match (held, self.body) {
            (Held::Received(index), Some(body)) => self.layers.ipc.carried_port(body, *index),
            _ => None,
        }
        .ok_or(KernReturn::InvalidCapability)
    }

    /// The kernel object behind a right of the request.
    fn object_of(&self, held: &Held) -> KernResult<Object> {
        let port = self.port_of(held)?;
        match self.layers.ipc.ports.get(port).map(|port| port.kind) {
            Some(Kind::Kernel(object)) => Ok(object),
            _ => Err(KernReturn::InvalidRight),
        }
    }

    /// A send right to an existing port of the kernel's, for the answer.
    fn give(&mut self, port: PortId) -> Held {
        Held::Given(self.layers.ipc.make_send(port))
    }

    /// A send right to a new port for an object, which `payer` pays for.
    fn give_object(&mut self, object: Object, payer: LedgerId) -> KernResult<Held> {
        let layers = &mut self.layers;
        let port = layers
            .ipc
            .create_object_port(&mut layers.cx, object, payer)?;
        Ok(self.give(port))
    }

    /// A send right to a new port for a memory entry, which ends when there is no memory for that.
    fn give_entry(&mut self, entry: vm::MemoryEntryId, payer: LedgerId) -> KernResult<Held> {
        self.give_object(Object::Memory(entry), payer)
            .inspect_err(|_| {
                let (vm, mut context) = self.layers.vm();
                vm.release_memory_entry(&mut context, entry);
            })
    }

    /// The ledger of the task that asks.
    fn payer(&self) -> KernResult<LedgerId> {
        let task = self.tasks.get(self.caller.task);
        task.map(|task| task.ledger).ok_or(KernReturn::InvalidTask)
    }

    #[inline(always)]
    fn note(&mut self, kind: TraceKind, a: u64, b: u64) {
        self.layers.cx.note(kind, (a, b));
    }
}
