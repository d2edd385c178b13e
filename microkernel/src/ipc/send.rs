//! The send half of `mach_msg`.

use abi::kern_return::{MessageReturn, resource};
use abi::names::{Name, disposition};
use abi::registers::{self, Shape, options};
use abi::trace::{self, Kind as TraceKind};

use super::agenda::Progress;
use super::layout::fits;
use super::message::{Message, Via};
use super::port::{Kind, Object, Port};
use super::receive::{Received, note_receive};
use super::right::Right;
use super::stage::Stage;
use super::{Context, Ipc};
use crate::base::ids::{BodyId, BufferId, MessageId, PortId, ThreadId};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Frame, Machine, Time};
use crate::sched::{Flags, Wait};
use crate::vm::STALLED;

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
            // With the bits that no option and no disposition has, which no sender may set (M-01).
            options: low
                & !(options::DISPOSITION_MASK << options::REMOTE_SHIFT
                    | options::DISPOSITION_MASK << options::LOCAL_SHIFT),
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
    pub(super) fn replies_to_own(&self) -> bool {
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
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum Sent {
    /// The message is at its port.
    Done,
    /// The queue is full; the thread waits for room, and its message with it.
    Blocked,
    /// The message has many rights or much memory: a part of them was copied in, or seen to be there.
    Again,
    /// The kernel itself is to answer.
    Kernel(Object, MessageId),
}

impl Ipc {
    /// Sends the message that the thread's registers describe.
    ///
    /// # Errors
    /// `SendInvalidHeader`, `SendInvalidDest`, `SendInvalidReply`, `SendTooLarge`, `SendNoBuffer`: nothing
    /// changed. Errors of the [body](super::body): the header's rights are used up.
    pub fn send<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<Sent, MessageReturn> {
        let port = self.check_header(cx, thread, call)?;
        if call.shape.descriptors() > 0
            && cx.vm.may_stall()
            && self.await_memory(cx, thread, call.shape)? == Progress::More
        {
            return Ok(Sent::Again);
        }
        let kind = self.ports.get(port).map(|port| port.kind);
        let Some(record) = cx.sched.threads.get(thread) else {
            return Err(MessageReturn::SendNoBuffer);
        };
        let (identity, buffer) = (record.identity, record.buffer);
        let mut message = Message {
            identity,
            shape: call.shape,
            ..Message::from_kernel(port, call.id, cx.machine.frame(thread.index()).words)
        };
        let object = match kind {
            Some(Kind::Kernel(object)) => Some(object),
            _ => None,
        };
        let mut receiver = None;
        let stays = match object {
            Some(_) => call.shape.is_buffered() || !self.answers_at_once(cx, thread, call),
            None => {
                if !polls(cx, call) {
                    receiver = self.meets(cx, port, call.shape);
                }
                receiver.is_none()
            }
        };
        if stays {
            self.pay(cx, thread, &mut message)?;
        } else if object.is_some() {
            let room = self.messages.make_room();
            room.map_err(|_| MessageReturn::SendNoBuffer)?;
        }
        self.copy_in_header(cx, thread, (call, port), &mut message);
        if message.shape.descriptors() > 0 {
            match self.copy_in_rights(cx, thread, &mut message) {
                Ok(Progress::Done) => {}
                Ok(Progress::More) => return self.send_in_steps(cx, thread, message),
                Err(stalled) if stalled.0 == STALLED.0 => {
                    return self.send_in_steps(cx, thread, message).and(Err(stalled));
                }
                Err(code) => {
                    // The header's rights are used up: the message existed, and is destroyed (M-08).
                    self.abandon(cx, message);
                    return Err(code);
                }
            }
        }
        if let Some(object) = object {
            let id = self.keep(cx, thread, message)?;
            return Ok(Sent::Kernel(object, id));
        }
        if let Some(thread) = cx.sched.threads.get_mut(thread) {
            thread.counts.sent = thread.counts.sent.wrapping_add(1);
        }
        if let Some(receiver) = receiver
            && (message.shape.descriptors() == 0 || self.may_hand(cx, receiver, &message))
        {
            self.hand(cx, (buffer, receiver), &mut message);
            return Ok(Sent::Done);
        }
        self.leave(cx, thread, port, message)
    }

    /// Keeps a message of which not all was copied in, for [`send_more`](Self::send_more).
    #[cold]
    fn send_in_steps<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        mut message: Message,
    ) -> Result<Sent, MessageReturn> {
        if message.payer.is_none()
            && let Err(code) = self.pay(cx, thread, &mut message)
        {
            self.abandon(cx, message);
            return Err(code);
        }
        self.begin_stage(cx, thread, (message, Stage::Sending));
        Ok(Sent::Again)
    }

    /// The next step of a send with many rights.
    ///
    /// # Errors
    /// Those of the [body](super::body): the header's rights are used up. [`STALLED`], as a code of messages: the message is
    /// still kept.
    pub(super) fn send_more<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (id, body): (MessageId, BodyId),
    ) -> Result<Sent, MessageReturn> {
        let message = self.messages.get(id);
        let (port, shape) = message.map_or_else(Default::default, |m| (Some(m.port), m.shape));
        let step = match port {
            Some(port) => self.copy_in_step(cx, thread, (body, port), shape),
            None => Err(MessageReturn::SendNoBuffer),
        };
        match step {
            Ok(Progress::More) => return Ok(Sent::Again),
            Err(stalled) if stalled.0 == STALLED.0 => return Err(stalled),
            Ok(Progress::Done) | Err(_) => {}
        }
        let message = self.end_stage(cx, thread);
        let message = message.ok_or(MessageReturn::SendNoBuffer)?;
        if let Err(code) = step {
            self.abandon(cx, message);
            return Err(code);
        }
        match self.ports.get(message.port).map(|port| port.kind) {
            // It died after the header was copied in (M-06).
            None => {
                self.abandon(cx, message);
                Ok(Sent::Done)
            }
            Some(Kind::Kernel(object)) => {
                let id = self.keep(cx, thread, message)?;
                Ok(Sent::Kernel(object, id))
            }
            Some(_) => {
                let port = message.port;
                self.leave(cx, thread, port, message)
            }
        }
    }

    /// Leaves a message at its port, for whoever receives it later.
    #[inline(never)]
    fn leave<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        port: PortId,
        mut message: Message,
    ) -> Result<Sent, MessageReturn> {
        // Its own rights may have driven the receiver away, or it takes more to bring there than to take along; then it needs
        // a place after all.
        if message.payer.is_none()
            && let Err(code) = self.pay(cx, thread, &mut message)
        {
            self.abandon(cx, message);
            return Err(code);
        }
        if message.body.is_some() && self.closes_circle(message.body, port) {
            self.abandon(cx, message);
            return Ok(Sent::Done);
        }
        let id = self.keep(cx, thread, message)?;
        Ok(self.queue(cx, thread, (port, id)))
    }

    /// The thread that a message goes to at once: it waits for one, has room for this one, and nothing
    /// that came earlier is before it.
    #[inline(always)]
    pub(super) fn meets<M: Machine>(
        &self,
        cx: &Context<'_, M>,
        port: PortId,
        shape: Shape,
    ) -> Option<ThreadId> {
        if self.ports.get(port)?.has_work {
            return None;
        }
        let thread = self.receiver_of(cx.sched, port)?;
        let record = cx.sched.threads.get(thread)?;
        let takes = !record.flags.contains(Flags::PEEK)
            && (!shape.is_buffered() || fits(cx.vm, record.buffer, shape));
        takes.then_some(thread)
    }

    /// Whether a message with descriptors can go to that thread: the rights that were copied in meanwhile have changed
    /// nothing about it, and one step is enough.
    fn may_hand<M: Machine>(
        &self,
        cx: &Context<'_, M>,
        receiver: ThreadId,
        message: &Message,
    ) -> bool {
        let port = message.port;
        // One that waited for a port which moved waits no more, though it has not been told.
        self.receiver_of(cx.sched, port) == Some(receiver)
            && self.ports.get(port).is_some_and(|port| !port.has_work)
            // One thing always fits into a step that is for it alone.
            && (message.shape.descriptors() == 1 || !self.takes_steps(cx.vm, message))
    }

    /// Whether the answer to a request to the kernel goes straight into the caller's registers.
    pub(super) fn answers_at_once<M: Machine>(
        &self,
        cx: &Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> bool {
        const PLAIN: u32 = options::SEND | options::RECEIVE;
        const LIMITS: u32 = options::RECEIVE_TIMEOUT | options::SEND_TIMEOUT;
        let own = cx.sched.threads.get(thread).map(|thread| thread.reply_port);
        call.replies_to_own()
            && call.options & !LIMITS == PLAIN
            && call.receive == Name::NULL
            && self.ports.find(own).is_some_and(|port| !port.has_work)
    }

    /// The message is at its port: a send-once right is used up.
    pub(super) fn arrived(&mut self, message: &Message) {
        if message.via == Via::SendOnce
            && let Some(port) = self.ports.get_mut(message.port)
            && !matches!(port.kind, Kind::Reply(_))
        {
            port.send_once_rights -= 1;
        }
    }

    /// Gives a message to a thread that waits for it. Its inline data lies in the buffer `from`.
    pub(super) fn hand<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (from, to): (Option<BufferId>, ThreadId),
        message: &mut Message,
    ) {
        self.arrived(message);
        if let Some(port) = self.ports.get_mut(message.port) {
            port.sequence = port.sequence.wrapping_add(1);
        }
        note_receive(cx, to, message.port, trace::message(message.id, u32::MAX));
        match self.leave_receivers(cx.sched, to) {
            Wait::Exception(..) => self.answer_exception(cx, (to, from), message),
            _ => self.deliver(cx, to, message, from),
        }
        cx.sched.wake(to);
    }

    /// Gives a message its inline data and a place in the arena. In line, for a message is moved by copying it.
    #[inline(always)]
    fn keep<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        mut message: Message,
    ) -> Result<MessageId, MessageReturn> {
        if message.shape.is_buffered()
            && let Err(code) = self.copy_in_data(cx, thread, &mut message)
        {
            self.abandon(cx, message);
            return Err(code);
        }
        self.messages
            .insert(message)
            .map_err(|_| MessageReturn::SendNoBuffer)
    }

    /// Puts a message into its port's queue, or makes its thread wait for room there.
    fn queue<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (port_id, id): (PortId, MessageId),
    ) -> Sent {
        let via = self.messages.get(id).map(|message| message.via);
        let full = via == Some(Via::Send) && self.ports.get(port_id).is_some_and(Port::is_full);
        if full && self.receiver_of(cx.sched, port_id).is_none() {
            self.park(cx, thread, port_id, id);
            return Sent::Blocked;
        }
        self.enqueue(cx, id);
        Sent::Done
    }

    /// Adds a message to its port's queue.
    pub(super) fn enqueue<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: MessageId) {
        let Some(message) = self.messages.get(id) else {
            return;
        };
        let (port_id, via) = (message.port, message.via);
        let Some(port) = self.ports.get_mut(port_id) else {
            return;
        };
        if via == Via::SendOnce && !matches!(port.kind, Kind::Reply(_)) {
            port.send_once_rights -= 1;
        }
        port.messages.push(&mut self.messages, id);
        if cx.sched.trace.is_detailed() {
            self.trace_queued(cx, port_id, id);
        }
        self.message_arrived(cx.sched, port_id);
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
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the right is used up; its owner may not keep it"
    )]
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
        let mut message = Message {
            via,
            identity: content.identity,
            reply: content.reply,
            ..Message::from_kernel(port, content.id, content.words)
        };
        if let Some(receiver) = self.meets(cx, port, Shape::SHORT) {
            return self.hand(cx, (None, receiver), &mut message);
        }
        let receives = self
            .ports
            .get(port)
            .is_some_and(|port| !matches!(port.kind, Kind::Kernel(_)));
        let payer = content.payer;
        if !receives
            || self.messages.make_room().is_err()
            || cx.ledgers.charge(payer, Resource::Messages, 1).is_err()
        {
            return self.abandon(cx, message);
        }
        message.payer = Some(payer);
        if let Ok(id) = self.messages.insert(message) {
            self.enqueue(cx, id);
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
        if port.is_full() {
            return;
        }
        let Some(thread) = port.senders.pop(&mut cx.sched.threads) else {
            return self.room_left(port_id);
        };
        let parked = cx
            .sched
            .threads
            .get_mut(thread)
            .and_then(|thread| thread.parked.take());
        if let Some(message) = parked {
            self.enqueue(cx, message);
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
        match self.receive_from(cx, thread, &call) {
            Ok((Received::Blocked, _)) => {}
            Ok((Received::Done, room)) => {
                // Who waits for that has its turn on the agenda: it may receive where another one waits to send, and so on.
                if let Some(port) = room {
                    self.put_on_agenda(port);
                }
                cx.sched.wake(thread);
            }
            Err(code) => Self::finish(cx, thread, code),
        }
    }

    /// A blocked send is given up and ends with a code: its rights come back as if they had been received (M-10).
    pub(super) fn unsend<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        code: MessageReturn,
    ) {
        let Some(message) = self.take_parked(cx, thread) else {
            return Self::finish(cx, thread, code);
        };
        if self.takes_steps(cx.vm, &message) {
            self.begin_stage(cx, thread, (message, Stage::Returning(code)));
            return cx.sched.wake(thread);
        }
        let code = self.give_back(cx, thread, message, code);
        Self::finish(cx, thread, code);
    }

    /// Gives a message that was not sent back to its thread. The answer is the code, with what else went wrong.
    pub(super) fn give_back<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        mut message: Message,
        code: MessageReturn,
    ) -> MessageReturn {
        let Some(space) = cx.sched.threads.get(thread).map(|thread| thread.space) else {
            return code;
        };
        let mut lost = MessageReturn::Success;
        let notify = Call::decode(cx.machine.frame(thread.index())).has(options::SEND_NOTIFY);
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
                lost.0 |= resource::IPC_SPACE;
                Name::NULL
            });
        }
        if notify {
            self.arm_after_send(space, message.port);
        }
        // The buffer still holds the data; its descriptors now have the names and addresses under which
        // rights and memory came back.
        let at = (self.at(message.port, space), Name::NULL);
        let shape = self.deliver_body(cx, (thread, None), &mut message, at, &mut lost);
        if let Some(payer) = message.payer {
            cx.ledgers.release(payer, Resource::Messages, 1);
        }
        let frame = cx.machine.frame(thread.index());
        frame.rdi = registers::pair(shape.0, names[0].0);
        frame.rdx = registers::pair(message.id as u32, names[1].0);
        MessageReturn(code.0 | lost.resources())
    }

    /// Sees to it that the message finds a place, and that the sender pays for it.
    fn pay<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        message: &mut Message,
    ) -> Result<(), MessageReturn> {
        let shortage = MessageReturn::SendNoBuffer;
        let space = cx.sched.threads.get(thread).ok_or(shortage)?.space;
        let payer = self.names.space(space).ok_or(shortage)?.ledger;
        self.messages.make_room().map_err(|_| shortage)?;
        cx.ledgers
            .charge(payer, Resource::Messages, 1)
            .map_err(|_| shortage)?;
        message.payer = Some(payer);
        Ok(())
    }
}

/// Whether a call will not wait for its answer: its receiver is to find the reply right dead.
#[inline(always)]
fn polls<M: Machine>(cx: &mut Context<'_, M>, call: &Call) -> bool {
    call.has(options::RECEIVE_TIMEOUT) && call.replies_to_own() && call.deadline <= cx.machine.now()
}
