//! Exception ports of threads, tasks and the host: setting, inheriting, ending.
//!
//! Invariant: each [`Action`] holds one send right to its port.

use abi::exception::MASK_ALL;
use abi::kern_return::KernReturn;

use super::{Layers, Tasks};
use crate::base::KernResult;
use crate::base::ids::{TaskId, ThreadId};
use crate::base::ledger::Resource;
use crate::ipc::Ipc;
use crate::ipc::right::Right;
use crate::machine::Machine;
use crate::sched::actions::kinds;
use crate::sched::{Action, Actions, Constraint, Extra};

/// Whose exception ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// A thread's.
    Thread(ThreadId),
    /// A task's, for all its threads.
    Task(TaskId),
    /// The host's, for all threads.
    Host,
}

/// Bytes of kernel memory that a thread's own exception ports are charged as.
pub(crate) const ACTIONS_BYTES: u64 = size_of::<Actions>() as u64;

impl Tasks {
    /// The exception ports of a level.
    pub fn actions<M: Machine>(&self, layers: &Layers<'_, M>, level: Level) -> Actions {
        let sched = &layers.cx.sched;
        let found = match level {
            Level::Thread(id) => sched.threads.get(id).and_then(|thread| {
                let extra = sched.extras.find(thread.extra)?;
                sched.actions.find(extra.actions)
            }),
            Level::Task(id) => self.arena.get(id).map(|task| &task.actions),
            Level::Host => Some(&self.host_actions),
        };
        found.copied().unwrap_or(Actions::NONE)
    }

    /// Says where exceptions of the types in a mask go; a send right is made for each.
    ///
    /// # Errors
    /// `Terminated` · `InvalidTask` · `ResourceShortage`: no memory for a thread's first own ones.
    pub fn set_actions<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        level: Level,
        (mask, action): (u32, Option<Action>),
    ) -> KernResult<()> {
        let place = match level {
            Level::Thread(id) => self.thread_actions(layers, id)?,
            Level::Task(id) => {
                &mut self
                    .arena
                    .get_mut(id)
                    .ok_or(KernReturn::InvalidTask)?
                    .actions
            }
            Level::Host => &mut self.host_actions,
        };
        let mut old = *place;
        for kind in kinds(mask) {
            place.replace(kind, action);
        }
        for kind in kinds(mask) {
            if let Some(action) = action {
                layers.ipc.add_send(action.port);
            }
            release(layers.ipc, old.replace(kind, None));
        }
        Ok(())
    }

    /// A child's exceptions go where its parent's go (T-01).
    pub fn inherit_actions<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        (parent, child): (TaskId, TaskId),
    ) {
        let actions = self.actions(layers, Level::Task(parent));
        for (mask, action) in actions.groups(MASK_ALL) {
            if layers.ipc.ports.get(action.port).is_some() {
                let to = Level::Task(child);
                // Only a thread's own need memory.
                self.set_actions(layers, to, (mask, Some(action))).ok();
            }
        }
    }

    /// Releases all rights in exception ports that nobody will use again.
    pub(super) fn end_actions(ipc: &mut Ipc, actions: &mut Actions) {
        for kind in kinds(MASK_ALL) {
            release(ipc, actions.replace(kind, None));
        }
    }

    /// Ends what few threads have: the port, the exception ports.
    pub(super) fn end_extra<M: Machine>(&self, layers: &mut Layers<'_, M>, id: ThreadId) {
        let sched = &mut *layers.cx.sched;
        let Some(thread) = sched.threads.get_mut(id) else {
            return;
        };
        let task = thread.task;
        let Some(extra) = thread.extra.take().and_then(|id| sched.extras.remove(id)) else {
            return;
        };
        if let Some(port) = extra.port {
            layers.ipc.release(Right::Receive(port));
        }
        let Some(mut actions) = extra.actions.and_then(|id| sched.actions.remove(id)) else {
            return;
        };
        Self::end_actions(layers.ipc, &mut actions);
        if let Some(task) = self.arena.get(task) {
            let ledgers = &mut *layers.cx.ledgers;
            ledgers.release(task.ledger, Resource::KernelBytes, ACTIONS_BYTES);
        }
    }

    /// A thread's extra, made when first needed.
    pub(super) fn extra<'a, M: Machine>(
        layers: &'a mut Layers<'_, M>,
        id: ThreadId,
    ) -> KernResult<&'a mut Extra> {
        let sched = &mut *layers.cx.sched;
        let thread = sched.threads.get_mut(id).ok_or(KernReturn::Terminated)?;
        let extra = match thread.extra {
            Some(extra) => extra,
            None => {
                let made = sched.extras.insert(Extra::default());
                let made = made.map_err(|_| KernReturn::ResourceShortage)?;
                *thread.extra.insert(made)
            }
        };
        sched.extras.get_mut(extra).ok_or(KernReturn::Terminated)
    }

    /// Notes a thread's time constraint.
    ///
    /// # Errors
    /// `Terminated` · `ResourceShortage`.
    pub fn set_constraint<M: Machine>(
        layers: &mut Layers<'_, M>,
        id: ThreadId,
        constraint: Constraint,
    ) -> KernResult<()> {
        Self::extra(layers, id)?.constraint = Some(constraint);
        Ok(())
    }

    fn thread_actions<'a, M: Machine>(
        &self,
        layers: &'a mut Layers<'_, M>,
        id: ThreadId,
    ) -> KernResult<&'a mut Actions> {
        let thread = layers.cx.sched.threads.get(id);
        let task = thread.and_then(|thread| self.arena.get(thread.task));
        let ledger = task.ok_or(KernReturn::Terminated)?.ledger;
        let has = Self::extra(layers, id)?.actions;
        let actions = match has {
            Some(actions) => actions,
            None => {
                let ledgers = &mut *layers.cx.ledgers;
                ledgers.charge(ledger, Resource::KernelBytes, ACTIONS_BYTES)?;
                let made = layers.cx.sched.actions.insert(Actions::NONE);
                let made = made.map_err(|_| {
                    ledgers.release(ledger, Resource::KernelBytes, ACTIONS_BYTES);
                    KernReturn::ResourceShortage
                })?;
                Self::extra(layers, id)?.actions = Some(made);
                made
            }
        };
        let actions = layers.cx.sched.actions.get_mut(actions);
        actions.ok_or(KernReturn::Terminated)
    }
}

fn release(ipc: &mut Ipc, action: Option<Action>) {
    if let Some(action) = action {
        ipc.release(Right::Send(action.port));
    }
}
