//! How threads ask to be scheduled (MACH.md T-10, T-11, T-12): what may be asked, and what is told of it. Who runs when is
//! not judged, so that programs leave nobody with a priority that others could not run beside.

use std::collections::BTreeMap;

use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::task::{BACKGROUND_PRIORITY, DEFAULT_PRIORITY, MAX_PRIORITY, policy};

use super::asks::list;
use super::control::answer;
use super::names::{Answer, accept, refuse};
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

/// How far from the priority that all begin with a thread may stay.
const MILD: u32 = 5;

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
        if let (PolicyOp::DepressAbort, Subject::Thread(thread)) = (op, subject) {
            return self.abort_depression(thread, answer(seen)?);
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
                self.threads[thread].constraint = None;
                let importance = priority.wrapping_sub(DEFAULT_PRIORITY.into());
                let wishes = &mut self.threads[thread].wishes;
                wishes.insert(policy::STANDARD, 1 - fixed);
                wishes.insert(policy::PRECEDENCE, importance);
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
        if let (policy::TIME_CONSTRAINT, [period, computation, constraint, preemptible]) =
            (flavor, words)
        {
            let fits = computation <= constraint && (*period == 0 || computation <= period);
            if !fits || !policy::COMPUTATION.contains(computation) || *preemptible > 1 {
                return Code::InvalidArgument;
            }
            self.threads[thread].constraint = words.try_into().ok();
            self.threads[thread].may_overrun = true;
            return Code::Success;
        }
        let word = match (flavor, words) {
            (policy::STANDARD, []) => 1,
            (policy::STANDARD, [word @ 0..=1]) | (policy::AFFINITY, [word]) => *word,
            (policy::BACKGROUND, [word @ (0 | policy::DARWIN_BACKGROUND)]) => *word,
            (policy::PRECEDENCE, [importance]) => {
                let priority = i32::from(DEFAULT_PRIORITY).saturating_add(*importance as i32);
                let limit = self.tasks[self.threads[thread].task].limit as i32;
                let priority = priority.clamp(0, MAX_PRIORITY.into()).min(limit);
                (priority - i32::from(DEFAULT_PRIORITY)) as u32
            }
            (policy::LATENCY_QOS | policy::THROUGHPUT_QOS, [word])
                if *word == 0 || tiers.contains(word) =>
            {
                *word
            }
            _ => return Code::InvalidArgument,
        };
        if flavor == policy::STANDARD {
            self.threads[thread].constraint = None;
        }
        self.threads[thread].wishes.insert(flavor, word);
        Code::Success
    }

    /// The word of a policy.
    pub(super) fn wish(&self, thread: ThreadId, flavor: u32) -> u32 {
        let known = &self.threads[thread];
        match flavor {
            policy::STANDARD if known.constraint.is_some() => 0,
            policy::STANDARD => known.wishes.get(&flavor).copied().unwrap_or(1),
            _ => known.wishes.get(&flavor).copied().unwrap_or(0),
        }
    }

    /// T-11: a thread with a time constraint gives way as well when it has used up its computation, which nobody can tell.
    fn abort_depression(&mut self, thread: ThreadId, seen: Answer) -> Verdict {
        let code = self.end_depression(thread);
        let known = &mut self.threads[thread];
        if !std::mem::replace(&mut known.may_overrun, known.constraint.is_some()) {
            return refuse(seen, &[code]);
        }
        refuse(seen, &[code, Code::Success])
    }

    /// Whether a thread shares time, at about the priority that all begin with: all such threads get to run beside each
    /// other.
    pub fn is_mild(&self, thread: ThreadId) -> bool {
        let importance = self.wish(thread, policy::PRECEDENCE) as i32;
        self.wish(thread, policy::STANDARD) == 1
            && importance.unsigned_abs() <= MILD
            && !self.in_background(thread)
            && !self.may_overrun(thread)
    }

    /// Whether a thread may have run for all of its computation since that was asked for.
    pub fn may_overrun(&self, thread: ThreadId) -> bool {
        self.threads[thread].may_overrun
    }

    /// Whether a thread gets to run that has just decided how another one, or itself, is scheduled.
    pub fn runs_beside(&self, thread: ThreadId, other: ThreadId) -> bool {
        if thread == other {
            return self.priority(thread) + MILD >= DEFAULT_PRIORITY.into();
        }
        let known = &self.threads[other];
        let is_fixed = self.wish(other, policy::STANDARD) == 0 && !self.in_background(other);
        let may_run = !self.is_stopped(other) && !self.waits(other);
        let stays = is_fixed && known.constraint.is_none() && may_run;
        !stays || self.priority(other) <= self.priority(thread)
    }

    /// Whether a thread is in the background.
    pub(super) fn in_background(&self, thread: ThreadId) -> bool {
        self.wish(thread, policy::BACKGROUND) != 0
    }

    /// The priority that holds for a thread.
    pub(super) fn priority(&self, thread: ThreadId) -> u32 {
        let limit = self.tasks[self.threads[thread].task].limit;
        let importance = self.wish(thread, policy::PRECEDENCE);
        let asked = u32::from(DEFAULT_PRIORITY).wrapping_add(importance);
        match self.threads[thread].constraint {
            _ if self.in_background(thread) => asked.min(BACKGROUND_PRIORITY.into()).min(limit),
            Some(_) => limit,
            None => asked.min(limit),
        }
    }

    fn policy(&self, thread: ThreadId, flavor: u32, seen: &Seen) -> Verdict {
        let expected = match (flavor, self.threads[thread].constraint) {
            (
                policy::STANDARD
                | policy::PRECEDENCE
                | policy::AFFINITY
                | policy::BACKGROUND
                | policy::LATENCY_QOS
                | policy::THROUGHPUT_QOS,
                _,
            ) => vec![self.wish(thread, flavor)],
            (policy::TIME_CONSTRAINT, Some(words)) => words.to_vec(),
            (policy::TIME_CONSTRAINT, None) => return refuse(answer(seen)?, &[Code::Failure]),
            _ => return refuse(answer(seen)?, &[Code::InvalidArgument]),
        };
        let expected: Vec<u64> = expected.into_iter().map(u64::from).collect();
        match list(seen)? == expected {
            true => Ok(()),
            false => Err(format!("{expected:x?} expected, not {seen:x?}")),
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
