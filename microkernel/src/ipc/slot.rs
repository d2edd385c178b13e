//! The reply slot: a send-once right under a reserved name that each thread resolves for itself.
//!
//! It is inspected, moved and ended as under any other name. Whoever keeps the right for longer, or asks to be
//! notified of its death, moves it to an ordinary name first ([`Ipc::take_slot`]).

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition, port_type};

use super::entry::Rights;
use super::ops::rights_of;
use super::right::{Right, needed};
use super::{Context, Ipc};
use crate::base::KernResult;
use crate::base::ids::{SpaceId, ThreadId};
use crate::machine::Machine;
use crate::sched::Flags;

impl Ipc {
    /// What a thread's slot holds: a send-once right, or one that died.
    fn slot<M: Machine>(&self, cx: &Context<'_, M>, thread: ThreadId) -> KernResult<Rights> {
        let port = cx.sched.threads.get(thread).and_then(|thread| thread.slot);
        let port = port.ok_or(KernReturn::InvalidName)?;
        Ok(match self.ports.get(port) {
            Some(_) => Rights::SEND_ONCE,
            None => Rights::DEAD,
        })
    }

    /// Takes the right out of a thread's slot.
    pub(super) fn empty_slot<M: Machine>(cx: &mut Context<'_, M>, thread: ThreadId) -> Right {
        let Some(record) = cx.sched.threads.get_mut(thread) else {
            return Right::None;
        };
        record.flags -= Flags::SLOT_FULL;
        let right = record.slot.take().map_or(Right::None, Right::SendOnce);
        if record.is_lent() {
            cx.sched.end_loan(cx.cpu, thread);
        }
        right
    }

    /// `mach_port_type` of the slot (P-02).
    ///
    /// # Errors
    /// `InvalidName`: it is empty.
    pub fn slot_type<M: Machine>(&self, cx: &Context<'_, M>, thread: ThreadId) -> KernResult<u32> {
        Ok(match self.slot(cx, thread)? {
            Rights::SEND_ONCE => port_type::SEND_ONCE,
            _ => port_type::DEAD_NAME,
        })
    }

    /// `mach_port_get_refs` of the slot (P-13).
    ///
    /// # Errors
    /// `InvalidValue`: no such kind of right · `InvalidName`: it is empty.
    pub fn slot_refs<M: Machine>(
        &self,
        cx: &Context<'_, M>,
        thread: ThreadId,
        kind: u32,
    ) -> KernResult<u32> {
        let wanted = rights_of(kind).ok_or(KernReturn::InvalidValue)?;
        Ok(u32::from(self.slot(cx, thread)? == wanted))
    }

    /// `mach_port_deallocate` and `mach_port_destroy` of the slot: the right ends unused, which its owner is told (P-09).
    ///
    /// # Errors
    /// `InvalidName`: it is empty.
    pub fn end_slot<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> KernResult<()> {
        self.slot(cx, thread)?;
        let right = Self::empty_slot(cx, thread);
        self.release(right);
        Ok(())
    }

    /// `mach_port_mod_refs` of the slot (P-10). It has one reference, whatever it holds.
    ///
    /// # Errors
    /// `InvalidValue`: no such kind of right, or a delta other than 0 and −1 · `InvalidName`: it is empty ·
    /// `InvalidRight`: it holds another kind.
    pub fn mod_slot<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        kind: u32,
        delta: i32,
    ) -> KernResult<()> {
        let wanted = rights_of(kind).ok_or(KernReturn::InvalidValue)?;
        if self.slot(cx, thread)? != wanted {
            return Err(KernReturn::InvalidRight);
        }
        match delta {
            0 => Ok(()),
            -1 => self.end_slot(cx, thread),
            _ => Err(KernReturn::InvalidValue),
        }
    }

    /// `mach_port_insert_right` out of the slot: as with any send-once right, it gets a name that is free (P-14).
    ///
    /// # Errors
    /// `InvalidName`: the slot is empty · `InvalidCapability`: the right is dead ·
    /// `InvalidValue`: no such disposition, or a name that none can have · `InvalidRight`: one for another kind of right ·
    /// `NameExists` · `ResourceShortage`. The right is in the slot then.
    pub fn insert_from_slot<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (space, name): (SpaceId, Name),
        disposition: u8,
    ) -> KernResult<()> {
        let held = self.slot(cx, thread)?;
        needed(disposition).ok_or(KernReturn::InvalidValue)?;
        if held == Rights::DEAD {
            return Err(KernReturn::InvalidCapability);
        }
        if disposition != disposition::MOVE_SEND_ONCE {
            return Err(KernReturn::InvalidRight);
        }
        let record = cx.sched.threads.get(thread);
        let port = record.and_then(|thread| thread.slot);
        let port = port.ok_or(KernReturn::InvalidName)?;
        self.make_name(cx, (space, name), port, Rights::SEND_ONCE)?;
        // The right is the new name's.
        let taken = Self::empty_slot(cx, thread);
        debug_assert!(matches!(taken, Right::SendOnce(_)));
        Ok(())
    }
}
