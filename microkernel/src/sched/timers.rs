//! Deadlines of threads, in a tree ordered by time.

use crate::base::ids::ThreadId;
use crate::base::tree::{Links, Nodes};
use crate::machine::{Cpu, Machine, NEVER, Time};

use super::{Flags, Sched, Threads};

/// The tree's view of the threads: ordered by deadline, then by index.
struct ByDeadline<'a>(&'a mut Threads);

impl Nodes for ByDeadline<'_> {
    type Key = (Time, u32);

    fn key(&self, node: u32) -> Self::Key {
        (
            self.0.at(node).map_or(NEVER, |thread| thread.deadline),
            node,
        )
    }

    fn links(&self, node: u32) -> Links {
        self.0.at(node).map_or(Links::LEAF, |thread| thread.timer)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(thread) = self.0.at_mut(node) {
            thread.timer = links;
        }
    }
}

impl Sched {
    /// Wakes a thread at a time, at the latest. The caller sees to what happens then. A depression ends, whose end the
    /// deadline was or was not: a thread has one.
    pub fn arm<M: Machine>(&mut self, machine: &mut M, here: Cpu, id: ThreadId, deadline: Time) {
        self.disarm(id);
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        thread.deadline = deadline;
        thread.flags -= Flags::DEPRESSED;
        thread.flags |= Flags::TIMED;
        self.deadlines
            .insert(&mut ByDeadline(&mut self.threads), id.index());
        self.deadline_changed(machine, here, deadline);
    }

    /// Deadlines are CPU 0's affair: it must hear of one that is earlier than its timer.
    pub(super) fn deadline_changed<M: Machine>(
        &mut self,
        machine: &mut M,
        here: Cpu,
        deadline: Time,
    ) {
        if deadline < self.cpu(Cpu(0)).timer {
            if here == Cpu(0) {
                self.set_timer(machine, here);
            } else {
                machine.kick(Cpu(0));
            }
        }
    }

    /// Forgets a thread's deadline.
    pub fn disarm(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        if thread.flags.contains(Flags::TIMED) {
            thread.flags -= Flags::TIMED | Flags::DEPRESSED;
            let key = (thread.deadline, id.index());
            self.deadlines
                .remove(&mut ByDeadline(&mut self.threads), key);
        }
    }

    /// The earliest deadline and whose it is.
    pub(super) fn first_deadline(&mut self) -> Option<(Time, ThreadId)> {
        let index = self.deadlines.first(&ByDeadline(&mut self.threads))?;
        let id = self.threads.id_at(index)?;
        Some((self.threads.get(id)?.deadline, id))
    }
}
