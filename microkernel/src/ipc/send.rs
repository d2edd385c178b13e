//! The send half of `mach_msg`.

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::registers::{self, Shape, options};
use abi::trace::{self, Kind as TraceKind};

use super::message::{Message, Via};
use super::port::{Kind, Object};
use super::right::{Right, needed};
use super::{Context, Ipc};
use crate::base::ids::{MessageId, PortId, ThreadId};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Frame, Machine, Time};
use crate::sched::{Flags, Wait};

/// A `mach_msg` trap, decoded from its registers.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Bits of [`options`].
    pub options: u32,
    /// Disposition of the destination.
    pub remote: u8,
    /// Disposition of the reply right.
    pub local: u8,
    /// The message beside its words.
    pub shape: Shape,
    /// Where it goes.
    pub destination: Name,
    /// What to reply with.
    pub reply: Name,
    /// Where to receive.
    pub receive: Name,
    /// The message's id.
    pub id: i32,
    /// For both halves.
    pub deadline: Time,
}

impl Call {
    /// Reads the registers.
    pub fn decode(frame: &Frame) -> Self {
        let low = frame.rdi as u32;
        let disposition = |shift: u32| (low >> shift & options::DISPOSITION_MASK) as u8;
        Self {
            options: low & 0xffff,
            remote: disposition(options::REMOTE_SHIFT),
            local: disposition(options::LOCAL_SHIFT),
            shape: Shape((frame.rdi >> 32) as u32),
            destination: registers::low_name(frame.rsi),
            reply: registers::high_name(frame.rsi),
            receive: registers::low_name(frame.rdx),
            id: (frame.rdx >> 32) as i32,
            deadline: frame.r10,
        }
    }

    /// Whether an option is set.
    pub fn has(&self, option: u32) -> bool {
        self.options & option != 0
    }

    /// Whether the reply comes to the thread's own reply object.
    fn replies_to_own(&self) -> bool {
        self.reply == Name::NULL && self.local == disposition::MAKE_SEND_ONCE
    }
}

/// A message that the kernel makes: an answer, or an exception.
#[derive(Debug)]
pub struct KernelMessage {
    /// Its id.
    pub id: i32,
    /// Its payload.
    pub words: [u64; 6],
    /// Identity token of the task that it speaks for; 0 for the kernel's own.
    pub identity: u64,
    /// What to answer with.
    pub reply: Right,
    /// Whose message it counts as; `send_from_kernel` charges it.
    pub payer: LedgerId,
}

/// How a send went.
#[derive(Debug)]
#[must_use]
pub enum Sent {
    /// The message is at its port.
    Done,
    /// The queue is full; the thread waits for room, and its message with it.
    Blocked,
    /// The kernel itself is to answer.
    Kernel(Object, Message),
}

impl Ipc {
    /// Sends the message that the thread's registers describe.
    ///
    /// # Errors
    /// `SendInvalidHeader`, `SendInvalidDest`, `SendInvalidReply`, `SendNoBuffer`: nothing changed.
    pub fn send<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<Sent, MessageReturn> {
        self.check_header(cx, thread, call)?;
        let id = self.reserve_message(cx, thread, call)?;
        let (destination, reply) = self.copy_in_header(cx, thread, call);
        let (port, via) = match destination {
            Right::Send(port) => (port, Via::Send),
            Right::SendOnce(port) => (port, Via::SendOnce),
            Right::None | Right::Dead | Right::Receive(_) => {
                debug_assert!(false, "the header was checked");
                return Err(MessageReturn::SendInvalidDest);
            }
        };
        if let Some(message) = self.messages.get_mut(id) {
            message.port = port;
            message.via = via;
            message.reply = reply;
        }
        if call.shape.is_buffered()
            && let Err(code) = self.copy_in_body(cx, thread, id, call.shape)
        {
            // The header's rights are used up: the message existed, and is destroyed (M-08).
            if let Some(message) = self.messages.remove(id) {
                self.abandon(cx, message);
            }
            return Err(code);
        }
        if self.closes_circle(id, port) {
            if let Some(message) = self.messages.remove(id) {
                self.abandon(cx, message);
            }
            return Ok(Sent::Done);
        }
        Ok(self.dispatch(cx, thread, id))
    }

    /// Brings a message whose rights are copied in to its port, or its thread to waiting.
    fn dispatch<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        id: MessageId,
    ) -> Sent {
        let Some(message) = self.messages.get(id) else {
            return Sent::Done;
        };
        let (port_id, via) = (message.port, message.via);
        let Some(port) = self.ports.get(port_id) else {
            return Sent::Done;
        };
        if let Kind::Kernel(object) = port.kind {
            return match self.messages.remove(id) {
                Some(message) => Sent::Kernel(object, message),
                None => Sent::Done,
            };
        }
        let full = via == Via::Send && port.messages.count() >= port.limit;
        if full && self.receiver_of(cx, port_id).is_none() {
            self.park(cx, thread, port_id, id);
            return Sent::Blocked;
        }
        self.enqueue(cx, port_id, id);
        Sent::Done
    }

    /// Adds a message to its port's queue.
    pub(super) fn enqueue<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        port_id: PortId,
        id: MessageId,
    ) {
        let Some(port) = self.ports.get_mut(port_id) else {
            return;
        };
        if matches!(self.messages.get(id), Some(message) if message.via == Via::SendOnce)
            && !matches!(port.kind, Kind::Reply(_))
        {
            port.send_once_rights -= 1;
        }
        port.messages.push(&mut self.messages, id);
        if cx.sched.trace.is_detailed() {
            self.trace_queued(cx, port_id, id);
        }
        self.port_has_work(port_id);
    }

    #[cold]
    #[inline(never)]
    fn trace_queued<M: Machine>(&self, cx: &mut Context<'_, M>, port: PortId, id: MessageId) {
        if let Some(message) = self.messages.get(id) {
            let message = trace::message(message.id, id.index());
            cx.note(TraceKind::Queue, (port.index().into(), message));
        }
    }

    /// Sends a message of the kernel's own by the right in `to`, which it uses up.
    ///
    /// A message that finds no memory, whose payer has no message left, or that goes to the kernel itself,
    /// is lost, as if it had been sent to a dead port; its rights end, so that whoever waits for it is told.
    pub fn send_from_kernel<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        to: Right,
        content: KernelMessage,
    ) {
        let (port, via) = match to {
            Right::Send(port) => (port, Via::Send),
            Right::SendOnce(port) => (port, Via::SendOnce),
            _ => return self.release(content.reply),
        };
        let receives = self
            .ports
            .get(port)
            .is_some_and(|port| !matches!(port.kind, Kind::Kernel(_)));
        let charged = receives
            && cx
                .ledgers
                .charge(content.payer, Resource::Messages, 1)
                .is_ok();
        let place = charged.then(|| {
            let message = Message::from_kernel(port, content.id, content.words);
            self.messages.insert(message)
        });
        match place {
            Some(Ok(id)) => {
                if let Some(message) = self.messages.get_mut(id) {
                    message.via = via;
                    message.identity = content.identity;
                    message.reply = content.reply;
                    message.payer = Some(content.payer);
                }
                self.enqueue(cx, port, id);
            }
            lost => {
                if lost.is_some() {
                    cx.ledgers.release(content.payer, Resource::Messages, 1);
                }
                self.release(content.reply);
                self.release(to);
            }
        }
    }

    /// The thread waits for room in a port's queue.
    fn park<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        port: PortId,
        message: MessageId,
    ) {
        if let Some(thread) = cx.sched.threads.get_mut(thread) {
            thread.parked = Some(message);
            thread.wait = Wait::Send(port);
        }
        if let Some(port) = self.ports.get_mut(port) {
            port.senders.push(&mut cx.sched.threads, thread);
        }
    }

    /// The message that a blocked sender keeps.
    pub(super) fn take_parked<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> Option<Message> {
        let parked = cx.sched.threads.get_mut(thread)?.parked.take()?;
        self.messages.remove(parked)
    }

    /// A place in the queue has become free: the first blocked sender's message takes it (M-09).
    pub(super) fn admit_sender<M: Machine>(&mut self, cx: &mut Context<'_, M>, port_id: PortId) {
        let Some(port) = self.ports.get_mut(port_id) else {
            return;
        };
        if port.messages.count() >= port.limit {
            return;
        }
        let Some(thread) = port.senders.pop(&mut cx.sched.threads) else {
            return;
        };
        let parked = cx
            .sched
            .threads
            .get_mut(thread)
            .and_then(|thread| thread.parked.take());
        if let Some(message) = parked {
            self.enqueue(cx, port_id, message);
        }
        self.sent_from_wait(cx, thread);
    }

    /// A blocked send has succeeded: the thread goes on with its receive half, or returns.
    pub(super) fn sent_from_wait<M: Machine>(&mut self, cx: &mut Context<'_, M>, thread: ThreadId) {
        cx.sched.disarm(thread);
        let call = Call::decode(cx.machine.frame(thread.index()));
        if !call.has(options::RECEIVE) {
            return Self::finish(cx, thread, MessageReturn::Success);
        }
        match self.receive(cx, thread, &call) {
            Ok(super::receive::Received::Blocked) => {}
            Ok(super::receive::Received::Done) => cx.sched.wake(thread),
            Err(code) => Self::finish(cx, thread, code),
        }
    }

    /// A blocked send is given up: its rights come back as if they had been received (M-10).
    pub(super) fn unsend<M: Machine>(&mut self, cx: &mut Context<'_, M>, thread: ThreadId) {
        let Some(mut message) = self.take_parked(cx, thread) else {
            return;
        };
        let Some(space) = cx.sched.threads.get(thread).map(|thread| thread.space) else {
            return;
        };
        let destination = match message.via {
            Via::Send => Right::Send(message.port),
            Via::SendOnce => Right::SendOnce(message.port),
            Via::Kernel => Right::None,
        };
        let own_reply = cx.sched.threads.get(thread).map(|thread| thread.reply_port);
        let reply = match core::mem::replace(&mut message.reply, Right::None) {
            // The own reply object has no name to come back under; its epoch just ends.
            Right::SendOnce(port) if Some(port) == own_reply => Right::None,
            reply => reply,
        };
        let mut names = [Name::NULL; 2];
        for (name, right) in names.iter_mut().zip([destination, reply]) {
            *name = self.copy_out(cx, space, right).unwrap_or_else(|right| {
                self.release(right);
                Name::NULL
            });
        }
        // The buffer still holds the data; its descriptors now have the names and addresses under which
        // rights and memory came back.
        let mut code = MessageReturn::Success;
        let shape = self.deliver_body(cx, thread, message.port, &mut message, &mut code);
        if let Some(payer) = message.payer {
            cx.ledgers.release(payer, Resource::Messages, 1);
        }
        let frame = cx.machine.frame(thread.index());
        frame.rdi = registers::pair(shape.0, names[0].0);
        frame.rdx = registers::pair(message.id as u32, names[1].0);
    }

    /// All that can be wrong with options, destination and reply. Changes nothing (M-02 to M-05).
    fn check_header<M: Machine>(
        &mut self,
        cx: &Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<(), MessageReturn> {
        let Some(thread) = cx.sched.threads.get(thread) else {
            return Err(MessageReturn::SendInvalidHeader);
        };
        let (space, slot, thread_buffer) = (thread.space, thread.slot, thread.buffer);
        let sendable = call.remote != disposition::MOVE_RECEIVE && needed(call.remote).is_some();
        if call.options & !options::ALL != 0 || !sendable || !call.shape.is_valid() {
            return Err(MessageReturn::SendInvalidHeader);
        }
        let dead = match call.destination {
            Name::REPLY_SLOT if call.remote == disposition::MOVE_SEND_ONCE => {
                slot.is_none_or(|port| self.ports.get(port).is_none())
            }
            name => {
                let allowed = self.can_copy_in(space, name, call.remote);
                allowed.map_err(|_| MessageReturn::SendInvalidDest)?
            }
        };
        if dead {
            return Err(MessageReturn::SendInvalidDest);
        }
        self.check_reply(space, slot, call)?;
        Self::check_shape(cx, thread_buffer, call.shape)
    }

    fn check_reply(
        &mut self,
        space: crate::base::ids::SpaceId,
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
        if local == disposition::NONE {
            let none = name == Name::NULL;
            return if none {
                Ok(())
            } else {
                Err(MessageReturn::SendInvalidHeader)
            };
        }
        if local == disposition::MOVE_RECEIVE || needed(local).is_none() {
            return Err(MessageReturn::SendInvalidHeader);
        }
        if name == call.destination {
            self.check_same_name(space, call)?;
        }
        match name {
            Name::DEAD => Ok(()),
            Name::REPLY_SLOT if local == disposition::MOVE_SEND_ONCE && slot.is_some() => Ok(()),
            name => match self.can_copy_in(space, name, local) {
                Ok(_) => Ok(()),
                Err(_) => Err(MessageReturn::SendInvalidReply),
            },
        }
    }

    /// One name for destination and reply: what is moved twice must be there twice (M-05).
    fn check_same_name(
        &mut self,
        space: crate::base::ids::SpaceId,
        call: &Call,
    ) -> Result<(), MessageReturn> {
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

    /// A place for the message, paid for, before anything is committed.
    fn reserve_message<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<MessageId, MessageReturn> {
        let shortage = MessageReturn::SendNoBuffer;
        let thread_record = cx.sched.threads.get(thread).ok_or(shortage)?;
        let (identity, space) = (thread_record.identity, thread_record.space);
        let payer = self.names.space(space).ok_or(shortage)?.ledger;
        cx.ledgers
            .charge(payer, Resource::Messages, 1)
            .map_err(|_| shortage)?;
        let message = Message {
            identity,
            payer: Some(payer),
            shape: call.shape,
            ..Message::from_kernel(
                thread_record.reply_port,
                call.id,
                cx.machine.frame(thread.index()).words,
            )
        };
        self.messages.insert(message).map_err(|_| {
            cx.ledgers.release(payer, Resource::Messages, 1);
            shortage
        })
    }

    /// Takes both header rights. The header was checked, so both are there.
    fn copy_in_header<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> (Right, Right) {
        // A right that is moved goes last, in case the other one is copied from the same name.
        if call.remote == disposition::MOVE_SEND {
            let reply = self.copy_in_reply(cx, thread, call);
            (
                self.copy_in_named(cx, thread, call.destination, call.remote),
                reply,
            )
        } else {
            let destination = self.copy_in_named(cx, thread, call.destination, call.remote);
            (destination, self.copy_in_reply(cx, thread, call))
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
            (_, Name::DEAD) => Right::Dead,
            (local, name) => self.copy_in_named(cx, thread, name, local),
        }
    }

    fn copy_in_named<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        name: Name,
        disposition: u8,
    ) -> Right {
        let Some(record) = cx.sched.threads.get_mut(thread) else {
            return Right::None;
        };
        if name == Name::REPLY_SLOT {
            record.flags -= Flags::SLOT_FULL;
            return record.slot.take().map_or(Right::None, Right::SendOnce);
        }
        let space = record.space;
        self.copy_in(cx, space, name, disposition)
    }
}
