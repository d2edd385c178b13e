//! The end of threads and tasks.

use abi::exception::MASK_ALL;
use abi::kern_return::KernReturn;
use abi::trace::Kind as TraceKind;

use super::{Layers, Stage, Tasks, release_thread};
use crate::base::KernResult;
use crate::base::ids::{TaskId, ThreadId};
use crate::ipc::agenda::Progress;
use crate::ipc::message::Made;
use crate::ipc::receive::End;
use crate::ipc::right::Right;
use crate::machine::{Cpu, MAX_CPUS, Machine};
use crate::sched::actions::kinds;
use crate::sched::{Flags, State, Wait};
use crate::vm;

/// Names that one step ends: each takes up to 1,500 instructions, with interrupts off (2026-11).
const STEP: u32 = 32;

/// Threads that one step ends: each takes up to 3,000 instructions, where very many wait for words and deadlines (2026-11).
const THREADS: u32 = 14;

/// Places for names that one step looks at.
const LOOK: u32 = 512;

impl Tasks {
    /// Ends what a request that is not answered with success made in its steps.
    pub fn abandon<M: Machine>(&mut self, layers: &mut Layers<'_, M>, made: Made) {
        match made {
            // A child that is only half made has nobody who knows it, or who ended it already.
            Made::Task(task) => {
                self.terminate(layers, task).ok();
            }
            Made::Copy(copy) | Made::Names { copy, .. } => {
                let (vm, mut context) = layers.vm();
                vm.copy_discard(&mut context, copy);
            }
            Made::Ports { array, .. } | Made::Row { array, .. } => layers.ipc.end_array(array),
            Made::At(_)
            | Made::Asked(..)
            | Made::Counted(_)
            | Made::Stopping
            | Made::Ending
            | Made::Mapped { .. }
            | Made::Ordered(_)
            | Made::Synced(..)
            | Made::Wired(_)
            | Made::Undo(..) => {}
        }
    }

    /// Begins a task's end. Its threads run no more user code; [`work_off`](Self::work_off) does the rest.
    ///
    /// # Errors
    /// `InvalidTask`: it is gone, or ending already.
    pub fn terminate<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: TaskId,
    ) -> KernResult<()> {
        let task = self.arena.get_mut(id).ok_or(KernReturn::InvalidTask)?;
        if task.stage != Stage::Alive {
            return Err(KernReturn::InvalidTask);
        }
        task.stage = Stage::Threads;
        task.next_dying = self.dying.replace(id);
        if task.next_dying.is_none() {
            self.last_dying = Some(id);
        }
        let what = (id.index().into(), 0);
        layers.cx.note(TraceKind::TaskTerminate, what);
        // Nobody reaches a task that is ending.
        layers.ipc.release(Right::Receive(task.port));
        Self::end_actions(layers.ipc, &mut task.actions);
        task.end_specials(layers.ipc);
        self.mark_running(layers, id);
        Ok(())
    }

    /// Ends a task that nobody can reach and whose threads, if it has any, will never run: nobody could give it a
    /// thread, resume one, look at it, or end it, while its share of its creator's ledger is gone.
    ///
    /// Its own rights to its port do not count, in its names and as its exception port: only its threads could
    /// use them. A thread may yet run if it is not suspended, or if its port has a send right. Not found are
    /// tasks with more than `THREADS` suspended threads, and those that only messages in the queues of such
    /// tasks lead to; they, too, cost nobody but their creator.
    pub fn end_if_deserted<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: TaskId) {
        let Some(task) = self.arena.get(id) else {
            return;
        };
        let own = kinds(MASK_ALL)
            .filter_map(|kind| task.actions.of(kind))
            .filter(|action| action.port == task.port)
            .count() as u32
            + task.specials.count(task.port);
        if task.awake > 0 || layers.ipc.rights_outside(task.space, task.port) > own {
            return;
        }
        let mut next = task.first_thread;
        for _ in 0..THREADS {
            let Some(thread) = next.and_then(|thread| layers.cx.sched.threads.get(thread)) else {
                break;
            };
            let extra = layers.cx.sched.extras.find(thread.extra);
            if extra
                .and_then(|extra| extra.port)
                .is_some_and(|port| layers.ipc.ports.get(port).is_some())
            {
                return;
            }
            next = thread.siblings.next;
        }
        if next.is_none() {
            // One that is ending already is none of this.
            self.terminate(layers, id).ok();
        }
    }

    /// Whether nothing is left to do.
    pub fn is_settled(&self) -> bool {
        self.dying.is_none() && self.swept.is_none()
    }

    /// Takes one step: of a changed suspension, else of the first ending task's end.
    pub fn work_off<M: Machine>(&mut self, layers: &mut Layers<'_, M>) -> Progress {
        if self.sweep_step(layers) == Progress::More {
            return Progress::More;
        }
        let Some(id) = self.dying else {
            return Progress::Done;
        };
        let Some(stage) = self.arena.get(id).map(|task| task.stage) else {
            self.dying = None;
            return Progress::Done;
        };
        match stage {
            Stage::Alive => {}
            Stage::Threads => self.end_threads(layers, id),
            Stage::ReceiveRights(from) => self.end_names(layers, id, from),
            Stage::Names(from) => self.end_names(layers, id, from),
            Stage::Memory => self.end_memory(layers, id),
        }
        if self.is_settled() {
            Progress::Done
        } else {
            Progress::More
        }
    }

    /// Marks the threads of a task that run now, the calling one first of all. The others are ended where they are.
    fn mark_running<M: Machine>(&self, layers: &mut Layers<'_, M>, id: TaskId) {
        for cpu in (0..MAX_CPUS as u32).map(Cpu) {
            let current = layers.cx.sched.current(cpu);
            let thread = current.and_then(|thread| layers.cx.sched.threads.get(thread));
            if let (Some(current), Some(thread)) = (current, thread)
                && thread.task == id
            {
                Self::mark_thread(layers, current);
            }
        }
    }

    /// Begins a thread's end: it runs no more user code, and its wait is over.
    pub fn terminate_thread<M: Machine>(layers: &mut Layers<'_, M>, id: ThreadId) {
        Self::mark_thread(layers, id);
    }

    /// Marks a thread, and brings it to where its CPU or [`reap_thread`](Self::reap_thread) can end it.
    fn mark_thread<M: Machine>(layers: &mut Layers<'_, M>, id: ThreadId) {
        let Some(thread) = layers.cx.sched.threads.get_mut(id) else {
            return;
        };
        thread.flags |= Flags::TERMINATE;
        if thread.state == State::Running {
            super::thread::kick_if_elsewhere(layers, id);
        }
    }

    /// Ends up to a step's worth of threads that run nowhere; those that do end when they stop.
    fn end_threads<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: TaskId) {
        let mut next = self.arena.get(id).and_then(|task| task.first_thread);
        let mut running = false;
        for _ in 0..THREADS {
            let Some(thread) = next else { break };
            let Some(record) = layers.cx.sched.threads.get(thread) else {
                break;
            };
            next = record.siblings.next;
            if record.state == State::Running {
                running = true;
                Self::mark_thread(layers, thread);
            } else {
                self.reap_thread(layers, thread);
            }
        }
        let Some(task) = self.arena.get_mut(id) else {
            return;
        };
        if task.first_thread.is_none() {
            task.stage = Stage::ReceiveRights(0);
            layers.ipc.close_space(task.space);
        } else if running && next.is_none() {
            // Others have their turn until the CPUs that run its threads have stopped them.
            self.rotate_dying();
        }
    }

    /// Takes a thread apart that runs nowhere and will not run again.
    pub fn reap_thread<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: ThreadId) {
        layers.cx.sched.settle(layers.cx.machine, layers.cx.cpu);
        let Some(thread) = layers.cx.sched.threads.get(id) else {
            return;
        };
        if thread.state == State::Blocked {
            match thread.wait {
                Wait::Futex | Wait::Semaphore(_) | Wait::Page | Wait::Deadline => {
                    layers.cx.sched.leave_wait(id);
                    layers.cx.sched.wake(id);
                }
                _ => layers.ipc.end_wait(&mut layers.cx, id, End::Aborted),
            }
            layers.cx.sched.settle(layers.cx.machine, layers.cx.cpu);
        }
        layers.cx.sched.hold(id);
        layers.cx.sched.disarm(id);
        layers.ipc.end_epoch(&mut layers.cx, id);
        if let Some(made) = layers.ipc.drop_request(&mut layers.cx, id) {
            self.abandon(layers, made);
        }
        self.take_counts(&mut layers.cx, id);
        let Some(thread) = layers.cx.sched.threads.get_mut(id) else {
            return;
        };
        let (task, reply_port) = (thread.task, thread.reply_port);
        if let Some(task) = self.arena.get_mut(task) {
            task.ended_time = task.ended_time.wrapping_add(thread.cpu_time);
        }
        let buffer = thread.buffer.take();
        thread.buffer_page = None;
        let slot = thread.slot.take().map_or(Right::None, Right::SendOnce);
        layers.ipc.handler_ended(&mut layers.cx, &slot);
        layers.ipc.release(slot);
        layers.ipc.release(Right::Receive(reply_port));
        self.end_extra(layers, id);
        if let Some(buffer) = buffer {
            let (vm, mut context) = layers.vm();
            vm.unwire_buffer(&mut context, buffer);
        }
        self.unlink_thread(layers, task, id);
        layers.cx.sched.threads.remove(id);
        let what = (id.index().into(), task.index().into());
        layers.cx.note(TraceKind::ThreadTerminate, what);
        if let Some(task) = self.arena.get(task) {
            release_thread(layers.cx.ledgers, task.ledger);
        }
    }

    /// Ends a step's worth of names: receive rights and sets in the first round, the rest in the second.
    fn end_names<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: TaskId, from: u32) {
        let Some(task) = self.arena.get_mut(id) else {
            return;
        };
        let space = task.space;
        let first_round = matches!(task.stage, Stage::ReceiveRights(_));
        let end = layers.ipc.names.end(space);
        let (mut index, stop) = (from, end.min(from.saturating_add(LOOK)));
        let mut ended = 0;
        while index < stop && ended < STEP {
            let name = layers.ipc.names.name_at(space, index);
            index += 1;
            let Some(name) = name else { continue };
            ended += 1;
            if first_round {
                layers.ipc.end_receive_right(&mut layers.cx, space, name);
            } else {
                layers.ipc.end_name(&mut layers.cx, space, name);
            }
        }
        task.stage = match (first_round, index < end) {
            (true, true) => Stage::ReceiveRights(index),
            (true, false) => Stage::Names(0),
            (false, true) => Stage::Names(index),
            (false, false) => Stage::Memory,
        };
    }

    fn end_memory<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: TaskId) {
        let Some(task) = self.arena.get(id) else {
            return;
        };
        let (map, space, ledger) = (task.map, task.space, task.ledger);
        let (vm, mut context) = layers.vm();
        if vm.destroy_step(&mut context, map) == vm::Progress::More {
            return;
        }
        if !layers.ipc.names.destroy_step(space) {
            return;
        }
        self.dying = self.arena.remove(id).and_then(|task| task.next_dying);
        if self.dying.is_none() {
            self.last_dying = None;
        }
        layers.cx.ledgers.close(ledger);
    }

    /// The first ending task becomes the last.
    fn rotate_dying(&mut self) {
        let (Some(first), Some(last)) = (self.dying, self.last_dying) else {
            return;
        };
        if first == last {
            return;
        }
        if let Some(first) = self.arena.get_mut(first) {
            self.dying = first.next_dying.take();
        }
        if let Some(last) = self.arena.get_mut(last) {
            last.next_dying = Some(first);
        }
        self.last_dying = Some(first);
    }
}
