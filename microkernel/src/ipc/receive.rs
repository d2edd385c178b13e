//! The receive half of `mach_msg`, and the end of waits.

use abi::kern_return::{KernReturn, MessageReturn, resource};
use abi::names::Name;
use abi::notify;
use abi::registers::{self, ReplyKind, Shape, options};
use abi::trace::{self, Kind as TraceKind};

use super::entry::Rights;
use super::fast::At;
use super::layout::fits;
use super::message::Message;
use super::notice::{Watch, refund};
use super::port::Kind;
use super::right::Right;
use super::send::Call;
use super::stage::Stage;
use super::{Context, Ipc, Ports};
use crate::base::KernResult;
use crate::base::ids::{BufferId, MessageId, PortId, SpaceId, ThreadId};
use crate::base::ledger::{Ledgers, Resource};
use crate::machine::Machine;
use crate::sched::{Flags, Sched, Wait};

/// How a receive went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Received {
    /// A message is in the thread's registers.
    Done,
    /// The thread waits.
    Blocked,
}

/// What a port-destroyed notification consists of: one descriptor.
pub(super) const PORT_DESTROYED_SHAPE: Shape = Shape::buffered(0, 1);

/// Renewals that a reply port keeps for its own end.
const WORN: u32 = 1;

/// Why a wait ends without what was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The deadline came.
    TimedOut,
    /// `thread_abort`, or the thread is to end.
    Aborted,
}

impl Ipc {
    /// Receives into the thread's registers, or makes it wait.
    ///
    /// # Errors
    /// `ReceiveInvalidName`, `ReceiveTimedOut`.
    pub fn receive<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<Received, MessageReturn> {
        let (received, room) = self.receive_from(cx, thread, call)?;
        if let Some(port) = room {
            self.admit_sender(cx, port);
        }
        Ok(received)
    }

    /// As [`receive`](Self::receive), but for who waits to send: also answers where there may be room now.
    pub(super) fn receive_from<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<(Received, Option<PortId>), MessageReturn> {
        let (port, wait) = self.source(cx, thread, call)?;
        let has_work = self.ports.get(port).is_some_and(|port| port.has_work);
        let mut lent = false;
        if let Some(thread) = cx.sched.threads.get_mut(thread) {
            lent = thread.is_lent();
            let mut flags = thread.flags - (Flags::PEEK | Flags::RECEIVE_LARGE);
            if call.has(options::PEEK) {
                flags |= Flags::PEEK;
            }
            if call.has(options::RECEIVE_LARGE) {
                flags |= Flags::RECEIVE_LARGE;
            }
            thread.flags = flags;
        }
        if lent && let Wait::Receive(_) = wait {
            cx.sched.end_loan(cx.cpu, thread);
        }
        if has_work {
            let room = self.receive_now(cx, thread, port);
            return Ok((Received::Done, room));
        }
        if call.has(options::RECEIVE_TIMEOUT) {
            if call.deadline <= cx.machine.now() {
                if wait == Wait::Reply {
                    self.end_epoch(cx, thread);
                }
                return Err(MessageReturn::ReceiveTimedOut);
            }
            cx.sched.arm(cx.machine, cx.cpu, thread, call.deadline);
        }
        if let Some(thread) = cx.sched.threads.get_mut(thread) {
            thread.wait = wait;
            if let Wait::Receive(source) = wait {
                thread.source = Some(source);
            }
        }
        if let (Wait::Receive(_), Some(port)) = (wait, self.ports.get_mut(port)) {
            port.receivers.push(&mut cx.sched.threads, thread);
        }
        Ok((Received::Blocked, None))
    }

    /// What a receive name denotes. A null name is the own reply object, if a call was sent with it.
    fn source<M: Machine>(
        &self,
        cx: &Context<'_, M>,
        thread: ThreadId,
        call: &Call,
    ) -> Result<(PortId, Wait), MessageReturn> {
        let invalid = MessageReturn::ReceiveInvalidName;
        let thread = cx.sched.threads.get(thread).ok_or(invalid)?;
        if call.receive == Name::NULL && call.has(options::SEND) && call.replies_to_own() {
            return Ok((thread.reply_port, Wait::Reply));
        }
        let names = (thread.space, thread.first_names);
        let port = self.held(names, call.receive, Rights::RECEIVE | Rights::SET);
        port.map(|port| (port, Wait::Receive(port))).ok_or(invalid)
    }

    /// A blocked thread gets what waits at a port, and runs again.
    pub(super) fn receive_for_blocked<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        port: PortId,
    ) {
        match self.leave_receivers(cx.sched, thread) {
            Wait::Exception(..) => {
                if let Some(mut message) = self.take_for(cx, thread, port) {
                    self.answer_exception(cx, (thread, None), &mut message);
                }
            }
            _ => {
                if let Some(port) = self.receive_now(cx, thread, port) {
                    self.admit_sender(cx, port);
                }
            }
        }
        cx.sched.wake(thread);
    }

    /// A thread that waits for a message waits in no queue any more; answers what it waited for.
    #[inline(always)]
    pub(super) fn leave_receivers(&mut self, sched: &mut Sched, thread: ThreadId) -> Wait {
        let Some(record) = sched.threads.get_mut(thread) else {
            return Wait::None;
        };
        let wait = record.wait;
        if let Wait::Receive(queue) = wait
            && let Some(queue) = self.ports.get_mut(queue)
        {
            if queue.receivers.first() != Some(thread) {
                queue.receivers.remove(&mut sched.threads, thread);
            } else {
                queue.receivers.advance(&record.link);
            }
        }
        wait
    }

    /// Moves what waits at a port or set into the thread's registers; the port of which a message was taken.
    fn receive_now<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        source: PortId,
    ) -> Option<PortId> {
        let port = if self.is_set(source) {
            self.next_ready(source)?
        } else {
            source
        };
        let record = cx.sched.threads.get(thread);
        let flags = record.map_or(Flags::empty(), |thread| thread.flags);
        if flags.contains(Flags::PEEK) {
            self.peek(cx, thread, port);
            self.end_left(cx, thread, port);
            return None;
        }
        if flags.contains(Flags::RECEIVE_LARGE) && self.refuses_large(cx, thread, port) {
            self.end_left(cx, thread, port);
            return None;
        }
        let message = self.take_for(cx, thread, port)?;
        self.take_in(cx, thread, message);
        Some(port)
    }

    /// An answer that a call leaves where it is ends with the call: no other receive could fetch it, and a later call must not
    /// take it for its own.
    #[cold]
    fn end_left<M: Machine>(&mut self, cx: &mut Context<'_, M>, thread: ThreadId, port: PortId) {
        let kind = self.ports.get(port).map(|port| port.kind);
        if let Some(Kind::Reply(_)) = kind {
            self.end_epoch(cx, thread);
        }
    }

    /// Delivers a message whose data is its own, or begins to if it has more rights than one step brings.
    pub(super) fn take_in<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        mut message: Message,
    ) {
        let buffer = cx
            .sched
            .threads
            .get(thread)
            .and_then(|thread| thread.buffer);
        if self.takes_steps(cx.vm, &message) && fits(cx.vm, buffer, message.shape) {
            let port = self.ports.get(message.port);
            let number = port.map_or(0, |port| port.sequence.wrapping_sub(1));
            return self.begin_stage(cx, thread, (message, Stage::Receiving(number)));
        }
        self.deliver(cx, thread, &mut message, None);
    }

    /// [`take`](Self::take) for a thread, which the trace tells.
    #[inline(always)]
    fn take_for<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        port: PortId,
    ) -> Option<Message> {
        if cx.sched.trace.is_detailed() {
            self.take_traced(cx, thread, port)
        } else {
            self.take(cx.ledgers, port)
        }
    }

    #[cold]
    #[inline(never)]
    fn take_traced<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        port: PortId,
    ) -> Option<Message> {
        let first = self.ports.get(port).and_then(|port| port.messages.first());
        let message = self.take(cx.ledgers, port)?;
        // What the kernel made of a pending word or a notice was never queued.
        let queued = first.filter(|id| self.messages.get(*id).is_none());
        let number = queued.map_or(u32::MAX, MessageId::index);
        note_receive(cx, thread, port, trace::message(message.id, number));
        Some(message)
    }

    /// Takes the next thing that waits at a port: pending word, notice, message, in this order.
    #[inline(always)]
    fn take(&mut self, ledgers: &mut Ledgers, id: PortId) -> Option<Message> {
        let port = self.ports.get_mut(id)?;
        let message = if port.pending.is_empty() && port.notices.is_empty() {
            port.messages.pop(&mut self.messages)?
        } else {
            self.take_notification(ledgers, id)?
        };
        let port = self.ports.get_mut(id)?;
        port.sequence = port.sequence.wrapping_add(1);
        port.update_work();
        if port.set.is_some() {
            self.update_ready(id);
        }
        Some(message)
    }

    #[inline(never)]
    fn take_notification(&mut self, ledgers: &mut Ledgers, id: PortId) -> Option<Message> {
        let port = self.ports.get_mut(id)?;
        if let Some((message_id, word)) = take_pending(&mut port.pending) {
            return Some(Message::from_kernel(id, message_id, [word, 0, 0, 0, 0, 0]));
        }
        let notice = port.notices.pop(&mut self.notices)?;
        refund(ledgers, &notice);
        if !matches!(port.kind, Kind::Reply(_)) {
            port.send_once_rights -= 1;
        }
        let (mut reply, mut words) = (Right::None, [notice.word, 0, 0, 0, 0, 0]);
        match notice.watch {
            Watch::PortDestroyed { port: Some(port) } => reply = Right::Receive(port),
            Watch::Alarm(Some(alarm)) => words = self.end_alarm(ledgers, alarm),
            _ => {}
        }
        let message = Message::from_kernel(id, notice.id, words);
        Some(Message { reply, ..message })
    }

    /// Writes a message into a thread's registers; its rights become the thread's. Its inline data lies in
    /// its body, or still in the sender's buffer.
    pub(super) fn deliver<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        message: &mut Message,
        from: Option<BufferId>,
    ) {
        self.end_via(message);
        if let Some(payer) = message.payer {
            cx.ledgers.release(payer, Resource::Messages, 1);
        }
        if cx.vm.holds_pagers() {
            cx.vm.pager_drained(message.port);
        }
        let port = message.port;
        let mut code = MessageReturn::Success;
        let reply = core::mem::replace(&mut message.reply, Right::None);
        if let Right::Receive(right) = reply {
            return self.deliver_receive_right(cx, thread, (port, message), right);
        }
        let (kind, name) = self
            .copy_out_reply(cx, thread, reply)
            .unwrap_or_else(|right| {
                self.release(right);
                code.0 = MessageReturn::ReceiveHeaderError.0 | resource::IPC_SPACE;
                (ReplyKind::None, Name::NULL)
            });
        let Some(record) = cx.sched.threads.get_mut(thread) else {
            return;
        };
        record.counts.received = record.counts.received.wrapping_add(1);
        let space = record.space;
        let at = self.at(port, space);
        let (local, label) = (at.name, at.label);
        let shape = if message.shape.is_buffered() {
            self.deliver_body(cx, (thread, from), message, (at, name), &mut code)
        } else {
            Shape::SHORT
        };
        let received = registers::Received::new(shape, kind);
        let frame = cx.machine.frame(thread.index());
        frame.rax = code.0.into();
        frame.rdi = registers::pair(received.0, local.0);
        frame.rsi = label;
        frame.rdx = registers::pair(message.id as u32, name.0);
        frame.heard = message.id;
        frame.r10 = message.identity;
        frame.words = message.words;
    }

    /// What a receiver learns of the port that the last message came to. The port may have died since, or moved on, and
    /// then it is nothing to the receiver any more (M-31).
    #[inline(always)]
    pub(super) fn at(&self, id: PortId, space: SpaceId) -> At {
        let gone = |name| At {
            label: 0,
            name,
            sequence: 0,
        };
        let Some(port) = self.ports.get(id) else {
            return gone(Name::DEAD);
        };
        // A reply object has neither name nor label.
        if port.space.is_some_and(|owner| owner != space) {
            return gone(Name::NULL);
        }
        At {
            label: port.label,
            name: port.name,
            sequence: port.sequence.wrapping_sub(1),
        }
    }

    /// Delivers a port-destroyed notification: one descriptor, with the receive right.
    fn deliver_receive_right<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (port, message): (PortId, &Message),
        right: PortId,
    ) {
        let code = self.copy_out_receive_right(cx, thread, (port, message), right);
        let Some(port) = self.ports.get(port) else {
            return;
        };
        let received = registers::Received::new(PORT_DESTROYED_SHAPE, ReplyKind::None);
        let frame = cx.machine.frame(thread.index());
        frame.rax = code.0.into();
        frame.rdi = registers::pair(received.0, port.name.0);
        frame.rsi = port.label;
        frame.rdx = registers::pair(message.id as u32, 0);
        frame.heard = message.id;
        frame.r10 = message.identity;
        frame.words = message.words;
    }

    /// The reply right's name and kind for the receiver: the slot if it is free and the right is a reply
    /// object's, else an ordinary name.
    fn copy_out_reply<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        right: Right,
    ) -> Result<(ReplyKind, Name), Right> {
        let Some(record) = cx.sched.threads.get_mut(thread) else {
            return Err(right);
        };
        let space = record.space;
        let kind = match right {
            Right::None => return Ok((ReplyKind::None, Name::NULL)),
            Right::SendOnce(id) => {
                if let Some(Kind::Reply(of)) = self.ports.get(id).map(|port| port.kind) {
                    let (free, priority) = (record.slot.is_none(), record.priority);
                    if free {
                        record.slot = Some(id);
                        record.slot_of = Some(of);
                        record.flags |= Flags::SLOT_FULL;
                    }
                    cx.sched.lend((thread, priority), of);
                    if free {
                        return Ok((ReplyKind::Slot, Name::REPLY_SLOT));
                    }
                }
                ReplyKind::SendOnce
            }
            _ => ReplyKind::Send,
        };
        let name = self.copy_out(cx, space, right)?;
        Ok(if name == Name::DEAD {
            (ReplyKind::Dead, name)
        } else {
            (kind, name)
        })
    }

    /// Moves the right in a thread's reply slot to an ordinary name.
    ///
    /// # Errors
    /// `InvalidRight`: the slot is empty · `ResourceShortage`: no name; the right stays in the slot.
    pub fn take_slot<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        space: SpaceId,
    ) -> KernResult<Name> {
        let Some(record) = cx.sched.threads.get_mut(thread) else {
            return Err(KernReturn::InvalidRight);
        };
        let Some(right) = record.slot.take() else {
            return Err(KernReturn::InvalidRight);
        };
        record.flags -= Flags::SLOT_FULL;
        self.copy_out(cx, space, Right::SendOnce(right))
            .map_err(|_| {
                if let Some(record) = cx.sched.threads.get_mut(thread) {
                    record.slot = Some(right);
                    record.flags |= Flags::SLOT_FULL;
                }
                KernReturn::ResourceShortage
            })
    }

    /// Ends a blocked thread's wait before its time.
    ///
    /// Waits that are not of this layer (futex, deadline, stop) are the caller's to end.
    pub fn end_wait<M: Machine>(&mut self, cx: &mut Context<'_, M>, thread: ThreadId, end: End) {
        let Some(record) = cx.sched.threads.get(thread) else {
            return;
        };
        let receive_code = match end {
            End::TimedOut => MessageReturn::ReceiveTimedOut,
            End::Aborted => MessageReturn::ReceiveInterrupted,
        };
        match record.wait {
            Wait::Reply => {
                self.end_epoch(cx, thread);
                Self::finish(cx, thread, receive_code);
            }
            Wait::Receive(port) => {
                self.give_up_receiving(cx, port, thread);
                Self::finish(cx, thread, receive_code);
            }
            Wait::Send(port) => {
                // Its id may be an old one: a port that is being taken apart has another, and keeps those it has not told.
                if let Some(port) = self.ports.at_mut(port.index()) {
                    port.senders.remove(&mut cx.sched.threads, thread);
                }
                let code = match end {
                    End::TimedOut => MessageReturn::SendTimedOut,
                    End::Aborted => MessageReturn::SendInterrupted,
                };
                self.unsend(cx, thread, code);
            }
            // It goes on as it is: with the registers that it was given meanwhile, or into the same exception.
            Wait::Exception(..) => {
                self.end_epoch(cx, thread);
                cx.sched.wake(thread);
            }
            Wait::None | Wait::Futex | Wait::Semaphore(_) | Wait::Page | Wait::Deadline => {}
        }
    }

    /// A send failed. If it was a call, nobody waits for what its own reply object has to tell of that: a right that was
    /// used up by a body that was refused (M-08) would end the thread's next call.
    #[cold]
    #[inline(never)]
    pub fn end_call<M: Machine>(&mut self, cx: &mut Context<'_, M>, thread: ThreadId, call: &Call) {
        if call.replies_to_own() {
            self.end_epoch(cx, thread);
        }
    }

    /// The outstanding right to a thread's reply port dies: late replies find a dead name.
    pub fn end_epoch<M: Machine>(&mut self, cx: &mut Context<'_, M>, thread: ThreadId) {
        let Some(record) = cx.sched.threads.get_mut(thread) else {
            return;
        };
        let old = record.reply_port;
        if Ports::renewals(old) <= WORN {
            return self.replace_reply_port(cx, thread);
        }
        let Some(new) = self.ports.renew(old) else {
            return;
        };
        record.reply_port = new;
        while let Some(notice) = self.ports.get(new).and_then(|port| port.requests) {
            self.port_died(cx.ledgers, notice);
        }
        while let Some(mut message) = self.take(cx.ledgers, new) {
            self.destroy_message(cx, &mut message);
        }
    }

    /// A thread gets another reply port, for its own has had nearly as many epochs as ids can tell apart. Without memory for
    /// one the thread ends: an epoch that did not would let a late reply answer a later call.
    #[cold]
    fn replace_reply_port<M: Machine>(&mut self, cx: &mut Context<'_, M>, thread: ThreadId) {
        let fresh = self.create_port(Kind::Reply(thread));
        let Some(record) = cx.sched.threads.get_mut(thread) else {
            return;
        };
        match fresh {
            Ok(fresh) => {
                let worn = core::mem::replace(&mut record.reply_port, fresh);
                self.release(Right::Receive(worn));
            }
            Err(_) => record.flags |= Flags::TERMINATE,
        }
    }

    /// A blocked thread's `mach_msg` returns.
    pub(super) fn finish<M: Machine>(
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        code: MessageReturn,
    ) {
        cx.machine.frame(thread.index()).rax = code.0.into();
        cx.sched.wake(thread);
    }
}

/// The trace tells that a thread received a message ([`trace::message`]).
#[inline(always)]
pub(super) fn note_receive<M: Machine>(
    cx: &mut Context<'_, M>,
    thread: ThreadId,
    port: PortId,
    message: u64,
) {
    let place = u64::from(port.index()) | u64::from(thread.index()) << 32;
    cx.note(TraceKind::Receive, (place, message));
}

/// One message's worth of a pending word.
fn take_pending(pending: &mut super::port::Pending) -> Option<(i32, u64)> {
    if pending.send_once > 0 {
        pending.send_once -= 1;
        Some((notify::SEND_ONCE, 0))
    } else if pending.interrupts > 0 {
        let count = core::mem::take(&mut pending.interrupts);
        Some((notify::pending::INTERRUPT, count.into()))
    } else {
        pending
            .timer
            .take()
            .map(|deadline| (notify::pending::TIMER, deadline))
    }
}
