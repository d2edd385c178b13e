//! Traps that are over in a few steps, before anything is decoded: the null trap, the clock, the names of
//! one's own ports, and a yield to a thread of the same priority.
//!
//! They change nothing that anything follows from. As on the message fast path, a condition that does not
//! hold changes nothing and answers `None`, and the general way does the whole trap.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::trap::{CLOCK, HOST_SELF, NULL, TASK_SELF, THREAD_SELF, THREAD_SWITCH, switch_option};

use super::Kernel;
use crate::base::ids::ThreadId;
use crate::machine::{Cpu, Machine, Next};
use crate::task::Place;

impl Kernel {
    /// The null trap, which a machine asks for first: what the others need is not saved for it.
    #[inline(always)]
    pub fn null_trap<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) -> Option<Next> {
        if self.sched.trace.is_detailed() {
            return None;
        }
        let current = self.sched.current(cpu)?;
        let frame = machine.frame(current.index());
        if frame.rax as i64 != NULL {
            return None;
        }
        frame.rax = KernReturn::Success.0.into();
        frame.rdx = 0;
        Some(Next::Run(current.index()))
    }

    /// Does the current thread's trap, if it is one of the others.
    #[inline(always)]
    pub(super) fn brief<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) -> Option<Next> {
        // What is traced is told on the general way.
        if self.sched.trace.is_detailed() {
            return None;
        }
        let current = self.sched.current(cpu)?;
        let mut runs = current;
        let frame = machine.frame(current.index());
        let value = match frame.rax as i64 {
            own @ (TASK_SELF | THREAD_SELF | HOST_SELF) => self.own_name(current, own)?.0.into(),
            THREAD_SWITCH if frame.rdi | frame.rsi == switch_option::NONE => {
                runs = self.sched.take_turns(cpu)?;
                self.counters.switches += 1;
                // A yield has no result: its register stays as it is.
                frame.rdx
            }
            CLOCK => machine.now(),
            _ => return None,
        };
        self.counters.traps += 1;
        let frame = machine.frame(current.index());
        frame.rax = KernReturn::Success.0.into();
        frame.rdx = value;
        Some(Next::Run(runs.index()))
    }

    /// One more reference to the name that the thread's task was given last, if the same is asked for again.
    #[inline(always)]
    fn own_name(&mut self, thread: ThreadId, which: i64) -> Option<Name> {
        let thread = self.sched.threads.get(thread)?;
        let port = match which {
            TASK_SELF => self
                .tasks
                .get(thread.task)?
                .special(&self.ipc, Place::KERNEL)?,
            // This port ends with its last send right.
            THREAD_SELF => self
                .sched
                .extras
                .find(thread.extra)
                .and_then(|extra| extra.port)
                .filter(|port| self.ipc.ports.get(*port).is_some())?,
            _ => self
                .tasks
                .get(thread.task)?
                .special(&self.ipc, Place::HOST)?,
        };
        self.ipc.name_again(thread.space, port)
    }
}
