//! Ways of being scheduled that decide who comes first. Threads stay with such as let all others run now and then; what would
//! not is asked for, looked at, and taken back at once.

use abi::kern_return::KernReturn;
use abi::task::{DEFAULT_PRIORITY, policy, thread_info};

use super::World;
use super::generate::Names;
use crate::model::{AskOp, Op, PolicyOp, Seen, Subject, TaskOp, ThreadId, Verdict};

/// Policies, each with words for it: the last ones make no sense.
const POLICIES: [(u32, &[u32]); 12] = [
    (policy::STANDARD, &[0]),
    (policy::TIME_CONSTRAINT, &[0, 1_000_000, 2_000_000, 1]),
    (policy::TIME_CONSTRAINT, &[9_000_000, 50_000, 50_000, 0]),
    (policy::PRECEDENCE, &[5]),
    (policy::PRECEDENCE, &[-3_i32 as u32]),
    (policy::PRECEDENCE, &[-9_i32 as u32]),
    (policy::PRECEDENCE, &[i32::MIN as u32]),
    (policy::BACKGROUND, &[policy::DARWIN_BACKGROUND]),
    (policy::BACKGROUND, &[1]),
    (
        policy::TIME_CONSTRAINT,
        &[1_000_000, 2_000_000, 3_000_000, 1],
    ),
    (policy::TIME_CONSTRAINT, &[0, 49_999, 50_000, 0]),
    (policy::TIME_CONSTRAINT, &[0, 50_000, 50_000]),
];

impl Names<'_> {
    /// Another way for a thread, whatever it does.
    pub(super) fn lasting(&mut self) -> Option<Op> {
        let threads = self.model.subjects(self.task).into_iter();
        let threads = threads.filter_map(|(name, of)| match of {
            Subject::Thread(thread) => Some((name, thread)),
            Subject::Task(_) => None,
        });
        let threads: Vec<_> = threads.collect();
        let (name, thread) = self.rng.pick(&threads);
        let op = Op::Policy(name, Subject::Thread(thread), self.way());
        let mut model = self.model.clone();
        let done = Seen::Trap(KernReturn::Success, 0);
        let is_done = model.step(self.thread, &op, Some(&done)).is_ok();
        (!is_done || model.runs_beside(self.thread, thread)).then_some(op)
    }

    fn way(&mut self) -> PolicyOp {
        let (flavor, words) = self.rng.pick(&POLICIES);
        let usual = u32::from(DEFAULT_PRIORITY);
        let mild = [usual - 5, usual - 2, usual, usual + 1, usual + 4];
        match self.rng.below(5) {
            0 => PolicyOp::SetPriority(self.rng.pick(&[usual - 7, usual, usual + 3]), 1),
            1 => PolicyOp::SetPriority(self.rng.pick(&mild), 0),
            _ => PolicyOp::SetPolicy(flavor, words.to_vec()),
        }
    }
}

impl World {
    /// Whether what an operation answers depends on how long a thread has run.
    pub(super) fn is_unsure(&self, op: &Op) -> bool {
        match op {
            Op::Policy(_, Subject::Thread(of), PolicyOp::DepressAbort) => {
                self.model.may_overrun(*of)
            }
            _ => false,
        }
    }

    /// After a call of a thread: one that is scheduled so that others might not run is told of, and is as all are again.
    pub(super) fn take_back(&mut self, thread: ThreadId, op: &Op) -> Verdict {
        let Op::Policy(name, subject, _) = *op else {
            return Ok(());
        };
        let Subject::Thread(of) = subject else {
            return Ok(());
        };
        if self.model.has_ended(of) || self.model.is_mild(of) {
            return Ok(());
        }
        let flavors = [
            policy::STANDARD,
            policy::TIME_CONSTRAINT,
            policy::PRECEDENCE,
            policy::BACKGROUND,
        ];
        for flavor in flavors {
            self.perform(thread, &Op::Policy(name, subject, PolicyOp::Policy(flavor)))?;
        }
        self.perform(thread, &Op::Task(name, subject, TaskOp::Info))?;
        for flavor in [thread_info::BASIC, thread_info::EXTENDED] {
            let words = thread_info::EXTENDED_COUNT;
            self.perform(
                thread,
                &Op::Ask(name, subject, AskOp::InfoOf(flavor, words)),
            )?;
        }
        for flavor in [policy::BACKGROUND, policy::STANDARD, policy::PRECEDENCE] {
            let word = u32::from(flavor == policy::STANDARD);
            let undo = PolicyOp::SetPolicy(flavor, vec![word]);
            self.perform(thread, &Op::Policy(name, subject, undo))?;
        }
        if self.model.may_overrun(of) {
            let undo = PolicyOp::DepressAbort;
            self.perform(thread, &Op::Policy(name, subject, undo))?;
        }
        match self.model.is_mild(of) {
            true => Ok(()),
            false => Err(format!("thread {of} is not as all are")),
        }
    }
}
