//! Lent priority: who serves a waiting caller runs at least at that caller's priority (T-15).
//!
//! The loan goes with the right to the caller's reply object: whoever receives that right gets it, so a server that
//! passes a request on passes the loan on. It ends when the reply slot is answered through or given away, at the next
//! receive, and with the slice. A server that puts the right aside, or waits for something else meanwhile, an answer
//! to a call of its own for one, still works for the caller, and lends on what it was lent. The message fast
//! path does the same where both threads are at hand.
//!
//! Deliberately absent: a loan by requests that still lie in a queue. Which thread will take them is not known.

use super::thread::Thread;
use super::{Flags, Sched};
use crate::base::ids::ThreadId;
use crate::machine::Cpu;

impl Sched {
    /// A thread that runs or waits serves `caller` from now on.
    pub fn lend(&mut self, to: ThreadId, caller: ThreadId) {
        let lent = self.threads.get(caller).map_or(0, |caller| caller.priority);
        if let Some(thread) = self.threads.get_mut(to)
            && thread.priority < lent
            && !thread.flags.contains(Flags::DEPRESSED)
        {
            thread.priority = lent;
        }
    }

    /// A thread that runs here or waits serves nobody in particular any more.
    pub fn end_loan(&mut self, here: Cpu, id: ThreadId) {
        if let Some(thread) = self.threads.get_mut(id)
            && thread.priority != thread.own_priority
        {
            thread.priority = thread.own_priority;
            if self.highest > i16::from(thread.priority) {
                self.cpu(here).reschedule = true;
            }
        }
    }
}

impl Thread {
    /// It waits from now on: what timesharing took comes back, and a loan stays. (For the next request nobody waits
    /// with one: [`Sched::end_loan`].)
    #[inline(always)]
    pub(super) fn recover_priority(&mut self) {
        self.own_priority = self.base;
        self.priority = self.priority.max(self.base);
    }
}
