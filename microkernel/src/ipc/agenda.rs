//! What follows from changes to rights, done later and in bounded steps.
//!
//! A port comes on the agenda when something arrived at it (a message, a notice, a pending word) or when
//! it dies. [`Ipc::work_off`] brings work and receivers together, and takes dying ports apart, an item
//! at a time: a receive right inside a message inside a dying port is one more port on the agenda, not
//! one more stack frame (M-27).

use abi::kern_return::{KernReturn, MessageReturn};
use abi::trace::Kind as TraceKind;

use super::message::{Message, Via};
use super::ops::PORT_BYTES;
use super::port::{Kind, Object, Port};
use super::right::Right;
use super::{Context, Ipc};
use crate::base::ids::{MessageId, PortId, ThreadId};
use crate::base::ledger::Resource;
use crate::machine::Machine;
use crate::sched::{Sched, Wait};

const NIL: u32 = u32::MAX;

/// Ports with something to do, chained by index through [`Port`](super::port::Port)`::agenda_next`.
#[derive(Debug)]
pub(super) struct Agenda {
    first: u32,
    last: u32,
}

impl Default for Agenda {
    fn default() -> Self {
        Self {
            first: NIL,
            last: NIL,
        }
    }
}

/// Whether work is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Progress {
    /// All is done.
    Done,
    /// The bound was reached first.
    More,
}

impl Ipc {
    /// Whether nothing is left to do, which is asked on the way out of every slow trap.
    #[inline(always)]
    pub fn is_settled(&self) -> bool {
        self.agenda.first == NIL && self.ending.is_none() && self.spent_notices.is_none()
    }

    /// A message arrived at a port. Without a thread that waits for it, or asked to be told, nothing follows.
    pub(super) fn message_arrived(&mut self, sched: &Sched, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        port.has_work = true;
        let watched = port.message_request.is_some();
        if port.set.is_some() {
            self.update_ready(id);
        }
        if watched || self.receiver_of(sched, id).is_some() {
            self.put_on_agenda(id);
        }
    }

    /// Something arrived at a port.
    pub(super) fn port_has_work(&mut self, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        port.update_work();
        self.update_ready(id);
        self.put_on_agenda(id);
    }

    /// Ends a port, unless a port-destroyed request saves it (N-05).
    pub(super) fn destroy_port(&mut self, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        if let Some(notice) = port.port_destroyed.take() {
            return self.mail_receive_right(id, notice);
        }
        self.leave_all_sets(id);
        self.disarm_timer(id.index());
        self.set_carrier(id, None);
        // From here on every name and right that denotes the port is dead.
        let Some(id) = self.ports.renew(id) else {
            return;
        };
        if let Some(port) = self.ports.get_mut(id) {
            port.dying = true;
        }
        self.put_on_agenda(id);
    }

    /// Works off at most `steps` items, fewer when they bring or end much. A thread that goes on counts twice: it may have a
    /// deadline, which very many others may have as well.
    pub fn work_off<M: Machine>(&mut self, cx: &mut Context<'_, M>, steps: u32) -> Progress {
        let mut left = steps;
        while left > 0 {
            left = (left - 1).saturating_sub(core::mem::take(&mut self.spent));
            if self.tell_evicted(cx) || self.end_arrays(cx) || self.refund_notice(cx.ledgers) {
                continue;
            }
            let Some(id) = self.ports.id_at(self.agenda.first) else {
                return Progress::Done;
            };
            let dying = self.ports.get(id).is_some_and(|port| port.dying);
            let done = if dying {
                self.take_apart(cx, id)
            } else {
                self.bring_together(cx, id)
            };
            if done {
                self.take_off_agenda(id);
                if dying {
                    self.remove_port(cx, id);
                } else {
                    self.look_for_deserted(id);
                }
                if self.deserted.is_some() {
                    return Progress::More;
                }
            }
        }
        if self.is_settled() {
            Progress::Done
        } else {
            Progress::More
        }
    }

    fn remove_port<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: PortId) {
        let Some(port) = self.ports.remove(id) else {
            return;
        };
        cx.note(TraceKind::PortDeath, (id.index().into(), 0));
        cx.vm.port_died(id);
        if let Some(payer) = port.payer {
            cx.ledgers.release(payer, Resource::KernelBytes, PORT_BYTES);
        }
        if let Kind::Kernel(object) = port.kind {
            self.end_object(cx, object);
        }
    }

    /// A place in a port's queue is free, and nobody waits to send.
    pub(super) fn room_left(&mut self, id: PortId) {
        if self
            .ports
            .get(id)
            .is_some_and(|port| port.room_requests.is_some())
        {
            self.put_on_agenda(id);
        }
    }

    pub(super) fn put_on_agenda(&mut self, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        if port.on_agenda {
            return;
        }
        port.on_agenda = true;
        port.agenda_next = NIL;
        match self.ports.at_mut(self.agenda.last) {
            Some(last) if self.agenda.first != NIL => last.agenda_next = id.index(),
            _ => self.agenda.first = id.index(),
        }
        self.agenda.last = id.index();
    }

    /// The agenda is worked off in order, so what leaves it is always its first item.
    fn take_off_agenda(&mut self, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        debug_assert_eq!(self.agenda.first, id.index());
        port.on_agenda = false;
        self.agenda.first = port.agenda_next;
        if self.agenda.first == NIL {
            self.agenda.last = NIL;
        }
    }

    /// Gives one piece of a port's work to a thread that waits for it; `true` when there is no more to do.
    fn bring_together<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: PortId) -> bool {
        let Some(port) = self.ports.get(id) else {
            return true;
        };
        if !port.has_work {
            return !self.admit_next(cx, id) && !self.tell_of_room(id);
        }
        match self.receiver_of(cx.sched, id) {
            Some(thread) => {
                self.receive_for_blocked(cx, thread, id);
                self.spent += 1;
                false
            }
            None => !self.admit_next(cx, id) && !self.tell_of_message(id) && !self.tell_of_room(id),
        }
    }

    /// Lets the first blocked sender's message in, if there is room: a port's limit may have become larger than by one.
    fn admit_next<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: PortId) -> bool {
        let waits = |port: &Port| !port.is_full() && !port.senders.is_empty();
        let admits = self.ports.get(id).is_some_and(waits);
        if admits {
            self.admit_sender(cx, id);
            self.spent += 1;
        }
        admits
    }

    /// A thread that waits to receive from a port: directly, by a set, or as the owner of a reply port.
    #[inline(always)]
    pub(super) fn receiver_of(&self, sched: &Sched, id: PortId) -> Option<ThreadId> {
        let port = self.ports.get(id)?;
        if let Kind::Reply(owner) = port.kind {
            let thread = sched.threads.get(owner)?;
            return matches!(thread.wait, Wait::Reply | Wait::Exception(..)).then_some(owner);
        }
        port.receivers.first().or_else(|| {
            port.set?;
            let set = self.set_with_receiver(id)?;
            self.ports.get(set)?.receivers.first()
        })
    }

    /// Takes one item of a dying port apart; `true` when nothing is left of it.
    fn take_apart<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: PortId) -> bool {
        let Some(port) = self.ports.get_mut(id) else {
            return true;
        };
        if let Some(thread) = port.receivers.pop(&mut cx.sched.threads) {
            Self::finish(cx, thread, MessageReturn::ReceivePortChanged);
            self.spent += 1;
        } else if let Some(thread) = port.senders.pop(&mut cx.sched.threads) {
            // The destination died after the message was copied in: the send has succeeded (M-06).
            if let Some(mut message) = self.take_parked(cx, thread) {
                self.destroy_message(cx, &mut message);
            }
            self.sent_from_wait(cx, thread);
            self.spent += 1;
        } else if let Kind::Kernel(Object::Semaphore(id)) = port.kind
            && let Some(thread) = cx.sched.first_waiter(id)
        {
            let code = KernReturn::Terminated;
            cx.sched.let_go(cx.machine, thread, code);
            self.spent += 1;
        } else if let Some(notice) = port
            .requests
            .or(port.room_requests)
            .or(port.message_request)
        {
            self.port_died(cx.ledgers, notice);
        } else if let Some(notice) = port.no_senders.take() {
            self.cancel_notice(notice);
        } else if let Some(message) = port.messages.first() {
            self.destroy_queued(cx, id, message);
        } else if !port.notices.is_empty() {
            self.drop_notice(cx.ledgers, id);
        } else if let Some(membership) = port.memberships {
            self.drop_member(id, membership);
        } else {
            return true;
        }
        false
    }

    /// Ends what the first message of a dying port's queue carries, one thing at a time, and at last the message.
    fn destroy_queued<M: Machine>(&mut self, cx: &mut Context<'_, M>, port: PortId, id: MessageId) {
        let body = self.messages.get(id).and_then(|message| message.body);
        if let Some(body) = self.bodies.find_mut(body)
            && let Some(carried) = body.carried.pop()
        {
            return self.end_carried(cx, carried);
        }
        let queue = self.ports.get_mut(port).map(|port| &mut port.messages);
        if let Some(mut message) = queue.and_then(|queue| queue.pop(&mut self.messages)) {
            self.destroy_message(cx, &mut message);
        }
    }

    /// Ends a message that nobody will receive, and every right in it.
    pub(super) fn destroy_message<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        message: &mut Message,
    ) {
        self.release(core::mem::replace(&mut message.reply, Right::None));
        if let Some(body) = message.body.take() {
            self.destroy_body(cx, body, message.payer);
        }
        if let Some(payer) = message.payer {
            cx.ledgers.release(payer, Resource::Messages, 1);
        }
    }

    /// Ends a message that reached no queue: the right that it was sent by ends unused.
    #[inline(never)]
    pub(super) fn abandon<M: Machine>(&mut self, cx: &mut Context<'_, M>, mut message: Message) {
        match message.via {
            Via::Send => self.release(Right::Send(message.port)),
            Via::SendOnce => self.release(Right::SendOnce(message.port)),
            Via::Kernel => {}
        }
        self.destroy_message(cx, &mut message);
    }

    /// The port that a message came to is done with it: the right it came by ends.
    pub(super) fn end_via(&mut self, message: &Message) {
        if message.via == Via::Send {
            self.release(Right::Send(message.port));
        }
    }
}
