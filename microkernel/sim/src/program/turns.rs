//! Traps of threads on themselves.

use abi::names::Name;
use abi::trap;
use abi::trap::swtch;

use super::generate::Names;
use crate::model::{Op, SelfOp};

impl Names<'_> {
    /// A trap on the thread itself.
    pub(super) fn itself(&mut self) -> Op {
        let half = self.rng.pick(&[swtch::WHOLE, swtch::WHOLE, swtch::BACK]);
        Op::Itself(match self.rng.below(8) {
            0 => SelfOp::ThreadSelf,
            1 => SelfOp::TaskSelf,
            2 => SelfOp::HostSelf,
            3 => SelfOp::Swtch(half),
            4 => SelfOp::SwtchPri(half),
            _ => SelfOp::ThreadSwitch(self.turn(), self.rng.below(8) as u64),
        })
    }

    /// Who is to have the turn: mostly a thread.
    fn turn(&mut self) -> Name {
        let subjects = self.model.subjects(self.task);
        match self.rng.below(4) {
            0 => self.any(),
            _ => self.rng.pick(&subjects).0,
        }
    }
}

/// A trap's number and arguments.
pub(super) fn registers(op: SelfOp) -> (i64, Vec<u64>) {
    match op {
        SelfOp::ThreadSwitch(thread, option) => {
            (trap::THREAD_SWITCH, vec![thread.0.into(), option, 0])
        }
        SelfOp::Swtch(half) => (trap::SWTCH, vec![0, 0, half]),
        SelfOp::SwtchPri(half) => (trap::SWTCH_PRI, vec![0, 0, half]),
        SelfOp::ThreadSelf => (trap::THREAD_SELF, Vec::new()),
        SelfOp::TaskSelf => (trap::TASK_SELF, Vec::new()),
        SelfOp::HostSelf => (trap::HOST_SELF, Vec::new()),
    }
}
