//! Ways of being scheduled that would decide who comes first: programs ask for them for threads that do not run, look at what
//! came of it, and take them back at once.

use abi::task::{DEFAULT_PRIORITY, policy, thread_info};

use super::World;
use super::generate::Names;
use crate::model::{AskOp, Op, PolicyOp, Subject, TaskOp, ThreadId, Verdict};

/// Policies, each with words for it: the last ones make no sense.
const POLICIES: [(u32, &[u32]); 11] = [
    (policy::STANDARD, &[0]),
    (policy::TIME_CONSTRAINT, &[0, 1_000_000, 2_000_000, 1]),
    (policy::TIME_CONSTRAINT, &[9_000_000, 50_000, 50_000, 0]),
    (policy::PRECEDENCE, &[5]),
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
    /// Another way for a thread that does not run.
    pub(super) fn lasting(&mut self) -> Option<Op> {
        let mut subjects = self.model.subjects(self.task);
        subjects
            .retain(|(_, of)| matches!(of, Subject::Thread(thread) if self.model.rests(*thread)));
        if subjects.is_empty() {
            return None;
        }
        let (name, subject) = self.rng.pick(&subjects);
        let (flavor, words) = self.rng.pick(&POLICIES);
        let usual = u32::from(DEFAULT_PRIORITY);
        let op = match self.rng.below(4) {
            0 => PolicyOp::SetPriority(self.rng.pick(&[usual - 7, usual, usual + 3]), 1),
            1 => PolicyOp::SetPriority(usual - 1, 0),
            _ => PolicyOp::SetPolicy(flavor, words.to_vec()),
        };
        Some(Op::Policy(name, subject, op))
    }
}

impl World {
    /// After a call of a thread: another one that is scheduled in another way than all is told of, and is as all are again.
    pub(super) fn take_back(&mut self, thread: ThreadId, op: &Op) -> Verdict {
        let Op::Policy(name, subject, _) = *op else {
            return Ok(());
        };
        let Subject::Thread(of) = subject else {
            return Ok(());
        };
        if self.model.has_ended(of) || self.model.is_ordinary(of) {
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
        match self.model.is_ordinary(of) {
            true => Ok(()),
            false => Err(format!("thread {of} is not as all are")),
        }
    }
}
