//! Tasks and their threads: birth, suspension, death.
//!
//! A task is a port space, a map, a ledger and threads. What concerns all its threads runs in bounded steps,
//! which the trap that caused it works off before it returns. So does its death, in stages:
//! threads stop, receive rights end, all other names end (P-20: receive rights first, so that a dying
//! task's ports are not notified of each other), the map is given back, the ledger closes.
//!
//! Deliberately absent: process ids, parents and children, names of programs beyond a label for tools.
//! Those are the BSD server's.

pub(crate) mod actions;
mod events;
mod exception;
mod special;
mod suspend;
mod terminate;
mod thread;

pub use actions::Level;
pub use events::Events;
pub use exception::{Exception, Raised};
pub use special::Place;
pub use thread::NewThread;

use abi::kern_return::KernReturn;
use abi::task::Limits;
use arena::Arena;

use crate::base::KernResult;
use crate::base::ids::{PortId, SpaceId, TaskId, TaskKind, ThreadId};
use crate::base::ledger::{LedgerId, Ledgers, Resource};
use crate::base::usage::Usage;
use crate::ipc::object::Idle;
use crate::ipc::port::{Kind, Object};
use crate::ipc::right::Right;
use crate::ipc::tally::Tally;
use crate::ipc::{Context, Ipc};
use crate::machine::{Machine, Time};
use crate::sched::Actions;
use crate::vm::{self, MapId, Vm};
use special::Specials;
use suspend::Sweep;

/// How far a task's death has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It lives.
    Alive,
    /// Its threads are stopped and taken apart.
    Threads,
    /// Its receive rights and port sets end; the number is the name index reached.
    ReceiveRights(u32),
    /// Its other names end; the number is the name index reached.
    Names(u32),
    /// Its memory is given back.
    Memory,
}

/// Bytes of a task's label.
pub const LABEL_SIZE: usize = 32;

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Its names.
    pub space: SpaceId,
    /// Its memory.
    pub map: MapId,
    /// Its account.
    pub ledger: LedgerId,
    /// Stamped on its messages; chosen by its creator.
    pub identity: u64,
    /// The highest priority that its threads may be given.
    pub priority_limit: u8,
    /// The port that stands for it.
    pub port: PortId,
    /// Where exceptions of its threads go that have no port of their own for them.
    pub actions: Actions,
    /// Ports that are kept for it.
    specials: Specials,
    /// The first of its threads.
    pub first_thread: Option<ThreadId>,
    /// How many threads it has.
    pub thread_count: u32,
    /// Nanoseconds that its threads ran, those that have ended included.
    pub cpu_time: Time,
    /// Of that, what those ran that have ended.
    pub ended_time: Time,
    /// See [`Events`].
    pub events: Events,
    /// How many of them nothing suspends.
    pub(super) awake: u32,
    /// Counts suspensions; its threads run at 0 only.
    pub suspend_count: u32,
    /// How far its threads have been told of a changed suspension.
    sweep: Sweep,
    /// See [`Stage`].
    pub stage: Stage,
    /// Where its threads go on a `syscall` of number zero and above; 0: nowhere, they raise `EXC_SYSCALL`.
    pub personality: u64,
    /// What tools call it, UTF-8, zero-padded.
    pub label: [u8; LABEL_SIZE],
    next_dying: Option<TaskId>,
    next_swept: Option<TaskId>,
}

impl Task {
    /// What tools call it.
    pub fn name(&self) -> &str {
        let end = self.label.iter().position(|byte| *byte == 0);
        let bytes = &self.label[..end.unwrap_or(LABEL_SIZE)];
        // Only `set_name` and boot write labels, in UTF-8.
        core::str::from_utf8(bytes).unwrap_or("")
    }
}

/// All tasks.
pub struct Tasks {
    /// The tasks themselves.
    pub arena: Arena<Task, TaskKind>,
    /// Where exceptions go that neither thread nor task have a port for.
    pub(super) host_actions: Actions,
    dying: Option<TaskId>,
    last_dying: Option<TaskId>,
    swept: Option<TaskId>,
}

/// What a new task is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewTask {
    /// What it may hold, carved from `parent`.
    pub limits: Limits,
    /// The creator's ledger; `None` for the first task.
    pub parent: Option<LedgerId>,
    /// See [`Task::identity`].
    pub identity: u64,
    /// See [`Task::priority_limit`].
    pub priority_limit: u8,
}

/// What calls into this layer work with: everything below it.
pub struct Layers<'a, M: Machine> {
    /// Ports, rights and messages.
    pub ipc: &'a mut Ipc,
    /// Machine, scheduler, memory, ledgers and CPU.
    pub cx: Context<'a, M>,
}

impl<M: Machine> Layers<'_, M> {
    /// The part of it that `vm` works with.
    pub fn vm(&mut self) -> (&mut Vm, vm::Context<'_, M>) {
        self.cx.vm()
    }
}

impl Tasks {
    /// No tasks.
    pub fn new<M: Machine>(machine: &mut M) -> Self {
        Self {
            arena: Arena::new(machine.reserve(32 << 20)),
            host_actions: Actions::NONE,
            dying: None,
            last_dying: None,
            swept: None,
        }
    }

    /// Finds the rights that are kept for tasks, and those of exception ports of tasks and the host.
    pub fn find_rights(&self, tally: &mut Tally<'_>) {
        for task in (0..self.arena.end()).filter_map(|index| self.arena.at(index)) {
            let ports = task.kept().chain(task.actions.ports());
            ports.for_each(|port| tally.send(port));
        }
        self.host_actions.ports().for_each(|port| tally.send(port));
    }

    /// What tasks take.
    pub fn usage(&self) -> Usage {
        Usage::of("tasks", &self.arena)
    }

    /// The task, unless it is gone.
    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.arena.get(id)
    }

    /// A task without threads and without names, with an empty map.
    ///
    /// # Errors
    /// `ResourceShortage`: the creator's ledger, or memory. Nothing changed.
    pub fn create<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        new: NewTask,
    ) -> KernResult<TaskId> {
        let ledger = create_ledger(layers.cx.ledgers, new)?;
        self.create_with(layers, new, (ledger, None))
            .inspect_err(|_| layers.cx.ledgers.close(ledger))
    }

    /// As [`create`](Self::create), with a map that is to inherit from `parent` by [`Vm::fork_step`].
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_fork<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        new: NewTask,
        parent: MapId,
    ) -> KernResult<TaskId> {
        let ledger = create_ledger(layers.cx.ledgers, new)?;
        self.create_with(layers, new, (ledger, Some(parent)))
            .inspect_err(|_| layers.cx.ledgers.close(ledger))
    }

    /// A child may not hold more memory than its parent may (V-15).
    pub fn inherit_size_limit(&self, vm: &mut Vm, (parent, child): (TaskId, TaskId)) {
        let map = |id| self.get(id).map(|task| task.map);
        if let (Some(parent), Some(child)) = (map(parent), map(child))
            && let Ok(limit) = vm.size_limit(parent)
        {
            // Its map was made just now, and the parent's limit is one.
            vm.set_size_limit(child, limit).ok();
        }
    }

    fn create_with<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        new: NewTask,
        (ledger, parent): (LedgerId, Option<MapId>),
    ) -> KernResult<TaskId> {
        let (vm, mut context) = layers.vm();
        let map = match parent {
            Some(parent) => vm.fork_map(&mut context, parent, ledger)?,
            None => vm.create_map(&mut context, ledger)?,
        };
        let made = Self::create_space(layers.ipc, ledger, map).and_then(|(space, port)| {
            let task = Task {
                space,
                map,
                ledger,
                identity: new.identity,
                priority_limit: new.priority_limit,
                port,
                actions: Actions::NONE,
                specials: Specials::default(),
                first_thread: None,
                thread_count: 0,
                cpu_time: 0,
                ended_time: 0,
                events: Events::default(),
                awake: 0,
                suspend_count: 0,
                sweep: Sweep::Done,
                stage: Stage::Alive,
                personality: 0,
                label: [0; LABEL_SIZE],
                next_dying: None,
                next_swept: None,
            };
            let id = self.arena.insert(task).map_err(|_| {
                Self::drop_space(layers.ipc, space);
                layers.ipc.release(Right::Receive(port));
                KernReturn::ResourceShortage
            })?;
            if let Some(port) = layers.ipc.ports.get_mut(port) {
                port.kind = Kind::Kernel(Object::Task(id));
            }
            layers.ipc.set_task_idle(port, Idle::Yet);
            Ok(id)
        });
        if made.is_err() {
            let (vm, mut context) = layers.vm();
            // An empty map is gone after a few steps, whatever is left to settle elsewhere.
            for _ in 0..4 {
                if vm.destroy_step(&mut context, map) == vm::Progress::Done(()) {
                    break;
                }
            }
        }
        made
    }

    fn create_space(ipc: &mut Ipc, ledger: LedgerId, map: MapId) -> KernResult<(SpaceId, PortId)> {
        let space = ipc.names.create(ledger, map)?;
        let port = ipc
            .create_port(Kind::Plain)
            .inspect_err(|_| Self::drop_space(ipc, space))?;
        Ok((space, port))
    }

    /// Ends a space that never had a name: its table is the smallest, and gone in one step.
    fn drop_space(ipc: &mut Ipc, space: SpaceId) {
        let gone = ipc.names.destroy_step(space);
        debug_assert!(gone, "a new space has names");
    }
}

fn create_ledger(ledgers: &mut Ledgers, new: NewTask) -> KernResult<LedgerId> {
    Ok(match new.parent {
        Some(parent) => ledgers.create_child(parent, new.limits)?,
        None => ledgers.create_root(new.limits)?,
    })
}

/// Bytes of kernel memory that a thread is charged as.
pub(crate) const THREAD_BYTES: u64 = size_of::<crate::sched::Thread>() as u64 + 256;

/// Charges a new thread to its task.
fn charge_thread(ledgers: &mut Ledgers, ledger: LedgerId) -> KernResult<()> {
    ledgers.charge(ledger, Resource::Threads, 1)?;
    ledgers
        .charge(ledger, Resource::KernelBytes, THREAD_BYTES)
        .inspect_err(|_| {
            ledgers.release(ledger, Resource::Threads, 1);
        })?;
    Ok(())
}

/// Gives a thread's charges back.
fn release_thread(ledgers: &mut Ledgers, ledger: LedgerId) {
    ledgers.release(ledger, Resource::Threads, 1);
    ledgers.release(ledger, Resource::KernelBytes, THREAD_BYTES);
}
