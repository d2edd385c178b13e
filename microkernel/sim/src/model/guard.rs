//! Guards of receive rights (MACH.md P-19), and who hears of what was tried without them.

use abi::exception::{self, guard as tried};
use abi::kern_return::KernReturn as Code;
use abi::names::Name;

use super::names::{Answer, accept, refuse};
use super::{Model, Op, Registers, Seen, TaskId, ThreadId, Verdict};

impl Model {
    /// The guard of a receive right.
    pub fn guard_of(&self, task: TaskId, name: Name) -> Option<u64> {
        let port = self.receive_right(task, name)?;
        self.ports[port].guard.map(|(guard, _)| guard)
    }

    pub(super) fn guard(
        &mut self,
        task: TaskId,
        name: Name,
        (guard, strict): (u64, u64),
        seen: Answer,
    ) -> Verdict {
        if strict > 1 {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        let Some(port) = self.receive_right(task, name) else {
            return refuse(seen, &[self.no_receive_right(task, name)]);
        };
        if self.ports[port].guard.is_some() {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        accept(seen)?;
        self.ports[port].guard = Some((guard, strict == 1));
        Ok(())
    }

    /// Takes a guard away, or puts another one in its place.
    pub(super) fn change_guard(
        &mut self,
        task: TaskId,
        name: Name,
        (old, new): (u64, Option<u64>),
        seen: Answer,
    ) -> Verdict {
        let Some(port) = self.receive_right(task, name) else {
            return refuse(seen, &[self.no_receive_right(task, name)]);
        };
        match self.ports[port].guard {
            Some((guard, strict)) if guard == old => {
                accept(seen)?;
                self.ports[port].guard = new.map(|new| (new, strict));
                Ok(())
            }
            held => {
                let wrong = match held {
                    Some(_) => tried::INCORRECT_GUARD,
                    None => tried::UNGUARDED,
                };
                self.misuse(name, (wrong, old));
                refuse(seen, &[Code::InvalidArgument])
            }
        }
    }

    /// A thread tried something with a receive right of its task's, and gave this guard.
    pub(super) fn misuse(&mut self, name: Name, (tried, given): (u64, u64)) {
        self.misuse = Some([tried::code(tried, name.0), given]);
    }

    /// Whoever has asked for it is told of what a thread tried with a guard, once its trap has failed: the thread has an
    /// exception with these registers.
    pub(super) fn tell_of_misuse(
        &mut self,
        thread: ThreadId,
        excepted: Option<&Registers>,
    ) -> Verdict {
        let heard = self.hears_of_guards(thread);
        match (self.misuse.take().filter(|_| heard), excepted) {
            (None, None) => Ok(()),
            (Some(codes), Some(registers)) => {
                self.except(thread, (exception::GUARD, codes), *registers);
                Ok(())
            }
            (codes, _) => Err(format!("told {codes:x?}, excepted with {excepted:x?}")),
        }
    }

    /// Whether somebody is told of what a thread tries with guards.
    pub fn hears_of_guards(&self, thread: ThreadId) -> bool {
        self.would_be_asked(thread, exception::GUARD)
    }

    /// Whether a thread's trap would be an exception, until somebody has heard what it tried.
    pub fn would_except(&self, thread: ThreadId, op: &Op) -> bool {
        let mut probe = self.clone();
        let any = Seen::Trap(Code::Failure, 0);
        let seen = match op {
            Op::Message(_) => None,
            _ => Some(&any),
        };
        // What it tries shows whatever it is answered.
        let _answer = probe.judge(thread, op, seen);
        probe.misuse.is_some() && self.hears_of_guards(thread)
    }
}
