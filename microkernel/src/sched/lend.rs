//! Lent priority: who serves a waiting caller runs at least at that caller's priority (T-15).
//!
//! The loan goes with the right to the caller's reply object: whoever receives that right gets it, so a server that
//! passes a request on passes the loan on. It ends when the reply slot is answered through or given away, at the next
//! receive, and with the slice. A server that puts the right aside, or waits for something else meanwhile, an answer
//! to a call of its own for one, still works for the caller, and lends on what it was lent. The message fast
//! path does the same where both threads are at hand.
//!
//! Deliberately absent: a loan by requests that still lie in a queue. Which thread will take them is not known. So it is
//! when the port's receive right is on its way: who gets it is lent to with the request that it takes. Nor is anything lent with
//! a reply right among a message's descriptors: who takes it there need not be who answers.

use super::thread::Thread;
use super::{Flags, Sched};
use crate::base::ids::ThreadId;
use crate::machine::Cpu;

impl Sched {
    /// A thread that runs or waits, with this priority, serves `caller` from now on.
    #[inline(always)]
    pub fn lend(&mut self, (to, priority): (ThreadId, u8), caller: ThreadId) {
        if let Some(caller) = self.threads.get(caller)
            && caller.priority > priority
        {
            let lent = caller.priority;
            self.raise(to, lent);
        }
    }

    #[cold]
    fn raise(&mut self, id: ThreadId, lent: u8) {
        if let Some(thread) = self.threads.get_mut(id)
            && !thread.flags.contains(Flags::DEPRESSED)
        {
            thread.priority = lent;
        }
    }

    /// A thread that runs here or waits, and to which priority [is lent](Thread::is_lent), serves nobody in particular any
    /// more.
    #[cold]
    pub fn end_loan(&mut self, here: Cpu, id: ThreadId) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.priority = thread.own_priority;
            if self.highest > i16::from(thread.priority) {
                self.cpu(here).reschedule = true;
            }
        }
    }
}

impl Thread {
    /// Whether it runs at another priority than its own.
    #[inline(always)]
    pub fn is_lent(&self) -> bool {
        self.priority != self.own_priority
    }

    /// It waits from now on: what timesharing took comes back, and a loan stays. (For the next request nobody waits
    /// with one: [`Sched::end_loan`].)
    #[inline(always)]
    pub(super) fn recover_priority(&mut self) {
        self.own_priority = self.base;
        self.priority = self.priority.max(self.base);
    }
}
