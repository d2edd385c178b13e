//! What happened to a task since its birth, for `task_info`.
//!
//! Threads count messages on their own, since `ipc` has no task at hand; what they counted becomes their task's
//! when they end, and when somebody asks. What takes the message fast path is not counted: two more instructions a
//! message were 3 % of an empty call.

use super::{Task, Tasks};
use crate::base::ids::{TaskId, ThreadId};
use crate::ipc::Context;
use crate::machine::Machine;

/// Counts since a task's birth, as wide as they are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Events {
    /// Page faults.
    pub faults: u32,
    /// Pages that pagers were asked for.
    pub paged_in: u32,
    /// Pages that were copied at a fault.
    pub copied: u32,
    /// Messages that threads sent on the general path.
    pub sent: u32,
    /// Messages that they received there.
    pub received: u32,
    /// Times that a CPU looked for a thread to run after one of its own.
    pub switches: u32,
}

/// Threads whose counts one step takes.
const STEP: u32 = 64;

impl Tasks {
    /// A task's counts get what a thread of it has counted.
    pub(super) fn take_counts<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: ThreadId) {
        let Some(thread) = cx.sched.threads.get_mut(id) else {
            return;
        };
        let Some(Task { events, .. }) = self.arena.get_mut(thread.task) else {
            return;
        };
        let counts = core::mem::take(&mut thread.counts);
        events.sent = events.sent.wrapping_add(counts.sent);
        events.received = events.received.wrapping_add(counts.received);
    }

    /// A task's counts get what its threads have counted, in steps: from the one behind `after` on. Answers the last one of
    /// the step; `None`: these were all.
    pub fn gather_counts<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        task: TaskId,
        after: Option<ThreadId>,
    ) -> Option<ThreadId> {
        let behind = after.and_then(|after| cx.sched.threads.get(after));
        // Whoever was looked at before has little to tell: it may begin anew.
        let mut next = match behind {
            Some(thread) => thread.siblings.next,
            None => self.get(task)?.first_thread,
        };
        for left in (0..STEP).rev() {
            let thread = next?;
            self.take_counts(cx, thread);
            next = cx.sched.threads.get(thread)?.siblings.next;
            if left == 0 && next.is_some() {
                return Some(thread);
            }
        }
        None
    }
}
