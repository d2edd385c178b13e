//! Threads that programs make, and tasks that are made with their maker's memory (MACH.md T-01, T-07, V-05).
//!
//! A thread begins stopped, and goes on with the registers that it was made with. Before anything else it asks what it and its
//! task are known by, and keeps these names.

use abi::kern_return::KernReturn as Code;
use abi::names::Name;

use super::control::settable;
use super::futex::Key;
use super::names::{Answer, accept, refuse};
use super::{
    Carried, Entry, Holder, Model, PortId, Registers, State, Subject, TaskId, Thread, ThreadId,
    Verdict, policy, state,
};

/// What a task is given that gets its maker's memory: names, messages, threads, pages, bytes.
pub const FAMILY: [u64; 5] = [1000, 1000, 2, 96, 1 << 17];

/// What a task sees of the words that all tasks share.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Sees {
    /// These words.
    #[default]
    Same,
    /// What they were when it was made.
    Copy,
    /// Nothing is mapped there.
    Nothing,
}

impl Thread {
    pub(super) fn new(task: TaskId, reply: PortId, port: PortId) -> Self {
        Self {
            task,
            slot: None,
            reply,
            port,
            stops: 0,
            wishes: policy::Wishes::new(),
            memory_taken: 0,
            has_buffer: true,
            constraint: None,
            may_overrun: false,
            serves: false,
            extra: state::Extra::clean(),
            heard: None,
            was_made: false,
            state: State::User,
        }
    }
}

impl Model {
    /// How many threads there are that have not ended.
    pub fn living_threads(&self) -> usize {
        let threads = 0..self.threads.len();
        threads.filter(|thread| !self.has_ended(*thread)).count()
    }

    /// Whether a program made the thread.
    pub fn is_made(&self, thread: ThreadId) -> bool {
        self.threads[thread].was_made
    }

    /// Whether a task has memory that its threads can use.
    pub fn has_memory(&self, task: TaskId) -> bool {
        !self.was_made(task) || self.tasks[task].limits == Some(FAMILY)
    }

    /// Whether a task has had a child with its memory.
    pub fn has_had_family(&self, task: TaskId) -> bool {
        let mut children = self.tasks.iter().filter(|child| child.parent == Some(task));
        children.any(|child| child.limits == Some(FAMILY))
    }

    /// Whether a task has a child with its memory.
    pub fn has_family(&self, task: TaskId) -> bool {
        let tasks = self.tasks.iter().enumerate();
        let mut children = tasks.filter(|(_, child)| child.parent == Some(task));
        children.any(|(child, known)| known.limits == Some(FAMILY) && !self.is_over(child))
    }

    /// Whether a task has a name for somebody that its programs leave alone.
    pub fn is_known(&self, task: TaskId, subject: Subject) -> bool {
        let port = self.port_of(subject);
        let names = &self.tasks[task];
        names.spared.iter().any(|name| match names.names.get(name) {
            Some(Entry::Port { port: of, .. }) => *of == port,
            _ => false,
        })
    }

    /// Threads of a task that know themselves.
    pub fn known_threads(&self, task: TaskId) -> Vec<ThreadId> {
        let mut threads = self.threads_of(task);
        threads.retain(|thread| self.is_known(task, Subject::Thread(*thread)));
        threads
    }

    /// A task's programs leave a name alone from now on.
    pub fn spare(&mut self, task: TaskId, name: Name) {
        self.tasks[task].spared.insert(name);
    }

    /// A thread that a program made has ended: its task's name of it is as any other.
    pub(super) fn forget_made(&mut self, thread: ThreadId) {
        let Thread {
            task,
            port,
            was_made: true,
            ..
        } = self.threads[thread]
        else {
            return;
        };
        let table = &mut self.tasks[task];
        let names = &table.names;
        table.spared.retain(|name| match names.get(name) {
            Some(Entry::Port { port: of, .. }) => *of != port,
            _ => true,
        });
    }

    pub(super) fn create_thread(
        &mut self,
        (caller, task): (TaskId, TaskId),
        registers: Registers,
        seen: Answer,
    ) -> Verdict {
        let Some(registers) = settable(registers) else {
            return refuse(seen, &[Code::InvalidArgument]);
        };
        let limit = self.tasks[task].limits.filter(|_| self.was_made(task));
        if limit.is_some_and(|limit| self.threads_of(task).len() as u64 >= limit[2]) {
            return refuse(seen, &[Code::ResourceShortage]);
        }
        accept(seen)?;
        let reply = self.new_port(Holder::Reply);
        let port = self.new_port(Holder::Kernel);
        self.threads.push(Thread {
            stops: 1,
            has_buffer: false,
            was_made: true,
            state: State::Resumed(Box::new(registers)),
            ..Thread::new(task, reply, port)
        });
        self.accept_right(caller, Carried::Send(port), Name(seen.1 as u32))
    }

    /// A child has its maker's memory as it is now. What all share, only the first task hands down, as a copy.
    pub(super) fn inherit_words(&mut self, parent: TaskId, child: TaskId) {
        self.tasks[child].sees = match parent {
            0 => Sees::Copy,
            _ => Sees::Nothing,
        };
        let words = self.words.iter();
        let copies = words.filter_map(|((owner, at), cell)| match *owner {
            Some(owner) if owner == parent => Some(((Some(child), *at), cell.copy())),
            None if parent == 0 => Some((copied(child, *at), cell.copy())),
            _ => None,
        });
        let copies: Vec<_> = copies.collect();
        self.words.extend(copies);
    }
}

/// What a task's copy of a shared word is known by.
pub(super) fn copied(task: TaskId, at: u32) -> Key {
    (Some(task), at + COPIED)
}

/// Own words from this one on are copies of shared ones.
pub(super) const COPIED: u32 = 100;
