//! Traps of threads on themselves.

use abi::names::Name;
use abi::trap;
use abi::trap::swtch;

use super::World;
use super::generate::{NOWHERE, Names};
use crate::model::{Op, Seen, SelfOp, ThreadId};

impl Names<'_> {
    /// A trap on the thread itself.
    pub(super) fn itself(&mut self) -> Op {
        let half = self.rng.pick(&[swtch::WHOLE, swtch::WHOLE, swtch::BACK]);
        Op::Itself(match self.rng.below(10) {
            0 => SelfOp::ThreadSelf,
            1 => SelfOp::TaskSelf,
            2 => SelfOp::HostSelf,
            3 => SelfOp::Swtch(half),
            4 => SelfOp::SwtchPri(half),
            5 if self.rng.one_in(2) => SelfOp::Foreign(self.rng.pick(&trap::REFUSED)),
            5 => SelfOp::Null,
            6 => SelfOp::SetFsBase(self.rng.pick(&[0, NOWHERE + 8, 1 << 47, u64::MAX])),
            _ => SelfOp::ThreadSwitch(self.turn(), self.rng.below(8) as u64),
        })
    }

    /// Who is to have the turn: mostly a thread.
    pub(super) fn turn(&mut self) -> Name {
        let subjects = self.model.subjects(self.task);
        match self.rng.below(4) {
            0 => self.any(),
            _ => self.rng.pick(&subjects).0,
        }
    }
}

impl World {
    /// A trap of a thread on itself; `None`: it lets others run.
    pub(super) fn itself(&mut self, thread: ThreadId, op: SelfOp) -> Option<Seen> {
        let frame = self.threads[thread].0;
        let (number, arguments) = registers(op);
        let answer = self.sim.on(frame).start(number, &arguments)?;
        Some(super::calls::seen(&answer))
    }
}

/// A trap's number and arguments.
fn registers(op: SelfOp) -> (i64, Vec<u64>) {
    match op {
        SelfOp::ThreadSwitch(thread, option) => {
            (trap::THREAD_SWITCH, vec![thread.0.into(), option, 0])
        }
        SelfOp::Swtch(half) => (trap::SWTCH, vec![0, 0, half]),
        SelfOp::SwtchPri(half) => (trap::SWTCH_PRI, vec![0, 0, half]),
        SelfOp::ThreadSelf => (trap::THREAD_SELF, Vec::new()),
        SelfOp::TaskSelf => (trap::TASK_SELF, Vec::new()),
        SelfOp::HostSelf => (trap::HOST_SELF, Vec::new()),
        SelfOp::SetFsBase(address) => (trap::SET_FS_BASE, vec![address]),
        SelfOp::Null => (trap::NULL, Vec::new()),
        SelfOp::Foreign(number) => (number, vec![1; 6]),
    }
}
