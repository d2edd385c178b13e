//! Depression: a thread gives way to all others for a while (`thread_switch`).
//!
//! It ends at its deadline, by order, and when the thread waits for something: what it waits for then may need
//! the deadline, of which a thread has one.
//!
//! Deliberately otherwise than XNU and GNU Mach, where the call's return ends it: there a thread is depressed just until
//! its next turn, and the time is only the longest that it waits for that. Here it is so for all of the time that was asked for
//! (T-11), since the deadline says what the caller wants, and who wants the other has `swtch_pri`.

use super::{Flags, Sched};
use crate::base::ids::ThreadId;
use crate::machine::{Cpu, Machine, NEVER, Time};

impl Sched {
    /// The current thread has the lowest priority until `deadline`; a time that is past changes nothing.
    pub fn depress<M: Machine>(
        &mut self,
        machine: &mut M,
        here: Cpu,
        (id, deadline): (ThreadId, Time),
    ) {
        if deadline <= machine.now() {
            return;
        }
        if deadline == NEVER {
            self.disarm(id);
        } else {
            self.arm(machine, here, id, deadline);
        }
        if let Some(thread) = self.threads.get_mut(id) {
            thread.flags |= Flags::DEPRESSED;
            thread.own_priority = 0;
            thread.priority = 0;
        }
    }

    /// Gives a thread its priority back; whether it was depressed.
    pub fn end_depression<M: Machine>(&mut self, machine: &mut M, here: Cpu, id: ThreadId) -> bool {
        let Some(thread) = self.threads.get(id) else {
            return false;
        };
        if !thread.flags.contains(Flags::DEPRESSED) {
            return false;
        }
        let (base, policy) = (thread.base, thread.policy);
        self.forget_depression(id);
        self.set_priority(machine, here, id, (base, policy));
        true
    }

    /// A depressed thread waits from now on, with its own priority and no deadline.
    #[cold]
    pub(super) fn forget_depression(&mut self, id: ThreadId) {
        self.disarm(id);
        if let Some(thread) = self.threads.get_mut(id) {
            thread.flags -= Flags::DEPRESSED;
        }
    }
}
