//! The two rights of a message's header: what can be wrong with them, and how they come into the message.

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::registers::options;

use super::entry::Rights;
use super::layout::fits;
use super::message::{Message, Via};
use super::right::{Right, needed};
use super::send::Call;
use super::{Context, Ipc};
use crate::base::ids::{PortId, SpaceId, ThreadId};
use crate::machine::Machine;

impl Ipc {
    /// All that can be wrong with options, destination, reply and shape; the port of the destination.
    /// Changes nothing (M-02 to M-05).
    pub(super) fn check_header<M: Machine>(
        &mut self,
        cx: &Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<PortId, MessageReturn> {
        let Some(record) = cx.sched.threads.get(thread) else {
            return Err(MessageReturn::SendInvalidHeader);
        };
        let wanted = needed(call.remote).filter(|_| call.remote != disposition::MOVE_RECEIVE);
        let wanted = wanted.ok_or(MessageReturn::SendInvalidHeader)?;
        if call.options & !options::ALL != 0 || !call.shape.is_valid() {
            return Err(MessageReturn::SendInvalidHeader);
        }
        let port = match call.destination {
            Name::REPLY_SLOT if call.remote == disposition::MOVE_SEND_ONCE => {
                record.slot.filter(|port| self.ports.get(*port).is_some())
            }
            name => self.held((record.space, record.first_names), name, wanted),
        };
        let Some(port) = port else {
            return Err(no_destination(call));
        };
        self.check_reply(record.space, record.slot, call)?;
        if call.shape.is_buffered() && !fits(cx.vm, record.buffer, call.shape) {
            return Err(MessageReturn::SendTooLarge);
        }
        Ok(port)
    }

    #[inline(always)]
    fn check_reply(
        &mut self,
        space: SpaceId,
        slot: Option<PortId>,
        call: &Call,
    ) -> Result<(), MessageReturn> {
        let (name, local) = (call.reply, call.local);
        if call.replies_to_own() {
            let receives = call.has(options::RECEIVE) && call.receive == Name::NULL;
            return if receives {
                Ok(())
            } else {
                Err(MessageReturn::SendInvalidReply)
            };
        }
        if local == disposition::NONE && name == Name::NULL {
            return Ok(());
        }
        self.check_named_reply(space, slot, call)
    }

    #[inline(never)]
    fn check_named_reply(
        &mut self,
        space: SpaceId,
        slot: Option<PortId>,
        call: &Call,
    ) -> Result<(), MessageReturn> {
        let (name, local) = (call.reply, call.local);
        if !may_reply(local) {
            return Err(MessageReturn::SendInvalidHeader);
        }
        if name == call.destination {
            self.check_same_name(space, call)?;
        }
        match name {
            // No right at all, whatever the disposition says.
            Name::NULL | Name::DEAD => Ok(()),
            Name::REPLY_SLOT if local == disposition::MOVE_SEND_ONCE && slot.is_some() => Ok(()),
            name => match self.can_copy_in(space, name, local) {
                Ok(_) => Ok(()),
                Err(_) => Err(MessageReturn::SendInvalidReply),
            },
        }
    }

    /// One name for destination and reply: what is moved twice must be there twice (M-05).
    fn check_same_name(&mut self, space: SpaceId, call: &Call) -> Result<(), MessageReturn> {
        let moved = |wanted| call.remote == wanted || call.local == wanted;
        if moved(disposition::MOVE_SEND_ONCE) {
            return Err(MessageReturn::SendInvalidDest);
        }
        let both = call.remote == disposition::MOVE_SEND && call.local == disposition::MOVE_SEND;
        let urefs = self
            .look_up(space, call.destination)
            .map_or(0, |entry| entry.urefs);
        if both && urefs < 2 {
            Err(MessageReturn::SendInvalidDest)
        } else {
            Ok(())
        }
    }

    /// Takes both header rights into the message. The header was checked, so both are there.
    pub(super) fn copy_in_header<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (call, port): (&Call, PortId),
        message: &mut Message,
    ) {
        message.via = match needed(call.remote) {
            Some(Rights::SEND_ONCE) => Via::SendOnce,
            _ if call.remote == disposition::MAKE_SEND_ONCE => Via::SendOnce,
            _ => Via::Send,
        };
        if call.remote == disposition::COPY_SEND {
            self.add_send(port);
            message.reply = self.copy_in_reply(cx, thread, call);
            return;
        }
        self.copy_in_named_header(cx, thread, (call, port), message);
    }

    #[inline(never)]
    fn copy_in_named_header<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (call, port): (&Call, PortId),
        message: &mut Message,
    ) {
        // A right that is moved goes last, in case the other one is copied from the same name.
        let last = call.remote == disposition::MOVE_SEND;
        if last {
            message.reply = self.copy_in_reply(cx, thread, call);
        }
        let destination = self.copy_in_named(cx, thread, call.destination, call.remote);
        debug_assert!(
            matches!(destination, Right::Send(to) | Right::SendOnce(to) if to == port),
            "the header was checked"
        );
        if !last {
            message.reply = self.copy_in_reply(cx, thread, call);
        }
    }

    fn copy_in_reply<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Right {
        if call.replies_to_own() {
            let own = cx.sched.threads.get(thread).map(|thread| thread.reply_port);
            return own.map_or(Right::None, Right::SendOnce);
        }
        match (call.local, call.reply) {
            (disposition::NONE, _) => Right::None,
            (_, Name::NULL) => Right::None,
            (_, Name::DEAD) => Right::Dead,
            (local, name) => self.copy_in_named(cx, thread, name, local),
        }
    }

    #[inline(never)]
    fn copy_in_named<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        name: Name,
        disposition: u8,
    ) -> Right {
        let Some(record) = cx.sched.threads.get(thread) else {
            return Right::None;
        };
        if name == Name::REPLY_SLOT {
            return Self::empty_slot(cx, thread);
        }
        let space = record.space;
        self.copy_in(cx, space, name, disposition)
    }
}

/// Whether a reply right can have a disposition other than none.
fn may_reply(local: u8) -> bool {
    local != disposition::MOVE_RECEIVE && needed(local).is_some()
}

/// What a message without a destination fails with: its dispositions are judged before its names (M-02). The reply's is
/// looked at here, after the fact, so that a sound message does not pay for it.
#[cold]
fn no_destination(call: &Call) -> MessageReturn {
    let none = call.local == disposition::NONE && call.reply == Name::NULL;
    if none || may_reply(call.local) {
        MessageReturn::SendInvalidDest
    } else {
        MessageReturn::SendInvalidHeader
    }
}
