//! The end of the first task in the midst of a program, with all that it has and waits for, before all others.

use abi::exception::MASK_ALL;

use super::World;
use super::world::Baseline;
use crate::model::{Hand, HandlerOp, HostOp, Level, Op, Subject, Verdict};

/// Of so many programs one ends so.
const RARE: u64 = 4;

impl World {
    /// Whether the first task is to end before all others.
    pub(super) fn ends_first_task(&self) -> bool {
        let setup = &self.setup;
        setup.tasks > 1 && setup.config.seed.is_multiple_of(RARE) && self.model.may_act(0)
    }

    /// Ends the first task, and sees what becomes of the others. When they have ended as well, what is left is what is left
    /// of a machine on which nothing happened.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn end_first(&mut self) -> Verdict {
        // The host keeps what it was given: something that ends with the task, or nothing.
        let own = self.selves[0].task;
        for which in self.model.specials() {
            let op = HostOp::SetSpecial(which, own);
            self.perform(0, &Op::Host(Hand::Steer, op))?;
        }
        let mask = MASK_ALL;
        self.perform(0, &Op::Handler(Level::Host, HandlerOp::Clear { mask }))?;
        self.perform(0, &Op::Exit(Subject::Task(0)))?;
        self.model.end_deserted();
        self.settle()?;
        self.sim.kernel.check(&self.sim.machine)?;
        self.audit()?;
        self.settle()?;
        let left = self.end_others()?;
        self.all_masked()?;
        let mut idle = Self::boot(&self.setup);
        idle.perform(0, &Op::Exit(Subject::Task(0)))?;
        let expected = idle.end_others()?;
        match left == expected {
            true => Ok(()),
            false => Err(format!("{expected:?} is to be left, not {left:?}")),
        }
    }

    fn end_others(&mut self) -> Result<Baseline, String> {
        let all: Vec<_> = self.sim.kernel.task_ids().collect();
        for task in all {
            self.sim.end(task);
        }
        while self.sim.deliver() {}
        self.sim.kernel.stage_rest(&mut self.sim.machine);
        self.sim.kernel.check(&self.sim.machine)?;
        Ok(Baseline::of(&self.sim))
    }
}
