//! Threads that wait, and how they come back.

use abi::kern_return::MessageReturn;
use abi::names::Name;

use super::message::expect;
use super::{Entry, From, Holder, Model, PortId, Seen, Source, State, TaskId, ThreadId, Verdict};

impl Model {
    /// A thread that waited came back.
    ///
    /// # Errors
    /// What the rules would have had.
    pub fn complete(&mut self, thread: ThreadId, seen: &Seen) -> Verdict {
        let verdict = self.come_back(thread, seen);
        self.ask_on();
        verdict
    }

    fn come_back(&mut self, thread: ThreadId, seen: &Seen) -> Verdict {
        let state = self.threads[thread].state.clone();
        let reply = match (&state, seen) {
            (State::DueTrap(due), Seen::Trap(code, _)) if due == code => {
                self.threads[thread].state = State::User;
                return Ok(());
            }
            (State::DueTime, Seen::Trap(..)) => return self.wake_up(thread, seen),
            (State::Paging(_), Seen::Trap(..)) => return self.found_page(thread, seen),
            (State::Resumed(expected), Seen::Running(now)) if **expected == *now => {
                self.threads[thread].state = State::User;
                return Ok(());
            }
            (State::Stopping, Seen::Message(reply)) if reply.words[0] == 0 => {
                self.threads[thread].state = State::User;
                return expect(Some(reply), &[MessageReturn::Success]);
            }
            (_, Seen::Message(reply)) => reply,
            _ => {
                return Err(format!(
                    "thread {thread} is {state:x?} and came back with {seen:x?}"
                ));
            }
        };
        match state {
            State::Due(code) if code == reply.code => {
                self.threads[thread].state = State::User;
                Ok(())
            }
            State::Unsent(message, how) => {
                self.threads[thread].state = State::User;
                self.unsend(thread, (&message, how), reply)
            }
            State::Receiving {
                source,
                want,
                claimed,
            } => {
                if !claimed && !self.take_claim_over(source) {
                    return Err(format!(
                        "thread {thread} came back without reason: {reply:x?}"
                    ));
                }
                self.threads[thread].state = State::User;
                if self.has_lapsed(thread) && reply.code == MessageReturn::ReceiveTimedOut {
                    self.give_claims_back(source);
                    return Ok(());
                }
                self.show(thread, (source, want), reply, From::Claims)
            }
            state => Err(format!(
                "thread {thread} is {state:?} and came back with {reply:x?}"
            )),
        }
    }

    /// What a thread was given stays where it was.
    fn give_claims_back(&mut self, source: Source) {
        for port in 0..self.ports.len() {
            if !self.covers(source, port) {
                continue;
            }
            let state = &mut self.ports[port];
            while let Some(message) = state.claims.pop_back() {
                state.queue.push_front(message);
            }
            self.offer(port);
        }
    }

    /// Another thread than the one that the model chose shows a message; that one waits on.
    fn take_claim_over(&mut self, source: Source) -> bool {
        let ports: Vec<PortId> = (0..self.ports.len())
            .filter(|port| self.covers(source, *port) && !self.ports[*port].claims.is_empty())
            .collect();
        let chosen = (0..self.threads.len()).find(|thread| match self.threads[*thread].state {
            State::Receiving {
                source,
                claimed: true,
                ..
            } => ports.iter().any(|port| self.covers(source, *port)),
            _ => false,
        });
        if let Some(State::Receiving { claimed, .. }) =
            chosen.map(|thread| &mut self.threads[thread].state)
        {
            *claimed = false;
        }
        chosen.is_some()
    }

    /// Whether the thread is not in a trap.
    pub fn is_in_user_mode(&self, thread: ThreadId) -> bool {
        self.threads[thread].state == State::User
    }

    /// A thread that waited and must come back now, or have its answer if it is stopped.
    pub fn due(&self) -> Option<ThreadId> {
        (0..self.threads.len()).find(|thread| match self.threads[*thread].state {
            _ if self.is_depressed(*thread) => false,
            State::Paging(ref paging) => !paging.waits() && !self.is_stopped(*thread),
            State::Resumed(_) | State::Stopping => !self.is_stopped(*thread),
            _ if self.is_stopped(*thread) && self.comes_in_steps(*thread) => false,
            State::Due(_)
            | State::DueTrap(_)
            | State::DueTime
            | State::Unsent(..)
            | State::Receiving { claimed: true, .. } => true,
            _ => false,
        })
    }

    /// Whether a thread does not come back out of a trap, but goes on in user mode.
    pub fn is_excepted(&self, thread: ThreadId) -> bool {
        matches!(
            self.threads[thread].state,
            State::Excepted(_) | State::Resumed(_)
        )
    }

    /// Whether something happened that the kernel may still be at, since this was asked last.
    pub fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.unsettled)
    }

    /// The same, without an end to it.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Whether a thread waits for messages to the port that a name denotes.
    pub fn is_awaited(&self, task: TaskId, name: Name) -> bool {
        let Some(Entry::Port { port, .. }) = self.tasks[task].names.get(&name) else {
            return false;
        };
        self.threads.iter().any(|thread| match thread.state {
            State::Receiving { source, .. } => self.covers(source, *port),
            _ => false,
        })
    }

    /// How many more messages a port takes to which a task has a send right; `None`: there is none, or who waits there has
    /// them at once.
    pub fn room(&self, task: TaskId, name: Name) -> Option<u64> {
        let Some(Entry::Port {
            port, send: 1.., ..
        }) = self.tasks[task].names.get(&name)
        else {
            return None;
        };
        let state = &self.ports[*port];
        let queues = matches!(state.holder, Holder::Task(_) | Holder::Message);
        (queues && !self.is_awaited(task, name)).then(|| state.limit.saturating_sub(state.load()))
    }

    /// Whether a name is of a receive right to whose port another task has a send right.
    pub fn is_known_elsewhere(&self, task: TaskId, name: Name) -> bool {
        let Some(Entry::Port {
            port,
            receive: true,
            ..
        }) = self.tasks[task].names.get(&name)
        else {
            return false;
        };
        let others = self.tasks.iter().enumerate();
        others
            .filter(|(other, _)| *other != task)
            .flat_map(|(_, other)| other.names.values())
            .any(|entry| matches!(entry, Entry::Port { port: known, .. } if known == port))
    }

    /// Whether a thread could wait for the name without competing with another one.
    pub fn is_free_to_wait(&self, task: TaskId, name: Name) -> bool {
        let members = match self.tasks[task].names.get(&name) {
            Some(Entry::Port { port, .. }) => vec![*port],
            Some(Entry::Set(set)) => self.sets[*set].clone(),
            _ => return true,
        };
        self.threads.iter().all(|thread| match thread.state {
            State::Receiving { source, .. } => {
                members.iter().all(|port| !self.covers(source, *port))
            }
            _ => true,
        })
    }
}
