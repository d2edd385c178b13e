//! The receive half of `mach_msg` (MACH.md M-22, M-30 to M-32, P-03, P-04).

use abi::kern_return::MessageReturn as Code;
use abi::names::{MAX_UREFS, Name};
use abi::registers::{ReplyKind, options};

use super::kernel::ANSWER;
use super::message::{expect, expect_wait, is_call};
use super::{
    Carried, Entry, From, Holder, Message, Model, PortId, Source, State, TaskId, ThreadId, Verdict,
    Want, When,
};
use crate::message::{Reply, Request};

impl Model {
    pub(super) fn receive(
        &mut self,
        thread: ThreadId,
        request: &Request,
        seen: Option<&Reply>,
    ) -> Verdict {
        let Some(source) = self.source(thread, request) else {
            return expect(seen, &[Code::ReceiveInvalidName]);
        };
        let ready: Vec<&Message> = (0..self.ports.len())
            .filter(|port| self.covers(source, *port))
            .flat_map(|port| &self.ports[port].queue)
            .collect();
        // What the kernel tells of because of this very trap may be later than a look.
        let late = |message: &&Message| message.from_kernel && message.batch == self.batch;
        let missed =
            seen.is_some_and(|reply| reply.code == Code::ReceiveTimedOut) && ready.iter().all(late);
        if !ready.is_empty() && !missed {
            let Some(reply) = seen else {
                return Err(format!(
                    "{request:x?}: a message is there, and the thread waits"
                ));
            };
            return self.show(thread, (source, Want::of(request)), reply, From::Queue);
        }
        let until = match request.options & options::RECEIVE_TIMEOUT {
            0 => When::Never,
            _ => self.when(request.deadline),
        };
        if until == When::Past {
            if is_call(request) {
                self.end_epoch(thread);
            }
            return expect(seen, &[Code::ReceiveTimedOut]);
        }
        self.threads[thread].state = State::Receiving {
            source,
            want: Want::of(request),
            claimed: false,
        };
        self.set_deadline(thread, until);
        expect_wait(seen)
    }

    /// Whether a message lies in the queue of a task's port.
    pub fn has_mail(&self, task: TaskId, name: Name) -> bool {
        self.receive_right(task, name)
            .is_some_and(|port| !self.ports[port].queue.is_empty())
    }

    /// Whether a message of the kernel's lies there.
    pub fn has_news(&self, task: TaskId, name: Name) -> bool {
        self.receive_right(task, name).is_some_and(|port| {
            let mut queue = self.ports[port].queue.iter();
            queue.any(|message| message.from_kernel)
        })
    }

    pub(super) fn source(&self, thread: ThreadId, request: &Request) -> Option<Source> {
        let thread = &self.threads[thread];
        if is_call(request) && request.receive == Name::NULL {
            return Some(Source::Reply(thread.reply));
        }
        match self.entry(thread.task, request.receive)? {
            Entry::Port {
                port,
                receive: true,
                ..
            } => Some(Source::Port(port)),
            Entry::Set(set) => Some(Source::Set(set)),
            _ => None,
        }
    }

    /// A sender that waited has sent: it comes back, or goes on to its receive.
    pub(super) fn sent(&mut self, thread: ThreadId) {
        let State::Sending(request) = self.threads[thread].state.clone() else {
            return;
        };
        if request.options & options::RECEIVE == 0 {
            self.threads[thread].state = State::Due(Code::Success);
            return;
        }
        let Some(source) = self.source(thread, &request) else {
            self.threads[thread].state = State::Due(Code::ReceiveInvalidName);
            return;
        };
        let ready = (0..self.ports.len())
            .find(|port| self.covers(source, *port) && !self.ports[*port].queue.is_empty());
        let until = match request.options & options::RECEIVE_TIMEOUT {
            0 => When::Never,
            _ => self.when(request.deadline),
        };
        self.set_deadline(thread, until);
        if until == When::Past && ready.is_none() {
            self.threads[thread].state = State::Due(Code::ReceiveTimedOut);
            if is_call(&request) {
                self.end_epoch(thread);
            }
            return;
        }
        self.threads[thread].state = State::Receiving {
            source,
            want: Want::of(&request),
            claimed: ready.is_some(),
        };
        if let Some(port) = ready
            && let Some(message) = self.ports[port].queue.pop_front()
        {
            match self.stays_for(thread, &message) {
                true => self.ports[port].queue.push_front(message),
                false => self.claim(port, message),
            }
        }
    }

    /// The thread shows a message that it says it got.
    pub(super) fn deliver(
        &mut self,
        thread: ThreadId,
        source: Source,
        reply: &Reply,
        from: From,
    ) -> Verdict {
        expect(Some(reply), &[Code::Success, Code::ReceiveTooLarge])?;
        let task = self.threads[thread].task;
        let port = match source {
            Source::Reply(port) => Some(port),
            _ => self
                .receive_right(task, reply.local)
                .filter(|port| self.covers(source, *port))
                .or_else(|| {
                    self.left(task, reply.local)
                        .filter(|_| from == From::Claims)
                }),
        };
        let Some(port) = port else {
            return Err(format!("{:x?} is not what {source:?} covers", reply.local));
        };
        let message = self.find(port, reply, from)?;
        let too_large = self.is_too_large(thread, &message);
        let code = match too_large {
            true => Code::ReceiveTooLarge,
            false => Code::Success,
        };
        expect(Some(reply), &[code])?;
        if !matches!(source, Source::Reply(_)) {
            // It counted before the right moved, which made the count 0.
            let left = self.receive_right(task, reply.local) != Some(port);
            self.ports[port].sequence += u64::from(!left);
            let label = match self.ports[port].claimed_at {
                Some((.., label)) if left => label,
                _ => self.ports[port].label,
            };
            let label = label.unwrap_or(reply.local.0.into());
            if reply.label != label {
                return Err(format!("label {label:#x} expected, not {:#x}", reply.label));
            }
        }
        self.threads[thread].heard = Some(message.id).filter(|id| *id != ANSWER);
        self.threads[thread].serves = matches!(message.local, Carried::SendOnce(_));
        self.accept_reply(thread, message.local, reply)?;
        if too_large {
            // M-33: its reply right has come; all else in it has ended.
            message.rights.iter().for_each(|right| self.discard(*right));
        } else {
            self.accept_body(task, &message, reply)?;
        }
        if let Carried::Send(_) = message.remote {
            self.discard(message.remote);
        }
        self.admit(port);
        self.go_on_ending(port);
        if let Source::Reply(_) = source {
            self.end_epoch(thread);
        }
        Ok(())
    }

    /// The port that a task had under a name when a message at it was given to one of its threads, and that has left
    /// since.
    fn left(&self, task: TaskId, name: Name) -> Option<PortId> {
        self.ports.iter().position(|port| {
            let at = port.claimed_at.map(|(task, name, _)| (task, name));
            at == Some((task, name)) && !port.claims.is_empty()
        })
    }

    /// The message that was shown, out of those that may come next.
    fn find(&mut self, port: PortId, reply: &Reply, from: From) -> Result<Message, String> {
        let alive: Vec<bool> = (0..self.ports.len())
            .map(|port| self.is_alive(port))
            .collect();
        let state = &mut self.ports[port];
        if from == From::Claims {
            let claimed = state
                .claims
                .iter()
                .position(|message| fits(message, reply, &alive));
            if let Some(message) = claimed.and_then(|claimed| state.claims.remove(claimed)) {
                return Ok(message);
            }
            // The kernel gave the thread another message than the model did.
            while let Some(message) = state.claims.pop_back() {
                state.queue.push_front(message);
            }
        }
        let list = &mut state.queue;
        let first_of = |lane| list.iter().find(|message| message.lane() == lane);
        let position = list.iter().position(|message| {
            let first = first_of(message.lane()).map(|first| first.batch);
            Some(message.batch) == first && fits(message, reply, &alive)
        });
        match position.and_then(|position| list.remove(position)) {
            Some(message) => Ok(message),
            None => Err(format!("{:x?} expected, not {reply:x?}", list.front())),
        }
    }

    /// The reply right of a message: in the slot, or under a name.
    fn accept_reply(&mut self, thread: ThreadId, right: Carried, reply: &Reply) -> Verdict {
        let task = self.threads[thread].task;
        if reply.kind != ReplyKind::Slot {
            let to_object = match right {
                Carried::SendOnce(port) => self.ports[port].holder == Holder::Reply,
                _ => false,
            };
            if to_object && self.threads[thread].slot.is_none() {
                return Err("the slot is empty, and the reply right got a name".into());
            }
            return self.accept_right(task, right, reply.reply);
        }
        if self.threads[thread].slot.is_some() {
            return Err("the slot was full, and got another right".into());
        }
        if reply.reply != Name::REPLY_SLOT {
            return Err(format!("the slot's name is not {:x?}", reply.reply));
        }
        self.threads[thread].slot = Some(right);
        Ok(())
    }

    /// A right arrives under a name.
    pub(super) fn accept_right(&mut self, task: TaskId, right: Carried, name: Name) -> Verdict {
        let port = match right {
            Carried::Null => return same(name, Name::NULL),
            Carried::Dead => return same(name, Name::DEAD),
            Carried::Send(port) | Carried::SendOnce(port) | Carried::Receive(port) => port,
        };
        if !self.is_alive(port) {
            return same(name, Name::DEAD);
        }
        if let Carried::SendOnce(_) = right {
            return self.fresh(
                task,
                name,
                Entry::SendOnce {
                    port,
                    request: None,
                },
            );
        }
        let known = self.tasks[task]
            .names
            .iter()
            .find_map(|(name, entry)| match entry {
                Entry::Port { port: of, .. } if *of == port => Some(*name),
                _ => None,
            });
        match known {
            Some(known) => same(name, known)?,
            None => {
                let entry = Entry::Port {
                    port,
                    send: 0,
                    receive: false,
                    request: None,
                };
                self.fresh(task, name, entry)?;
            }
        }
        let Some(Entry::Port { send, receive, .. }) = self.tasks[task].names.get_mut(&name) else {
            return Err(format!("{name:x?} is no port"));
        };
        if let Carried::Receive(_) = right {
            *receive = true;
            self.ports[port].holder = Holder::Task(task);
            self.has_left(port);
        } else {
            *send = (*send + 1).min(MAX_UREFS.into());
        }
        Ok(())
    }

    /// The thread's reply object starts anew; who still has a right to the old one has a dead name.
    pub(super) fn end_epoch(&mut self, thread: ThreadId) {
        let old = self.threads[thread].reply;
        self.threads[thread].reply = self.new_port(Holder::Reply);
        self.die(old);
    }
}

fn same(name: Name, expected: Name) -> Verdict {
    if name == expected {
        return Ok(());
    }
    Err(format!("name {expected:x?} expected, not {name:x?}"))
}

fn fits(message: &Message, reply: &Reply, alive: &[bool]) -> bool {
    let kinds: &[ReplyKind] = match message.local {
        Carried::Null => &[ReplyKind::None],
        Carried::Send(port) if alive[port] => &[ReplyKind::Send],
        Carried::SendOnce(port) if alive[port] => &[ReplyKind::Slot, ReplyKind::SendOnce],
        _ => &[ReplyKind::Dead],
    };
    let data_fits = match (&message.data, &reply.body) {
        (Some(sent), Some(got)) => *sent == got.data,
        _ => true,
    };
    message.id == reply.id
        && reply.words.starts_with(&message.words)
        && message.shape() == reply.shape
        && data_fits
        && kinds.contains(&reply.kind)
}
