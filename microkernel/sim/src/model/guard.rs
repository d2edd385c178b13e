//! Guards of receive rights (MACH.md P-19).

use abi::kern_return::KernReturn as Code;
use abi::names::Name;

use super::names::{Answer, accept, refuse};
use super::{Model, TaskId, Verdict};

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
        let Some(port) = self.receive_right(task, name) else {
            return refuse(seen, &[Code::InvalidName, Code::InvalidRight]);
        };
        if self.ports[port].guard.is_some() || strict > 1 {
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
            return refuse(seen, &[Code::InvalidName, Code::InvalidRight]);
        };
        match self.ports[port].guard {
            Some((guard, strict)) if guard == old => {
                accept(seen)?;
                self.ports[port].guard = new.map(|new| (new, strict));
                Ok(())
            }
            _ => refuse(seen, &[Code::InvalidArgument]),
        }
    }
}
