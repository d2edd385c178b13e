//! Guards: a number that the owner of a receive right chooses, without which the right is not destroyed, and
//! if it is strict not moved either (P-19). What asks with another number changes nothing.
//!
//! The code says whose fault it is. Who has asked for `EXC_GUARD` is told besides, and the thread goes on: a task
//! is not stopped for it.

use abi::exception;
use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};

use super::port::{Guard, Mark};
use super::{Context, Ipc};
use crate::base::KernResult;
use crate::base::ids::{PortId, SpaceId};
use crate::machine::Machine;

/// What somebody tried with a guarded port: what was done ([`exception::guard`]), and the guard that was given.
type Tried = (u64, u64);

impl Ipc {
    /// `mach_port_guard`.
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: the port has a guard.
    pub fn guard(&mut self, space: SpaceId, name: Name, guard: Guard) -> KernResult<()> {
        let held = self.guard_of(space, name)?;
        if held.is_some() {
            return Err(KernReturn::InvalidArgument);
        }
        *held = Some(guard);
        Ok(())
    }

    /// `mach_port_unguard`.
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: the port has another guard, or none.
    pub fn unguard<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        (name, value): (Name, u64),
    ) -> KernResult<()> {
        let held = self.guard_of(space, name)?;
        let tried = match held {
            Some(guard) if guard.value == value => {
                *held = None;
                return Ok(());
            }
            Some(_) => exception::guard::INCORRECT_GUARD,
            None => exception::guard::UNGUARDED,
        };
        Self::tell_guard(cx, (space, name), (tried, value));
        Err(KernReturn::InvalidArgument)
    }

    /// [`unguard`](Self::unguard) for a receive right that is about to move.
    ///
    /// # Errors
    /// As there · `InvalidRight`: it is a timer's, which stays whatever is known of its guard.
    pub(super) fn unguard_to_move<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        (name, value): (Name, u64),
    ) -> KernResult<()> {
        let id = self.receive_right(space, name)?;
        if self.is_timer(id) {
            return Err(KernReturn::InvalidRight);
        }
        self.unguard(cx, space, (name, value))
    }

    /// `mach_port_swap_guard`: it stays as strict as it was.
    ///
    /// # Errors
    /// As [`unguard`](Self::unguard).
    pub fn swap_guard<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        (old, new): (u64, u64),
    ) -> KernResult<()> {
        let tried = match self.guard_of(space, name)? {
            Some(held) if held.value == old => {
                held.value = new;
                return Ok(());
            }
            Some(_) => exception::guard::INCORRECT_GUARD,
            None => exception::guard::UNGUARDED,
        };
        Self::tell_guard(cx, (space, name), (tried, old));
        Err(KernReturn::InvalidArgument)
    }

    /// The current thread tried something with a guarded port of its own task's: handlers that want to hear of it do.
    pub(super) fn tell_guard<M: Machine>(
        cx: &mut Context<'_, M>,
        (space, name): (SpaceId, Name),
        (tried, given): Tried,
    ) {
        let current = cx.sched.current(cx.cpu);
        let thread = current.and_then(|id| cx.sched.threads.get_mut(id));
        if let Some(thread) = thread.filter(|thread| thread.space == space) {
            thread.tell(
                exception::GUARD,
                [exception::guard::code(tried, name.0), given],
            );
        }
    }

    /// The same, when a right was to be taken by this disposition and could not be: a guard may have kept it.
    pub(super) fn tell_kept<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (space, name): (SpaceId, Name),
        disposition: u8,
    ) {
        if disposition == disposition::MOVE_RECEIVE && self.is_guarded(space, name) {
            Self::tell_guard(cx, (space, name), (exception::guard::INCORRECT_GUARD, 0));
        }
    }

    fn guard_of(&mut self, space: SpaceId, name: Name) -> KernResult<&mut Option<Guard>> {
        let id = self.receive_right(space, name)?;
        let port = self.ports.get_mut(id).ok_or(KernReturn::InvalidRight)?;
        Ok(&mut port.guard)
    }

    /// Whether a name is a receive right with a guard.
    pub(super) fn is_guarded(&mut self, space: SpaceId, name: Name) -> bool {
        self.guard_of(space, name)
            .is_ok_and(|guard| guard.is_some())
    }

    /// Whether the receive right to a port stays where it is.
    pub(super) fn stays(&self, port: Option<PortId>) -> bool {
        let port = self.ports.find(port);
        port.is_some_and(|port| {
            port.mark == Mark::Timer || port.guard.is_some_and(|guard| guard.strict)
        })
    }
}
