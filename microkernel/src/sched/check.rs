//! Whether the scheduler keeps its promises: for tests, after each step.

use super::{Sched, State};
use crate::base::ids::ThreadId;
use crate::machine::Cpu;

/// What is wrong.
type Broken = &'static str;

impl Sched {
    /// Whether all CPUs that could work do, and each runs and queues what it should. To be asked while no CPU is in
    /// the kernel; takes a time in proportion to the CPUs and to the threads that wait for one.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn check(&self) -> Result<(), Broken> {
        if !self.woken.is_empty() {
            return Err("a woken thread waits in no run queue");
        }
        if self.highest != self.highest_of_all() {
            return Err("the highest priority that waits is another one");
        }
        // A CPU that is to look again takes one of the threads.
        let waiting: u32 = self.cpus.iter().map(|cpu| cpu.ready.count()).sum();
        let looking = self.cpus.iter().filter(|cpu| cpu.reschedule).count();
        let idle = |(cpu, current): (Cpu, Option<ThreadId>)| {
            current.is_none() && !self.cpus[cpu.0 as usize].reschedule
        };
        if waiting as usize > looking && self.running().any(idle) {
            return Err("a CPU idles while a thread could run");
        }
        if self.cpu_end == 1 && self.lets_a_higher_one_wait(Cpu(0)) {
            return Err("the only CPU runs a thread of a lower priority than one that waits");
        }
        for (index, cpu) in self.cpus.iter().enumerate() {
            let id = Cpu(index as u32);
            if let Some(current) = self.current(id) {
                let thread = self.threads.get(current);
                if thread.is_none_or(|thread| thread.state != State::Running) {
                    return Err("a CPU's thread does not know that it runs");
                }
                if self.cpu_of(current) != Some(id) {
                    return Err("two CPUs run one thread");
                }
            }
            cpu.ready.check(&self.threads, id)?;
        }
        Ok(())
    }

    /// Whether a CPU that does not look again runs a thread though one of a higher priority waits. Of several CPUs each
    /// goes on for its turn.
    fn lets_a_higher_one_wait(&self, cpu: Cpu) -> bool {
        let current = self.current(cpu).and_then(|id| self.threads.get(id));
        let looks = self.cpus[cpu.0 as usize].reschedule;
        !looks && current.is_some_and(|thread| i16::from(thread.priority) < self.highest)
    }

    /// As [`check`](Self::check), and whether every thread is where its state says.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_all(&self) -> Result<(), Broken> {
        self.check()?;
        let states = || self.views().map(|view| (view.id, view.state));
        let ready = states().filter(|(_, state)| *state == State::Ready).count();
        let queued: u32 = self.cpus.iter().map(|cpu| cpu.ready.count()).sum();
        if ready != queued as usize {
            return Err("a thread that could run is in no run queue");
        }
        let runs =
            |(id, state): (ThreadId, State)| state == State::Running && self.cpu_of(id).is_none();
        if states().any(runs) {
            return Err("a thread runs nowhere");
        }
        Ok(())
    }
}
