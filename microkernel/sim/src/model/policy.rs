//! How threads ask to be scheduled (MACH.md T-10, T-11, T-12): what may be asked, and what is told of it. Who runs when is
//! not judged, so that programs give nobody another priority than all have.

use std::collections::BTreeMap;

use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::task::{MAX_PRIORITY, policy};

use super::control::answer;
use super::names::{accept, refuse};
use super::{Carried, Hand, Model, Seen, Subject, TaskId, ThreadId, Verdict};

/// A call to a task's or a thread's port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyOp {
    /// The thread's priority, and whether it is fixed.
    SetPriority(u32, u32),
    /// `thread_policy_set`.
    SetPolicy(u32, Vec<u32>),
    /// `thread_policy_get`.
    Policy(u32),
    /// `thread_depress_abort`.
    DepressAbort,
    /// The highest priority of a task's threads.
    SetLimit(u32),
    /// `task_assign`, with its threads or not; `thread_assign`.
    Assign(Name, u32),
    /// The same, to the default set.
    AssignDefault(u32),
    /// `task_get_assignment`, `thread_get_assignment`.
    Assignment,
}

/// The words of a thread's policies that were set.
pub(super) type Wishes = BTreeMap<u32, u32>;

impl Model {
    /// The highest priority that a task's threads may have.
    pub fn priority_limit(&self, task: TaskId) -> u32 {
        self.tasks[task].limit
    }

    pub(super) fn policy_op(
        &mut self,
        task: TaskId,
        (subject, op): (Subject, &PolicyOp),
        seen: &Seen,
    ) -> Verdict {
        if let (PolicyOp::Policy(flavor), Subject::Thread(thread)) = (op, subject) {
            return self.policy(thread, *flavor, seen);
        }
        let seen = answer(seen)?;
        if *op == PolicyOp::Assignment {
            accept(seen)?;
            let [ask, _] = self.host.set;
            return self.accept_right(task, Carried::Send(ask), Name(seen.1 as u32));
        }
        let code = match (op, subject) {
            (PolicyOp::SetPriority(..), Subject::Thread(thread)) => self.set_priority(thread, op),
            (PolicyOp::SetPolicy(flavor, words), Subject::Thread(thread)) => {
                self.set_policy(thread, *flavor, words)
            }
            (PolicyOp::SetLimit(limit), Subject::Task(task)) => self.set_limit(task, *limit),
            (PolicyOp::DepressAbort, Subject::Thread(thread)) => self.end_depression(thread),
            (PolicyOp::Assign(set, threads), _) => match self.is_processor_set(task, *set) {
                Some(Hand::Steer) => assigned(*threads),
                _ => Code::InvalidArgument,
            },
            (PolicyOp::AssignDefault(threads), _) => assigned(*threads),
            _ => return Err("it has no such call".into()),
        };
        refuse(seen, &[code])
    }

    fn set_priority(&mut self, thread: ThreadId, op: &PolicyOp) -> Code {
        let limit = self.tasks[self.threads[thread].task].limit;
        match *op {
            PolicyOp::SetPriority(_, 2..) => Code::InvalidArgument,
            PolicyOp::SetPriority(priority, _) if priority > MAX_PRIORITY.into() => {
                Code::InvalidArgument
            }
            PolicyOp::SetPriority(priority, fixed) if priority <= limit => {
                let wishes = &mut self.threads[thread].wishes;
                wishes.insert(policy::STANDARD, 1 - fixed);
                Code::Success
            }
            _ => Code::NoAccess,
        }
    }

    fn set_limit(&mut self, task: TaskId, limit: u32) -> Code {
        if limit > MAX_PRIORITY.into() {
            return Code::InvalidArgument;
        }
        if limit > self.tasks[task].limit {
            return Code::NoAccess;
        }
        self.tasks[task].limit = limit;
        Code::Success
    }

    fn set_policy(&mut self, thread: ThreadId, flavor: u32, words: &[u32]) -> Code {
        let tiers = policy::tier(0)..=policy::tier(policy::LAST_TIER);
        let word = match (flavor, words) {
            (policy::STANDARD, []) => 1,
            (policy::STANDARD, [word @ 0..=1]) | (policy::AFFINITY, [word]) => *word,
            (policy::PRECEDENCE | policy::BACKGROUND, [0]) => 0,
            (policy::LATENCY_QOS | policy::THROUGHPUT_QOS, [word])
                if *word == 0 || tiers.contains(word) =>
            {
                *word
            }
            _ => return Code::InvalidArgument,
        };
        self.threads[thread].wishes.insert(flavor, word);
        Code::Success
    }

    fn policy(&self, thread: ThreadId, flavor: u32, seen: &Seen) -> Verdict {
        let set = self.threads[thread].wishes.get(&flavor).copied();
        let word = match flavor {
            policy::STANDARD => set.unwrap_or(1),
            policy::PRECEDENCE
            | policy::AFFINITY
            | policy::BACKGROUND
            | policy::LATENCY_QOS
            | policy::THROUGHPUT_QOS => set.unwrap_or(0),
            policy::TIME_CONSTRAINT => return refuse(answer(seen)?, &[Code::Failure]),
            _ => return refuse(answer(seen)?, &[Code::InvalidArgument]),
        };
        match seen {
            Seen::Told(words) if words.starts_with(&[1, word.into()]) => Ok(()),
            _ => Err(format!("{word:#x} expected, not {seen:x?}")),
        }
    }
}

/// All is in the one set already, with its threads.
fn assigned(threads: u32) -> Code {
    match threads {
        0 | 1 => Code::Success,
        _ => Code::InvalidArgument,
    }
}
