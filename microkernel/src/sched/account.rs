//! Whose time it was.

use super::load::Load;
use super::{SLICE, Sched};
use crate::base::ids::{TaskId, ThreadId};
use crate::machine::{Cpu, MAX_CPUS, Time};

/// When a CPU changed over by the run queues.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// Up to here its time is accounted.
    since: Time,
    /// The last time.
    at: Time,
    /// Nanoseconds of it that threads ran.
    busy: Time,
    /// When the threads that wait for it were counted.
    seen: Time,
}

impl Sched {
    /// A CPU changes over now.
    pub(super) fn turn_ends(&mut self, cpu: Cpu, now: Time) {
        self.turns[cpu.0 as usize % MAX_CPUS].at = now;
    }

    /// Adds a CPU's time up to its last change-over, if there was one since the last call, to the thread that ran
    /// there; answers to whose task how much came.
    ///
    /// It counts when a CPU changes over by the run queues, as at the end of a slice, not when one thread hands it
    /// to another by a message, a wake or a yield: of those the last one gets it all. So a call that is
    /// answered at once counts as its caller's; of work that lasts longer than a slice each thread gets its share
    /// as often as a slice ends in it, which in the long run is exact. The sum over all threads always is.
    /// Time in the kernel is the thread's for which it runs; nobody gets what is spent idle.
    pub fn account(&mut self, cpu: Cpu, ran: Option<ThreadId>) -> Option<(TaskId, Time)> {
        let turn = &mut self.turns[cpu.0 as usize % MAX_CPUS];
        let spent = turn.at.wrapping_sub(turn.since);
        turn.since = turn.at;
        let thread = self.threads.find_mut(ran)?;
        turn.busy = turn.busy.wrapping_add(spent);
        thread.cpu_time = thread.cpu_time.wrapping_add(spent);
        Some((thread.task, spent))
    }

    /// Nanoseconds that a CPU ran threads, as far as they are accounted.
    pub fn busy(&self, cpu: Cpu) -> Time {
        self.turns[cpu.0 as usize % MAX_CPUS].busy
    }

    /// How busy the machine was lately.
    pub fn load(&mut self, now: Time) -> &Load {
        let cpus = self.cpus.iter().filter(|cpu| cpu.online).count();
        let ran = self.turns.iter().map(|turn| turn.busy).sum();
        self.load.look(now, ran, cpus as u32);
        &self.load
    }

    /// Counts how long threads have waited for their turn on a CPU whose timer has fired. While any do, it fires at the
    /// end of each slice.
    pub fn count_waiting(&mut self, cpu: Cpu, now: Time) {
        let index = cpu.0 as usize % MAX_CPUS;
        let waiting = self.cpus[index].ready.count();
        let seen = core::mem::replace(&mut self.turns[index].seen, now);
        let time = now.saturating_sub(seen).min(SLICE);
        self.load.add(time.saturating_mul(waiting.into()));
        self.load(now);
    }

    /// As [`account`](Self::account), up to now.
    pub fn account_until(
        &mut self,
        cpu: Cpu,
        ran: Option<ThreadId>,
        now: Time,
    ) -> Option<(TaskId, Time)> {
        self.turn_ends(cpu, now);
        self.account(cpu, ran)
    }
}
