//! Suspension, of one thread and of all threads of a task; and what else all threads of a task follow.
//!
//! A suspension of the task is one of each of its threads ([`Flags::HELD_BY_TASK`]). When the task's count leaves
//! 0 or comes back to it, or its limit of priority falls, its threads are gone through in steps, from a
//! cursor that the task keeps. A change of mind starts again from the first thread, and a thread that is right
//! already stays as it is.

use abi::kern_return::KernReturn;

use super::{Layers, Stage, Tasks};
use crate::base::KernResult;
use crate::base::ids::{TaskId, ThreadId};
use crate::ipc::agenda::Progress;
use crate::ipc::object::Idle;
use crate::machine::Machine;
use crate::sched::{Flags, State};

/// Threads that one step looks at.
const STEP: u32 = 64;

/// How far a task's threads have been told of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sweep {
    /// All know.
    Done,
    /// This one is next; `None`: nobody is left.
    At(Option<ThreadId>),
}

impl Tasks {
    /// Stops a task's threads until it is resumed as often.
    ///
    /// # Errors
    /// `InvalidTask` · `Failure`: the count is at its end.
    pub fn suspend<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: TaskId,
    ) -> KernResult<()> {
        self.count_suspension(id, 1, |count| count.checked_add(1))?;
        // Of most tasks it is the only step; others come with what else is left to do.
        let (Progress::More | Progress::Done) = self.sweep_step(layers);
        Ok(())
    }

    /// Whether threads of a suspended task run yet: they were not told, or another CPU is about to notice.
    pub fn is_stopping<M: Machine>(&self, layers: &Layers<'_, M>, id: TaskId) -> bool {
        let sched = &layers.cx.sched;
        let runs = |thread: ThreadId| {
            let thread = sched.threads.get(thread);
            thread.is_some_and(|thread| thread.task == id)
        };
        let mut others = sched.running().filter(|(cpu, _)| *cpu != layers.cx.cpu);
        self.arena.get(id).is_some_and(|task| {
            task.suspend_count > 0
                && (task.sweep != Sweep::Done
                    || others.any(|(_, current)| current.is_some_and(runs)))
        })
    }

    /// Takes one suspension back.
    ///
    /// # Errors
    /// `InvalidTask` · `Failure`: it is not suspended (T-03).
    pub fn resume(&mut self, id: TaskId) -> KernResult<()> {
        self.count_suspension(id, 0, |count| count.checked_sub(1))
    }

    /// Counts; the threads follow when the count comes to `edge`.
    fn count_suspension(
        &mut self,
        id: TaskId,
        edge: u32,
        change: impl FnOnce(u32) -> Option<u32>,
    ) -> KernResult<()> {
        let task = self.arena.get_mut(id).ok_or(KernReturn::InvalidTask)?;
        task.suspend_count = change(task.suspend_count).ok_or(KernReturn::Failure)?;
        if task.suspend_count == edge {
            self.begin_sweep(id);
        }
        Ok(())
    }

    /// Sets the highest priority of a task's threads.
    pub fn set_priority_limit(&mut self, id: TaskId, limit: u8) {
        if let Some(task) = self.arena.get_mut(id) {
            task.priority_limit = limit;
            self.begin_sweep(id);
        }
    }

    fn begin_sweep(&mut self, id: TaskId) {
        let Some(task) = self.arena.get_mut(id) else {
            return;
        };
        let listed = task.sweep != Sweep::Done;
        task.sweep = Sweep::At(task.first_thread);
        if !listed {
            task.next_swept = self.swept.replace(id);
        }
    }

    /// Tells up to a step's worth of threads of the first task whose suspension changed.
    ///
    /// It comes before any step of a task's end, so that no task ends while it is listed here.
    pub(super) fn sweep_step<M: Machine>(&mut self, layers: &mut Layers<'_, M>) -> Progress {
        let Some(id) = self.swept else {
            return Progress::Done;
        };
        let Some(task) = self.arena.get(id) else {
            self.swept = None;
            return Progress::Done;
        };
        let mut next = match task.sweep {
            // The rest of a task that is ending ends anyway.
            Sweep::At(next) if task.stage == Stage::Alive => next,
            _ => None,
        };
        for _ in 0..STEP {
            let Some(thread) = next else { break };
            let record = layers.cx.sched.threads.get_mut(thread);
            next = record.and_then(|record| record.siblings.next);
            self.follow_task(layers, thread);
        }
        if let Some(task) = self.arena.get_mut(id) {
            task.sweep = match next {
                Some(_) => Sweep::At(next),
                None => {
                    self.swept = task.next_swept.take();
                    Sweep::Done
                }
            };
        }
        Progress::More
    }

    /// A thread leaves its task: it is no longer the next one to be told.
    pub(super) fn pass_over(&mut self, task: TaskId, thread: ThreadId, next: Option<ThreadId>) {
        if let Some(task) = self.arena.get_mut(task)
            && task.sweep == Sweep::At(Some(thread))
        {
            task.sweep = Sweep::At(next);
        }
    }

    /// Holds a thread until it is resumed as often.
    ///
    /// # Errors
    /// `Terminated` · `Failure`: the count is at its end.
    pub fn suspend_thread<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: ThreadId,
    ) -> KernResult<()> {
        let thread = layers.cx.sched.threads.get(id);
        let thread = thread.ok_or(KernReturn::Terminated)?;
        // The last place is the task's own.
        if thread.suspend_count >= u16::MAX - 1 {
            return Err(KernReturn::Failure);
        }
        self.add_suspension(layers, id);
        Ok(())
    }

    /// Takes one suspension of a thread back.
    ///
    /// # Errors
    /// `Terminated` · `Failure`: it is not suspended, or by its task only.
    pub fn resume_thread<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: ThreadId,
    ) -> KernResult<()> {
        let thread = layers.cx.sched.threads.get(id);
        let thread = thread.ok_or(KernReturn::Terminated)?;
        if thread.own_suspensions() == 0 {
            return Err(KernReturn::Failure);
        }
        self.drop_suspension(layers, id);
        Ok(())
    }

    /// A thread learns whether its task holds it, and how high it may be.
    pub(super) fn follow_task<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: ThreadId) {
        let cx = &mut layers.cx;
        let thread = cx.sched.threads.get_mut(id);
        let Some((thread, task)) =
            thread.and_then(|thread| self.arena.get(thread.task).map(|task| (thread, task)))
        else {
            return;
        };
        let (held, limit) = (task.suspend_count > 0, task.priority_limit);
        let changes = thread.flags.contains(Flags::HELD_BY_TASK) != held;
        thread.flags.set(Flags::HELD_BY_TASK, held);
        if !thread.has_what_it_may(limit) {
            cx.sched.grant(cx.machine, cx.cpu, id, limit);
        }
        match (changes, held) {
            (true, true) => self.add_suspension(layers, id),
            (true, false) => self.drop_suspension(layers, id),
            (false, _) => {}
        }
    }

    fn add_suspension<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: ThreadId) {
        let sched = &mut *layers.cx.sched;
        let Some(thread) = sched.threads.get_mut(id) else {
            return;
        };
        let (task, first) = (thread.task, thread.suspend_count == 0);
        thread.suspend_count += 1;
        thread.flags |= Flags::SUSPENDED;
        match thread.state {
            State::Ready => {
                sched.settle(layers.cx.machine, layers.cx.cpu);
                sched.hold(id);
            }
            // A CPU that runs it finds the flag on its way out of the kernel.
            State::Running => super::thread::kick_if_elsewhere(layers, id),
            State::Blocked | State::Held => {}
        }
        if first {
            self.loses_thread(layers, task, 1);
        }
    }

    fn drop_suspension<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: ThreadId) {
        let Some(thread) = layers.cx.sched.threads.get_mut(id) else {
            return;
        };
        thread.suspend_count -= 1;
        if thread.suspend_count > 0 {
            return;
        }
        thread.flags -= Flags::SUSPENDED;
        let task = thread.task;
        layers.cx.sched.release(id);
        if let Some(task) = self.arena.get_mut(task) {
            task.awake += 1;
            layers.ipc.set_task_idle(task.port, Idle::No);
        }
    }

    /// A thread of a task stops or ends, `awake` counts it if nothing suspended it until now. With one that was
    /// suspended the last way to the task may have gone, its port.
    pub(super) fn loses_thread<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        task: TaskId,
        awake: u32,
    ) {
        let Some(task) = self.arena.get_mut(task) else {
            return;
        };
        task.awake -= awake;
        if task.awake == 0 {
            layers.ipc.set_task_idle(task.port, Idle::Now);
        }
    }
}
