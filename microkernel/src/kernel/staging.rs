//! Tasks, threads and rights made from outside, without a message: for kernel tests on the simulated machine,
//! which play threads of many tasks and have no bootstrap server to make them.
//!
//! The calls do what the messages of a task's control port do, by the same functions.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::task::Limits;
use abi::thread_state::ThreadState;

use super::Kernel;
use crate::base::KernResult;
use crate::base::ids::{TaskId, ThreadId};
use crate::ipc::Ports;
use crate::ipc::agenda::Progress;
use crate::machine::{Cpu, FrameIndex, Machine};
use crate::sched::thread::DEFAULT_PRIORITY;
use crate::task::{NewTask, NewThread};

impl Kernel {
    /// The task that the kernel made at boot.
    pub fn first_task(&self) -> Option<TaskId> {
        self.task_ids().next()
    }

    /// A task whose limits are carved from the first task's, its priorities limited to the ordinary one.
    ///
    /// # Errors
    /// `ResourceShortage` · `InvalidTask`: there is no first task.
    pub fn stage_task<M: Machine>(
        &mut self,
        machine: &mut M,
        identity: u64,
        limits: Limits,
    ) -> KernResult<TaskId> {
        let first = self.first_task().and_then(|first| self.tasks.get(first));
        let parent = Some(first.ok_or(KernReturn::InvalidTask)?.ledger);
        let (tasks, mut layers) = self.layers(machine, Cpu(0));
        tasks.create(
            &mut layers,
            NewTask {
                limits,
                parent,
                identity,
                priority_limit: DEFAULT_PRIORITY,
            },
        )
    }

    /// A thread of a task, ready to run.
    ///
    /// # Errors
    /// As [`Tasks::create_thread`](crate::task::Tasks::create_thread).
    pub fn stage_thread<M: Machine>(
        &mut self,
        machine: &mut M,
        task: TaskId,
        state: ThreadState,
    ) -> KernResult<ThreadId> {
        let (tasks, mut layers) = self.layers(machine, Cpu(0));
        let thread = tasks.create_thread(&mut layers, NewThread { task, state })?;
        tasks.resume_thread(&mut layers, thread)?;
        self.sched.settle(machine, Cpu(0));
        Ok(thread)
    }

    /// Gives a task a right from another task's names.
    ///
    /// # Errors
    /// `InvalidTask` · `InvalidRight`: the name does not have it · `ResourceShortage`: no name for it.
    pub fn stage_right<M: Machine>(
        &mut self,
        machine: &mut M,
        (from, name, disposition): (TaskId, Name, u8),
        to: TaskId,
    ) -> KernResult<Name> {
        let space = |kernel: &Self, task| kernel.tasks.get(task).map(|task| task.space);
        let (from, to) = (space(self, from), space(self, to));
        let (from, to) = (
            from.ok_or(KernReturn::InvalidTask)?,
            to.ok_or(KernReturn::InvalidTask)?,
        );
        let (_, mut layers) = self.layers(machine, Cpu(0));
        let allowed = layers.ipc.can_copy_in(from, name, disposition);
        allowed.map_err(|_| KernReturn::InvalidRight)?;
        let right = layers.ipc.copy_in(&mut layers.cx, from, name, disposition);
        layers
            .ipc
            .copy_out(&mut layers.cx, to, right)
            .map_err(|right| {
                layers.ipc.release(right);
                KernReturn::ResourceShortage
            })
    }

    /// Makes a thread's reply port as old as one that has had all epochs but the last.
    ///
    /// # Errors
    /// `InvalidArgument`: no such thread.
    pub fn stage_worn_reply_port(&mut self, thread: FrameIndex) -> KernResult<()> {
        let sched = &mut self.sched;
        let id = sched.threads.id_at(thread);
        let record = id.and_then(|id| sched.threads.get_mut(id));
        let record = record.ok_or(KernReturn::InvalidArgument)?;
        let port = record.reply_port;
        let times = Ports::renewals(port).saturating_sub(1);
        let worn = self.ipc.ports.renew_times(port, times);
        record.reply_port = worn.ok_or(KernReturn::InvalidArgument)?;
        Ok(())
    }

    /// Begins the end of a task.
    pub fn stage_termination<M: Machine>(&mut self, machine: &mut M, task: TaskId) {
        self.terminate_task(machine, Cpu(0), task);
    }

    /// Works off all that is left to do; the machine must be otherwise at rest.
    pub fn stage_rest<M: Machine>(&mut self, machine: &mut M) {
        while self.work_off(machine, Cpu(0)) == Progress::More {}
        self.sched.settle(machine, Cpu(0));
    }

    /// All tasks that have not quite ended.
    pub fn task_ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        (0..self.tasks.arena.end()).filter_map(|index| self.tasks.arena.id_at(index))
    }

    /// How many threads of a task nothing suspends.
    pub fn awake_threads(&self, task: TaskId) -> u32 {
        self.tasks.get(task).map_or(0, |task| task.awake)
    }

    /// The task that a thread belongs to.
    pub fn task_of(&self, thread: ThreadId) -> Option<TaskId> {
        self.sched.threads.get(thread).map(|thread| thread.task)
    }
}
