//! Exception ports, of whatever has some: a thread's port, a task's and the privileged host port answer this beside
//! their own interface.

use abi::exception::MASK_ALL;
use abi::kern_return::KernReturn;
use abi::transport::Result;
use interfaces::exceptions::{ExceptionPorts, Setting};

use super::Core;
use super::transport::{Held, KernelRights, Reply, Request, serve as dispatch};
use crate::base::KernResult;
use crate::ipc::right::Right;
use crate::machine::Machine;
use crate::sched::{Action, Form};
use crate::task::Level;

struct Ports<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    level: Level,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    level: Level,
    request: Request<'_>,
) -> Reply {
    dispatch::<dyn ExceptionPorts, _>(Ports { core, level }, request)
}

/// Whether a request is of this interface.
pub(super) fn is_meant(id: i32) -> bool {
    (<dyn ExceptionPorts>::SET.id..=<dyn ExceptionPorts>::SWAP.id).contains(&id)
}

fn check_mask(mask: u32) -> KernResult<()> {
    if mask & !MASK_ALL == 0 {
        Ok(())
    } else {
        Err(KernReturn::InvalidArgument)
    }
}

fn setting((mask, action): (u32, Action)) -> Setting {
    Setting {
        mask,
        behavior: action.form.behavior(),
        flavor: action.form.flavor(),
    }
}

impl<M: Machine> Ports<'_, '_, M> {
    fn change(&mut self, mask: u32, action: Option<Action>) -> KernResult<()> {
        let core = &mut *self.core;
        core.tasks
            .set_actions(&mut core.layers, self.level, (mask, action))
    }

    /// The action that a request describes, once it is known to be valid.
    fn action(&self, mask: u32, port: &Held, (behavior, flavor): (u32, u32)) -> KernResult<Action> {
        check_mask(mask)?;
        let form = Form::new(behavior, flavor).ok_or(KernReturn::InvalidArgument)?;
        let port = self.core.port_of(port)?;
        Ok(Action { port, form })
    }

    /// A right for the answer; one to a port that died meanwhile counts as none.
    fn give(&mut self, (mask, action): (u32, Action)) -> KernResult<(Setting, Held)> {
        if self.core.layers.ipc.ports.get(action.port).is_none() {
            return Err(KernReturn::Failure);
        }
        Ok((setting((mask, action)), self.core.give(action.port)))
    }
}

impl<M: Machine> ExceptionPorts for Ports<'_, '_, M> {
    type Rights = KernelRights;

    async fn set(&mut self, mask: u32, port: Held, behavior: u32, flavor: u32) -> Result<()> {
        let action = self.action(mask, &port, (behavior, flavor))?;
        Ok(self.change(mask, Some(action))?)
    }

    async fn clear(&mut self, mask: u32) -> Result<()> {
        check_mask(mask)?;
        Ok(self.change(mask, None)?)
    }

    async fn get(&mut self, mask: u32, index: u32) -> Result<(Setting, Held)> {
        check_mask(mask)?;
        let core = &mut *self.core;
        let actions = core.tasks.actions(&core.layers, self.level);
        let ports = &core.layers.ipc.ports;
        let mut living = actions
            .groups(mask)
            .filter(|(_, action)| ports.get(action.port).is_some());
        let group = living.nth(index as usize).ok_or(KernReturn::Failure)?;
        Ok(self.give(group)?)
    }

    async fn swap(
        &mut self,
        mask: u32,
        port: Held,
        behavior: u32,
        flavor: u32,
    ) -> Result<(Setting, Held)> {
        let action = self.action(mask, &port, (behavior, flavor))?;
        let core = &mut *self.core;
        let actions = core.tasks.actions(&core.layers, self.level);
        let old = actions.groups(mask).next();
        let old = old.filter(|(all, _)| *all == mask);
        let given = self.give(old.ok_or(KernReturn::Failure)?)?;
        if let Err(code) = self.change(mask, Some(action)) {
            if let (_, Held::Given(right @ Right::Send(_))) = given {
                self.core.layers.ipc.release(right);
            }
            return Err(code.into());
        }
        Ok(given)
    }
}
