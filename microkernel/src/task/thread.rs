//! Threads of a task: creation, and the ports that stand for them.

use abi::clock::SECOND;
use abi::kern_return::KernReturn;
use abi::thread_state::ThreadState;
use abi::trace::Kind as TraceKind;

use super::{Layers, Stage, Task, Tasks, charge_thread, release_thread};
use crate::base::KernResult;
use crate::base::ids::{PortId, TaskId, ThreadId};
use crate::ipc::port::{Kind, Object};
use crate::ipc::right::Right;
use crate::machine::{Frame, Machine};
use crate::sched::thread::DEFAULT_PRIORITY;
use crate::sched::{Flags, Thread, check_state, set_state};

/// What a new thread is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewThread {
    /// Its task.
    pub task: TaskId,
    /// Its registers.
    pub state: ThreadState,
}

impl Tasks {
    /// A thread that waits to be [resumed](Self::resume_thread): its suspend count is 1 (T-07).
    ///
    /// # Errors
    /// `InvalidTask`: the task is gone or ending · `InvalidArgument`: registers that no user thread may
    /// have · `ResourceShortage`.
    pub fn create_thread<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        new: NewThread,
    ) -> KernResult<ThreadId> {
        let task = self.arena.get(new.task).ok_or(KernReturn::InvalidTask)?;
        if task.stage != Stage::Alive {
            return Err(KernReturn::InvalidTask);
        }
        let root = layers.cx.vm.root(task.map).ok_or(KernReturn::InvalidTask)?;
        check_state(&new.state)?;
        charge_thread(layers.cx.ledgers, task.ledger)?;
        let made = Self::insert_thread(layers, task, &new);
        let id = made.inspect_err(|_| release_thread(layers.cx.ledgers, task.ledger))?;
        let frame = layers.cx.machine.frame(id.index());
        *frame = Frame {
            root: root.0,
            ..Frame::default()
        };
        set_state(frame, &new.state);
        let what = (id.index().into(), new.task.index().into());
        layers.cx.note(TraceKind::ThreadCreate, what);
        self.link_thread(layers, new.task, id);
        self.follow_task(layers, id);
        Ok(id)
    }

    fn insert_thread<M: Machine>(
        layers: &mut Layers<'_, M>,
        task: &Task,
        new: &NewThread,
    ) -> KernResult<ThreadId> {
        let shortage = KernReturn::ResourceShortage;
        let names = layers.ipc.names.space(task.space).ok_or(shortage)?.first;
        let reply_port = layers.ipc.create_port(Kind::Plain)?;
        let mut thread = Thread::new(new.task, (task.space, names), reply_port, task.identity);
        thread.born = u32::try_from(layers.cx.machine.now() / SECOND).unwrap_or(u32::MAX);
        let priority = DEFAULT_PRIORITY.min(task.priority_limit);
        thread.base = priority;
        thread.own_priority = priority;
        thread.priority = priority;
        thread.cpu = layers.cx.cpu;
        thread.flags = Flags::SUSPENDED | layers.cx.sched.default_flags;
        thread.suspend_count = 1;
        let made = layers
            .cx
            .sched
            .threads
            .insert(thread)
            .map_err(|_| shortage)
            .and_then(|id| {
                layers
                    .cx
                    .machine
                    .create_frame(id.index())
                    .map(|()| id)
                    .map_err(|_| {
                        layers.cx.sched.threads.remove(id);
                        shortage
                    })
            });
        match made {
            Ok(id) => {
                if let Some(port) = layers.ipc.ports.get_mut(reply_port) {
                    port.kind = Kind::Reply(id);
                }
                Ok(id)
            }
            Err(error) => {
                layers.ipc.release(Right::Receive(reply_port));
                Err(error)
            }
        }
    }

    fn link_thread<M: Machine>(&mut self, layers: &mut Layers<'_, M>, task: TaskId, id: ThreadId) {
        let Some(task) = self.arena.get_mut(task) else {
            return;
        };
        let next = task.first_thread.replace(id);
        task.thread_count += 1;
        let threads = &mut layers.cx.sched.threads;
        if let Some(thread) = threads.get_mut(id) {
            thread.siblings.next = next;
        }
        if let Some(next) = next.and_then(|next| threads.get_mut(next)) {
            next.siblings.previous = Some(id);
        }
    }

    pub(super) fn unlink_thread<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        task_id: TaskId,
        id: ThreadId,
    ) {
        let threads = &mut layers.cx.sched.threads;
        let Some(thread) = threads.get(id) else {
            return;
        };
        let (link, awake) = (thread.siblings, thread.suspend_count == 0);
        if let Some(next) = link.next.and_then(|next| threads.get_mut(next)) {
            next.siblings.previous = link.previous;
        }
        let previous = link.previous.and_then(|previous| threads.get_mut(previous));
        let Some(task) = self.arena.get_mut(task_id) else {
            return;
        };
        task.thread_count -= 1;
        match previous {
            Some(previous) => previous.siblings.next = link.next,
            None => task.first_thread = link.next,
        }
        self.pass_over(task_id, id, link.next);
        self.loses_thread(layers, task_id, u32::from(awake));
    }

    /// The port that stands for a thread, made when first asked for.
    ///
    /// # Errors
    /// `Terminated` · `ResourceShortage`.
    pub fn thread_port<M: Machine>(layers: &mut Layers<'_, M>, id: ThreadId) -> KernResult<PortId> {
        // The port ends with its last send right.
        if let Some(port) = Self::extra(layers, id)?.port
            && layers.ipc.ports.get(port).is_some()
        {
            return Ok(port);
        }
        let port = layers.ipc.create_port(Kind::Kernel(Object::Thread(id)))?;
        Self::extra(layers, id)?.port = Some(port);
        Ok(port)
    }
}

/// Has the CPU that runs a thread look at it, unless it is this one.
pub(super) fn kick_if_elsewhere<M: Machine>(layers: &mut Layers<'_, M>, id: ThreadId) {
    let cpu = layers.cx.sched.cpu_of(id);
    if let Some(cpu) = cpu.filter(|cpu| *cpu != layers.cx.cpu) {
        layers.cx.machine.kick(cpu);
    }
}
