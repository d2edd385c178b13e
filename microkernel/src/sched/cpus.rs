//! The CPUs and their run queues: which thread waits where, and who takes it from there.
//!
//! A woken thread takes an idle CPU if there is one, else the CPU that runs the lowest priority below its own;
//! among equals the one where it ran last. A CPU that wants another thread takes the highest of all that wait, out of
//! its own queue unless a longer one has the like. All queues lie under the one kernel lock: what they are
//! for is that threads stay where their caches are.

use super::run_queue::RunQueue;
use super::{Sched, State, ThreadQueue};
use crate::base::ids::ThreadId;
use crate::machine::{Cpu, MAX_CPUS, NEVER, Time};

/// What one CPU does.
#[derive(Debug)]
pub struct CpuState {
    /// Whether the CPU came online.
    pub online: bool,
    /// When the current thread's slice ends.
    pub slice_end: Time,
    /// Look at the run queues before going on.
    pub reschedule: bool,
    /// The slice has ended, and nobody was chosen since.
    pub(super) slice_over: bool,
    /// The thread whose computation, by its time constraint, the slice is.
    pub(super) computing: Option<ThreadId>,
    /// What the machine's timer is set to.
    pub(super) timer: Time,
    /// Threads that wait for a turn here, or on any CPU that has none.
    pub(super) ready: RunQueue,
}

impl CpuState {
    /// It has not started.
    pub(super) const OFF: Self = Self {
        online: false,
        slice_end: NEVER,
        reschedule: false,
        slice_over: false,
        computing: None,
        timer: NEVER,
        ready: RunQueue::EMPTY,
    };
}

impl Sched {
    /// The state of a CPU.
    #[inline(always)]
    pub fn cpu(&mut self, cpu: Cpu) -> &mut CpuState {
        &mut self.cpus[cpu.0 as usize % MAX_CPUS]
    }

    /// Who runs on a CPU; `None`: it is idle.
    #[inline(always)]
    pub fn current(&self, cpu: Cpu) -> Option<ThreadId> {
        self.running[cpu.0 as usize % MAX_CPUS]
    }

    /// As [`current`](Self::current).
    #[inline(always)]
    pub fn current_mut(&mut self, cpu: Cpu) -> &mut Option<ThreadId> {
        &mut self.running[cpu.0 as usize % MAX_CPUS]
    }

    /// The CPU that runs a thread.
    pub fn cpu_of(&self, id: ThreadId) -> Option<Cpu> {
        let running = &self.running[..self.cpu_end];
        running
            .iter()
            .position(|current| *current == Some(id))
            .map(|index| Cpu(index as u32))
    }

    /// The CPU that runs a thread runs nobody now.
    pub(super) fn leave_cpu(&mut self, id: ThreadId) {
        if let Some(cpu) = self.cpu_of(id) {
            *self.current_mut(cpu) = None;
        }
    }

    /// A CPU came online.
    pub fn online(&mut self, cpu: Cpu) {
        self.cpu(cpu).online = true;
        self.cpu_end = self.cpu_end.max(cpu.0 as usize + 1).min(MAX_CPUS);
    }

    /// The highest priority that waits for a CPU; −1 when nobody does.
    ///
    /// A running thread may go on while this is not above its own.
    #[inline(always)]
    pub fn highest_ready(&self) -> i16 {
        self.highest
    }

    /// A ready thread waits for its turn on a CPU.
    pub(super) fn enqueue(&mut self, cpu: Cpu, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        thread.state = State::Ready;
        thread.cpu = cpu;
        self.highest = self.highest.max(thread.priority.into());
        let queue = &mut self.cpus[cpu.0 as usize % MAX_CPUS].ready;
        if let Some(last) = queue.append(id, thread) {
            ThreadQueue::learn_next(self.threads.get_mut(last), id);
        }
    }

    /// A thread that waits for its turn does so no more.
    pub(super) fn dequeue(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(id) else {
            return;
        };
        let (cpu, priority) = (thread.cpu, thread.priority);
        let queue = &mut self.cpus[cpu.0 as usize % MAX_CPUS].ready;
        queue.remove(&mut self.threads, id, priority);
        if queue.highest() < self.highest {
            self.highest = self.highest_of_all();
        }
    }

    pub(super) fn highest_of_all(&self) -> i16 {
        let queues = self.cpus.iter().map(|cpu| cpu.ready.highest());
        queues.take(self.cpu_end.max(1)).max().unwrap_or(-1)
    }

    /// Takes out the thread that a CPU should run next, if there is one of at least this priority.
    pub(super) fn take_next(&mut self, cpu: Cpu, least: i16) -> Option<ThreadId> {
        let urgency = |queue: &RunQueue| (queue.highest(), queue.count());
        let own = &self.cpus[cpu.0 as usize % MAX_CPUS].ready;
        let mut best = Some(own).filter(|own| own.highest() >= least);
        for (running, other) in self.running.iter().zip(&self.cpus[..self.cpu_end]) {
            // An idle CPU that was told of a thread is about to take one itself.
            let takes = running.is_none() && other.reschedule;
            let queue = &other.ready;
            if queue.count() > u32::from(takes)
                && queue.highest() >= least
                && best.is_none_or(|best| urgency(queue) > urgency(best))
            {
                best = Some(queue);
            }
        }
        let id = best?.first()?;
        self.dequeue(id);
        Some(id)
    }

    /// The CPU that a woken thread should take at once. `None`: it waits for its turn.
    ///
    /// This one, if its thread just began to wait: a caller and who answers it stay on one CPU, and nobody has to be
    /// interrupted.
    pub(super) fn cpu_for(&self, here: Cpu, id: ThreadId) -> Option<Cpu> {
        let thread = self.threads.get(id)?;
        let (priority, home) = (thread.priority, self.home(id));
        let mut best: Option<((u16, u8), Cpu)> = None;
        let cpus = self.cpus[..self.cpu_end].iter().enumerate();
        for (index, cpu) in cpus.filter(|(_, cpu)| cpu.online) {
            let id = Cpu(index as u32);
            let running = match self.running[index].and_then(|id| self.threads.get(id)) {
                _ if cpu.reschedule => continue,
                None => 0,
                Some(thread) if thread.priority < priority => u16::from(thread.priority) + 1,
                Some(_) => continue,
            };
            let distance = match id {
                id if id == here && running == 0 && cpu.slice_end != NEVER => 0,
                id if id == home => 1,
                id if id == here => 2,
                _ => 3,
            };
            if best.is_none_or(|(least, _)| (running, distance) < least) {
                best = Some(((running, distance), id));
            }
        }
        best.map(|(_, cpu)| cpu)
    }
}
