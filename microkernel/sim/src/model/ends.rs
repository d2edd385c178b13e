//! The ends of threads and tasks (MACH.md P-20, T-02, T-07, X-08), and what the model knows them by.

use abi::names::Name;

use super::names::{Answer, accept};
use super::{Carried, Entry, Message, Model, Owner, PortId, State, TaskId, ThreadId, Verdict};

/// Whom a right of the kernel's stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A task.
    Task(TaskId),
    /// A thread.
    Thread(ThreadId),
}

impl Model {
    /// A task has this many references of a right to somebody from the start, and its programs leave them alone.
    pub fn introduce(&mut self, task: TaskId, (name, references): (Name, u32), subject: Subject) {
        let entry = Entry::Port {
            port: self.port_of(subject),
            send: references,
            receive: false,
            request: None,
        };
        let table = &mut self.tasks[task];
        table.names.insert(name, entry);
        table.spared.insert(name);
    }

    pub(super) fn port_of(&self, subject: Subject) -> PortId {
        match subject {
            Subject::Task(task) => self.tasks[task].port,
            Subject::Thread(thread) => self.threads[thread].port,
        }
    }

    /// Names of a task that hold rights to living tasks and threads, and whose.
    pub fn subjects(&self, task: TaskId) -> Vec<(Name, Subject)> {
        let tasks = (0..self.tasks.len()).map(Subject::Task);
        let threads = (0..self.threads.len()).map(Subject::Thread);
        let all: Vec<Subject> = tasks.chain(threads).collect();
        let names = self.tasks[task].names.iter();
        let known = names.filter_map(|(name, entry)| match entry {
            Entry::Port { port, .. } => {
                let subject = all
                    .iter()
                    .find(|subject| self.port_of(**subject) == *port)?;
                Some((*name, *subject))
            }
            _ => None,
        });
        known.collect()
    }

    /// Names of a task that its programs leave alone.
    pub fn spared(&self, task: TaskId) -> Vec<Name> {
        self.tasks[task].spared.iter().copied().collect()
    }

    /// Whether a task has ended.
    pub fn is_over(&self, task: TaskId) -> bool {
        !self.is_alive(self.tasks[task].port)
    }

    /// Whether a thread has ended.
    pub fn has_ended(&self, thread: ThreadId) -> bool {
        self.threads[thread].state == State::Ended
    }

    /// Whether a thread's end would leave rights of a message that it could not send, under names that it cannot tell.
    pub fn leaves_rights(&self, thread: ThreadId) -> bool {
        matches!(self.threads[thread].state, State::Sending(_))
    }

    pub(super) fn subject(&self, thread: ThreadId, name: Name) -> Option<Subject> {
        let known = self.subjects(self.threads[thread].task);
        known
            .iter()
            .find(|(of, _)| *of == name)
            .map(|known| known.1)
    }

    /// Whether a thread ends when what a name stands for ends.
    pub fn ends_itself(&self, thread: ThreadId, name: Name) -> bool {
        let own = [
            Subject::Thread(thread),
            Subject::Task(self.threads[thread].task),
        ];
        self.subject(thread, name)
            .is_some_and(|subject| own.contains(&subject))
    }

    pub(super) fn terminate(
        &mut self,
        thread: ThreadId,
        name: Name,
        seen: Option<Answer>,
    ) -> Verdict {
        let subject = self.subject(thread, name);
        match (seen, self.ends_itself(thread, name)) {
            (Some(seen), false) => accept(seen)?,
            (None, true) => {}
            _ => return Err(format!("{subject:?} does not end with {seen:?}")),
        }
        self.end(subject.ok_or("it is no task and no thread")?);
        Ok(())
    }

    pub(super) fn end(&mut self, subject: Subject) {
        match subject {
            Subject::Task(task) => self.end_task(task),
            Subject::Thread(thread) => {
                let kept = self.end_thread(thread);
                self.discard_all(kept);
            }
        }
    }

    fn discard_all(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.discard_message(message);
        }
    }

    /// All of a task ends: first it cannot be reached any more, then its threads end, its receive rights, its other names.
    pub(super) fn end_task(&mut self, task: TaskId) {
        self.unsettled = true;
        self.die(self.tasks[task].port);
        self.end_handlers(Owner::Task(task));
        for port in std::mem::take(&mut self.tasks[task].kept).into_values() {
            self.discard(Carried::Send(port));
        }
        let mut kept = Vec::new();
        for thread in self.threads_of(task).into_iter().rev() {
            kept.extend(self.end_thread(thread));
        }
        let mut names: Vec<Name> = self.tasks[task].names.keys().copied().collect();
        names.sort_by_key(|name| name.index());
        for name in &names {
            match self.entry(task, *name) {
                Some(Entry::Port {
                    port,
                    receive: true,
                    ..
                }) => self.drop_receive(task, *name, port),
                Some(Entry::Set(set)) => {
                    self.remove(task, *name);
                    self.destroy_set(set);
                }
                _ => {}
            }
        }
        self.discard_all(kept);
        for name in names {
            let entry = self.entry(task, name);
            self.remove(task, name);
            match entry {
                Some(Entry::Port { port, .. }) => self.discard(Carried::Send(port)),
                Some(Entry::SendOnce { port, .. }) => self.discard(Carried::SendOnce(port)),
                _ => {}
            }
        }
        self.tasks[task].past.clear();
        self.tasks[task].pages.clear();
        self.unmap_objects(task);
    }

    /// Tasks end that nobody can reach and none of whose threads can run again.
    pub fn end_deserted(&mut self) {
        let is_deserted = |model: &Self, task: &TaskId| model.is_deserted(*task);
        while let Some(task) = (0..self.tasks.len()).find(|task| is_deserted(self, task)) {
            self.end_task(task);
        }
    }

    /// A task's rights to itself do not count.
    fn is_deserted(&self, task: TaskId) -> bool {
        let port = self.tasks[task].port;
        let stays = |thread: &ThreadId| {
            self.is_stopped(*thread) && self.send_rights(self.threads[*thread].port) == 0
        };
        if !self.is_alive(port) || !self.threads_of(task).iter().all(stays) {
            return false;
        }
        let mut without = self.clone();
        without.tasks[task].names.clear();
        without.tasks[task].kept.clear();
        without
            .handlers
            .retain(|(owner, _), _| *owner != Owner::Task(task));
        without.send_rights(port) == 0
    }

    /// A thread ends. Answered are messages on their way from or to it, whose rights are its task's.
    fn end_thread(&mut self, thread: ThreadId) -> Vec<Message> {
        self.unsettled = true;
        let state = std::mem::replace(&mut self.threads[thread].state, State::Ended);
        self.end_depression(thread);
        let mut kept = Vec::new();
        match state {
            State::Ended => return kept,
            State::Waiting => self.leave_wait(thread),
            State::Unsent(message, _) => kept.push(*message),
            State::Sending(_) => kept.extend(self.take_unsent(thread)),
            State::Receiving {
                source,
                claimed: true,
                ..
            } => {
                let given = (0..self.ports.len()).find(|port| {
                    self.covers(source, *port) && !self.ports[*port].claims.is_empty()
                });
                kept.extend(given.and_then(|port| self.ports[port].claims.pop_front()));
            }
            _ => {}
        }
        self.die(self.threads[thread].reply);
        if let Some(right) = self.threads[thread].slot.take() {
            self.end_slot(right);
        }
        self.forget_made(thread);
        self.die(self.threads[thread].port);
        self.end_handlers(Owner::Thread(thread));
        kept
    }

    /// who waits for an answer from a thread that has ended tries again, if that is any use.
    fn end_slot(&mut self, right: Carried) {
        if let Carried::SendOnce(reply) = right
            && let Some(victim) = self.excepted_at(reply)
            && let State::Excepted(raised) = self.threads[victim].state.clone()
            && raised.repeats()
        {
            self.threads[victim].state = State::Resumed(Box::new(raised.registers));
            return self.end_epoch(victim);
        }
        self.discard(right);
    }
}
