//! The send half of `mach_msg` (MACH.md M-01 to M-27).

use abi::exception::guard as tried;
use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::names::{Name, disposition};
use abi::registers::options;

use super::{
    Carried, Entry, Holder, Message, Model, PortId, State, TaskId, ThreadId, Verdict, When,
};
use crate::message::{Reply, Request};

/// How far a send got.
enum Sent {
    /// Nothing changed; one of these codes.
    Refused(Vec<Code>),
    /// The header's rights are used up (M-08).
    BodyFailed(Code),
    /// The message is on its way, or was destroyed with `Success`.
    Done,
    /// It waits for room.
    Waits(PortId, Box<Message>),
}

/// Whether the request uses the thread's own reply object.
pub(super) fn is_call(request: &Request) -> bool {
    request.local == (Name::NULL, disposition::MAKE_SEND_ONCE)
}

impl Model {
    pub(super) fn message(
        &mut self,
        thread: ThreadId,
        request: &Request,
        seen: Option<&Reply>,
    ) -> Verdict {
        if request.options & options::SEND == 0 {
            return self.receive(thread, request, seen);
        }
        let verdict = match self.send(thread, request) {
            Sent::Refused(codes) => expect(seen, &codes),
            Sent::BodyFailed(code) => expect(seen, &[code]),
            Sent::Done if request.options & options::RECEIVE != 0 => {
                return self.receive(thread, request, seen);
            }
            Sent::Done => expect(seen, &[Code::Success]),
            Sent::Waits(port, message) => {
                let until = match request.options & options::SEND_TIMEOUT {
                    0 => When::Never,
                    _ => self.when(request.deadline),
                };
                if until != When::Past {
                    self.set_deadline(thread, until);
                    self.ports[port].senders.push_back((thread, *message));
                    self.threads[thread].state = State::Sending(Box::new(request.clone()));
                    return expect_wait(seen);
                }
                if is_call(request) {
                    self.end_epoch(thread);
                }
                let how = (Code::SendTimedOut, request.options);
                if let Some(reply) = seen {
                    return self.unsend(thread, (&message, how), reply);
                }
                self.threads[thread].state = State::Unsent(message, how);
                return Ok(());
            }
        };
        if is_call(request) {
            self.end_epoch(thread);
        }
        verdict.map_err(|why| format!("{request:x?}: {why}"))
    }

    /// M-10: the rights of a message that was not sent come back, as if it had been received.
    pub(super) fn unsend(
        &mut self,
        thread: ThreadId,
        (message, (code, sent_with)): (&Message, (Code, u32)),
        reply: &Reply,
    ) -> Verdict {
        expect(Some(reply), &[code])?;
        let task = self.threads[thread].task;
        self.accept_right(task, message.remote, reply.local)?;
        // The own reply object has no name to come back under.
        let local = match message.local {
            Carried::SendOnce(port) if !self.is_alive(port) => Carried::Null,
            local => local,
        };
        self.accept_right(task, local, reply.reply)?;
        self.accept_body(task, message, reply)?;
        if sent_with & options::SEND_NOTIFY != 0 {
            self.arm_for_room(task, reply.local);
        }
        Ok(())
    }

    fn send(&mut self, thread: ThreadId, request: &Request) -> Sent {
        self.threads[thread].memory_taken = 0;
        let before = self.clone();
        let (remote, local) = match self.copy_in_header(thread, request) {
            Ok(rights) => rights,
            Err(codes) => {
                *self = before;
                return Sent::Refused(codes);
            }
        };
        if request.body.is_some() && !self.has_buffer(thread) {
            *self = before;
            return Sent::Refused(vec![Code::SendTooLarge]);
        }
        let mut message = Message {
            batch: self.batch,
            from_kernel: false,
            id: request.id,
            words: if request.body.is_some() {
                Vec::new()
            } else {
                request.words.to_vec()
            },
            first: request.words[0],
            data: request.body.as_ref().map(|body| body.data.clone()),
            remote,
            local,
            rights: Vec::new(),
            parts: Vec::new(),
        };
        if let Err(code) = self.copy_in_body(thread, request, &mut message) {
            self.discard_unsent(message);
            return Sent::BodyFailed(code);
        }
        self.dispatch(message)
    }

    fn dispatch(&mut self, message: Message) -> Sent {
        let (Carried::Send(port) | Carried::SendOnce(port)) = message.remote else {
            return Sent::Refused(vec![Code::SendInvalidDest]);
        };
        if self.is_circular(&message, port) {
            self.discard_unsent(message);
            return Sent::Done;
        }
        if self.ports[port].holder == Holder::Kernel {
            let code = self.answered_leaving(port).unwrap_or(KernReturn::MigBadId);
            self.refuse_request(message, code);
            return Sent::Done;
        }
        let state = &self.ports[port];
        let full = state.load() >= state.limit && !self.has_waiter(port);
        if full && matches!(message.remote, Carried::Send(_)) {
            return Sent::Waits(port, Box::new(message));
        }
        self.push(port, message);
        Sent::Done
    }

    /// A message that reached no port ends, and the right that it was sent by ends unused (N-07).
    pub(super) fn discard_unsent(&mut self, message: Message) {
        if let Carried::SendOnce(_) = message.remote {
            self.discard(message.remote);
        }
        self.discard_message(message);
    }

    /// M-02 to M-07. On failure the caller restores the state from before.
    fn copy_in_header(
        &mut self,
        thread: ThreadId,
        request: &Request,
    ) -> Result<(Carried, Carried), Vec<Code>> {
        let ((to, how), (reply, reply_how)) = (request.remote, request.local);
        let range = disposition::MOVE_SEND..=disposition::MAKE_SEND_ONCE;
        let none = reply_how == disposition::NONE;
        if !range.contains(&how)
            || !(none || range.contains(&reply_how))
            || (none && reply != Name::NULL)
        {
            return Err(vec![Code::SendInvalidHeader]);
        }
        let both = to == reply && !none;
        let once = disposition::MOVE_SEND_ONCE;
        if both && to.is_valid() && (how == once || reply_how == once) {
            return Err(vec![Code::SendInvalidDest]);
        }
        let copy_first =
            both && how == disposition::MOVE_SEND && reply_how == disposition::COPY_SEND;
        let early = if copy_first {
            self.take(thread, reply, reply_how)
        } else {
            None
        };
        let remote = self
            .take(thread, to, how)
            .filter(|right| *right != Carried::Dead);
        let local = match reply {
            _ if none => Some(Carried::Null),
            _ if is_call(request) => Some(Carried::SendOnce(self.threads[thread].reply)),
            Name::NULL => Some(Carried::Null),
            Name::DEAD => Some(Carried::Dead),
            _ if copy_first => early,
            _ => self.take(thread, reply, reply_how),
        };
        match (remote, local) {
            (Some(remote), Some(local)) => Ok((remote, local)),
            (None, Some(_)) => Err(vec![Code::SendInvalidDest]),
            (Some(_), None) if !both => Err(vec![Code::SendInvalidReply]),
            _ => Err(vec![Code::SendInvalidDest, Code::SendInvalidReply]),
        }
    }

    /// M-03: takes a right out of the sender's names. A dead name may be taken as what it is.
    pub(super) fn take(&mut self, thread: ThreadId, name: Name, how: u8) -> Option<Carried> {
        if name == Name::REPLY_SLOT {
            return self.take_from_slot(thread, how);
        }
        let task = self.threads[thread].task;
        let right = self.take_of(task, name, how);
        let guarded = right.is_none() && how == disposition::MOVE_RECEIVE;
        if guarded && self.guard_of(task, name).is_some() {
            self.misuse(name, (tried::INCORRECT_GUARD, 0));
        }
        right
    }

    /// The same, whoever takes it.
    pub(super) fn take_of(&mut self, task: TaskId, name: Name, how: u8) -> Option<Carried> {
        match (self.entry(task, name)?, how) {
            (
                Entry::Port {
                    port,
                    receive: true,
                    ..
                },
                disposition::MAKE_SEND,
            ) => {
                self.ports[port].make_send += 1;
                Some(Carried::Send(port))
            }
            (
                Entry::Port {
                    port,
                    receive: true,
                    ..
                },
                disposition::MAKE_SEND_ONCE,
            ) => Some(Carried::SendOnce(port)),
            (
                Entry::Port {
                    port,
                    receive: true,
                    ..
                },
                disposition::MOVE_RECEIVE,
            ) if !self.ports[port].stays() => {
                self.clear_receiver(port);
                if let Some(Entry::Port { send, receive, .. }) =
                    self.tasks[task].names.get_mut(&name)
                {
                    *receive = false;
                    if *send == 0 {
                        self.remove(task, name);
                    }
                }
                self.ports[port].holder = Holder::Message;
                Some(Carried::Receive(port))
            }
            (Entry::Port { port, send, .. }, disposition::COPY_SEND) if send > 0 => {
                Some(Carried::Send(port))
            }
            (Entry::Port { port, send, .. }, disposition::MOVE_SEND) if send > 0 => {
                self.unref(task, name, 1);
                Some(Carried::Send(port))
            }
            (Entry::SendOnce { port, .. }, disposition::MOVE_SEND_ONCE) => {
                self.remove(task, name);
                Some(Carried::SendOnce(port))
            }
            (Entry::Dead(_), disposition::COPY_SEND) => Some(Carried::Dead),
            (Entry::Dead(_), disposition::MOVE_SEND | disposition::MOVE_SEND_ONCE) => {
                self.unref(task, name, 1);
                Some(Carried::Dead)
            }
            _ => None,
        }
    }

    fn take_from_slot(&mut self, thread: ThreadId, how: u8) -> Option<Carried> {
        if how != disposition::MOVE_SEND_ONCE {
            return None;
        }
        match self.threads[thread].slot.take()? {
            Carried::SendOnce(port) if self.is_alive(port) => Some(Carried::SendOnce(port)),
            _ => Some(Carried::Dead),
        }
    }

    /// M-26: whether a receive right in the message would travel into its own queue.
    fn is_circular(&self, message: &Message, to: PortId) -> bool {
        message.rights.iter().any(|right| match right {
            Carried::Receive(port) => self.travels_behind(to, *port),
            _ => false,
        })
    }

    /// Whether a port is another one, or lies in its queue, or in that of a port that does.
    pub(super) fn travels_behind(&self, port: PortId, other: PortId) -> bool {
        let mut at = port;
        loop {
            if at == other {
                return true;
            }
            let inside = |state: &super::Port| {
                let waiting = state.senders.iter().map(|(_, message)| message);
                let mut messages = state.queue.iter().chain(&state.claims).chain(waiting);
                messages.any(|message| message.rights.contains(&Carried::Receive(at)))
            };
            match self.ports.iter().position(inside) {
                Some(next) => at = next,
                None => return false,
            }
        }
    }

    fn has_waiter(&self, port: PortId) -> bool {
        self.threads.iter().any(|thread| match thread.state {
            State::Receiving {
                source,
                claimed: false,
                ..
            } => self.covers(source, port),
            _ => false,
        })
    }

    /// A message arrives: a waiting thread is given it, or it is queued.
    pub(super) fn push(&mut self, port: PortId, message: Message) {
        if let Some(thread) = self.excepted_at(port) {
            return self.answered(thread, message);
        }
        let waiter = (0..self.threads.len()).find(|thread| match self.threads[*thread].state {
            State::Receiving {
                source,
                claimed: false,
                ..
            } => self.covers(source, port),
            _ => false,
        });
        let stays = waiter.is_none_or(|thread| self.stays_for(thread, &message));
        if let Some(State::Receiving { claimed, .. }) =
            waiter.map(|thread| &mut self.threads[thread].state)
        {
            *claimed = true;
        }
        match stays {
            true => self.ports[port].queue.push_back(message),
            false => self.claim(port, message),
        }
    }

    /// A waiting thread is given a message, and will show it as the port is now, whatever becomes of it meanwhile.
    pub(super) fn claim(&mut self, port: PortId, message: Message) {
        let holder = match self.ports[port].holder {
            Holder::Task(task) => Some(task),
            _ => None,
        };
        let label = self.ports[port].label;
        let names = holder.map(|task| (task, &self.tasks[task].names));
        let at = names.and_then(|(task, names)| {
            let mut names = names.keys().copied();
            let name = names.find(|name| self.receive_right(task, *name) == Some(port));
            name.map(|name| (task, name, label))
        });
        self.ports[port].claimed_at = at;
        self.ports[port].claims.push_back(message);
    }

    /// Queued messages find a waiter after all: their port joined its set.
    pub(super) fn offer(&mut self, port: PortId) {
        while self.has_waiter(port)
            && let Some(message) = self.ports[port].queue.pop_front()
        {
            self.push(port, message);
        }
    }

    /// Senders that waited get in, in order, as far as there is room (M-09).
    pub(super) fn admit(&mut self, port: PortId) {
        while self.ports[port].load() < self.ports[port].limit {
            let Some((thread, mut message)) = self.ports[port].senders.pop_front() else {
                return self.tell_of_room(port);
            };
            message.batch = self.batch;
            self.push(port, message);
            self.sent(thread);
        }
    }
}

/// The thread must have come back with one of these codes.
pub(super) fn expect(seen: Option<&Reply>, codes: &[Code]) -> Verdict {
    match seen {
        Some(reply) if codes.contains(&reply.code) => Ok(()),
        Some(reply) => Err(format!("{codes:?} expected, not {:?}", reply.code)),
        None => Err(format!("{codes:?} expected, and the thread waits")),
    }
}

/// The thread must wait.
pub(super) fn expect_wait(seen: Option<&Reply>) -> Verdict {
    match seen {
        None => Ok(()),
        Some(reply) => Err(format!(
            "the thread must wait, and came back with {:?}",
            reply.code
        )),
    }
}
