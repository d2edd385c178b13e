//! Aging: a thread that timesharing has lowered does not wait for ever.
//!
//! Timesharing takes levels from who computes and gives them back when the thread waits for something. One that keeps
//! wanting the CPU never does, and would never run again beside threads that nothing lowers: of fixed priority, or such as
//! sleep for a moment before each slice ends. So, ten times a second, one thread of those that wait for their turn below
//! the priority they were given is lent that priority, for a slice. All have it in turn.
//!
//! So no task keeps a CPU to itself to which nobody granted more than the ordinary limit of priority; and priorities above
//! that, and those that were lowered on purpose, mean what they say, for no loan exceeds what a thread was given.
//!
//! Decided in November 2026. Mach's timesharing gives levels back with time, to all threads at once: with many that compute,
//! most stand at their full priority at any moment, and a thread that answers a person waits for a slice of each.

use super::{Flags, Policy, Sched, State, Thread};
use crate::machine::{Cpu, Machine, Time};

/// Time between two loans.
const PERIOD: Time = 100_000_000;

/// Threads that are looked at in one interrupt.
const STEP: u32 = 64;

/// Where the search goes on, and when.
#[derive(Debug, Default)]
pub(super) struct Aging {
    /// The next loan is made then.
    due: Time,
    /// The next thread that is looked at, by index.
    hand: u32,
}

impl Sched {
    /// A timer has fired: if it is time, the next thread that waits below its priority is lent that.
    pub fn age<M: Machine>(&mut self, machine: &mut M, here: Cpu, now: Time) {
        if now < self.aging.due {
            return;
        }
        // A woken thread is in no run queue yet.
        self.settle(machine, here);
        let end = self.threads.end();
        for _ in 0..STEP.min(end) {
            let index = self.aging.hand;
            self.aging.hand = (index + 1) % end;
            let id = self.threads.id_at(index);
            let waits = self.threads.find(id).is_some_and(Thread::waits_lowered);
            if let Some(id) = id.filter(|_| waits) {
                self.aging.due = now.saturating_add(PERIOD);
                self.dequeue(id);
                if let Some(thread) = self.threads.get_mut(id) {
                    thread.priority = thread.base;
                }
                self.woken.push(&mut self.threads, id);
                return self.settle(machine, here);
            }
        }
    }
}

impl Thread {
    /// Whether it waits for its turn below the priority that it was given.
    fn waits_lowered(&self) -> bool {
        self.state == State::Ready
            && self.policy == Policy::Timeshare
            && self.priority < self.base
            && !self.flags.contains(Flags::DEPRESSED)
    }
}
