//! Timers of random programs.

use abi::names::{Name, port_type};
use abi::trap;

use super::generate::Names;
use super::time::deadline;
use crate::model::{FAR, NEVER, Op, TimerOp, When};

impl Names<'_> {
    /// Something with a timer, or with what is none.
    pub(super) fn timer(&mut self) -> Op {
        let soon = deadline(self.model, When::Soon);
        let deadline = self
            .rng
            .pick(&[0, 1, 2, soon, soon - 1, FAR, FAR + 1, NEVER]);
        let name = self.of_timer();
        Op::Timer(match self.rng.below(10) {
            0 | 1 => TimerOp::Create,
            2..5 => TimerOp::Arm(name, deadline),
            5 | 6 => TimerOp::Cancel(name),
            7 => TimerOp::Destroy(name),
            _ => TimerOp::PortArm(self.of_kind(port_type::RECEIVE), deadline),
        })
    }

    /// A name of a timer: mostly.
    fn of_timer(&mut self) -> Name {
        let mut live = self.live();
        live.retain(|name| self.model.is_timer(self.task, *name));
        if live.is_empty() || self.rng.one_in(8) {
            return self.of_kind(port_type::RECEIVE);
        }
        self.rng.pick(&live)
    }
}

/// A trap's number and arguments.
pub(super) fn registers(op: TimerOp) -> (i64, Vec<u64>) {
    let word = |name: Name| u64::from(name.0);
    match op {
        TimerOp::Create => (trap::MK_TIMER_CREATE, Vec::new()),
        TimerOp::Destroy(name) => (trap::MK_TIMER_DESTROY, vec![word(name)]),
        TimerOp::Arm(name, deadline) => (trap::MK_TIMER_ARM, vec![word(name), deadline]),
        TimerOp::Cancel(name) => (trap::MK_TIMER_CANCEL, vec![word(name)]),
        TimerOp::PortArm(name, deadline) => (trap::TIMER_ARM, vec![word(name), deadline]),
    }
}
