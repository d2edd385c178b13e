//! Tasks that tasks make, and what tasks and threads tell of themselves (MACH.md T-01, T-04, T-10).
//!
//! A task that is made has no threads until somebody makes one: without, it ends with the last right to its port. Until then it keeps what it inherited.

use abi::kern_return::KernReturn as Code;
use abi::names::Name;

use super::control::answer;
use super::exceptions::Owner;
use super::names::{Answer, accept, refuse};
use super::{
    Carried, FAMILY, Holder, Model, PortId, Registers, Seen, State, Subject, Task, TaskId,
    ThreadId, Verdict,
};

/// How much of its maker's limits a task is to get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// A little.
    Small,
    /// What threads need: memory is to come with it.
    Family,
    /// More than there is.
    TooMuch,
}

/// A little: names, messages, threads, pages, bytes.
pub const LITTLE: [u64; 5] = [16, 16, 1, 16, 1 << 14];

/// A call to a task's or a thread's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskOp {
    /// `task_create`, with an identity and what is to become of the memory.
    Create(Share, u64, u32),
    /// What it is, in numbers.
    Info,
    /// `thread_create`, with these registers.
    CreateThread(Registers),
    /// Its threads.
    Threads,
    /// The right to one of its threads, or to none.
    ThreadOf(Option<ThreadId>),
    /// What it is called: a letter.
    SetName(u8),
}

impl Model {
    /// Whether a program made the task.
    pub fn was_made(&self, task: TaskId) -> bool {
        self.tasks[task].identity.is_some()
    }

    /// How many tasks without threads there are.
    pub fn idle_tasks(&self) -> usize {
        let tasks = 0..self.tasks.len();
        tasks
            .filter(|task| !self.is_over(*task) && self.threads_of(*task).is_empty())
            .count()
    }

    pub(super) fn task_op(
        &mut self,
        caller: TaskId,
        (subject, op): (Subject, TaskOp),
        seen: &Seen,
    ) -> Verdict {
        let task = match (subject, op) {
            (Subject::Thread(thread), TaskOp::Info) => return self.thread_info(thread, seen),
            (Subject::Thread(_), _) => return Err("it is no task".into()),
            (Subject::Task(task), _) => task,
        };
        match op {
            TaskOp::Create(share, identity, inherit) => {
                let limit = (share, inherit);
                self.create_task((caller, task), limit, identity, answer(seen)?)
            }
            TaskOp::CreateThread(registers) => {
                self.create_thread((caller, task), registers, answer(seen)?)
            }
            TaskOp::Info => self.task_info(task, seen),
            TaskOp::Threads => {
                let mut threads = self.threads_of(task);
                threads.reverse();
                let expected: Vec<u64> = threads.into_iter().map(|thread| thread as u64).collect();
                match seen {
                    Seen::Told(told) if *told == expected => Ok(()),
                    _ => Err(format!("{expected:?} expected, not {seen:?}")),
                }
            }
            TaskOp::ThreadOf(thread) => {
                let own = thread.filter(|thread| self.threads_of(task).contains(thread));
                let seen = answer(seen)?;
                let Some(own) = own else {
                    return refuse(seen, &[Code::InvalidArgument]);
                };
                accept(seen)?;
                let port = self.port_of(Subject::Thread(own));
                self.accept_right(caller, Carried::Send(port), Name(seen.1 as u32))
            }
            TaskOp::SetName(letter) => {
                self.tasks[task].name = Some(letter);
                accept(answer(seen)?)
            }
        }
    }

    /// T-01: the child has no threads and no names, but what is kept for its parent, and its exception ports.
    fn create_task(
        &mut self,
        (caller, parent): (TaskId, TaskId),
        (share, inherit): (Share, u32),
        identity: u64,
        seen: Answer,
    ) -> Verdict {
        if inherit > 1 {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        if share == Share::TooMuch {
            return refuse(seen, &[Code::ResourceShortage]);
        }
        accept(seen)?;
        let (child, port) = (self.tasks.len(), self.new_port(Holder::Kernel));
        self.tasks.push(Task {
            kept: self.tasks[parent].kept.clone(),
            port,
            limit: self.tasks[parent].limit,
            identity: Some(identity),
            size: self.tasks[parent].size,
            parent: Some(parent),
            limits: Some(match share {
                Share::Family => FAMILY,
                _ => LITTLE,
            }),
            ..Task::default()
        });
        let handlers = self.handlers.iter();
        let own = handlers.filter(|((owner, _), _)| *owner == Owner::Task(parent));
        let inherited = own.map(|((_, kind), handler)| ((Owner::Task(child), *kind), *handler));
        let inherited: Vec<_> = inherited.collect();
        self.handlers.extend(inherited);
        if inherit == 1 {
            self.inherit_words(parent, child);
            self.inherit_pages(parent, child);
        }
        self.accept_right(caller, Carried::Send(port), Name(seen.1 as u32))
    }

    /// A send right to a port is gone: a task that nobody can reach and that does nothing ends with the last one.
    pub(super) fn leave_task(&mut self, port: PortId) {
        let mut tasks = 0..self.tasks.len();
        let Some(task) = tasks.find(|task| self.tasks[*task].port == port) else {
            return;
        };
        let threads = self.threads_of(task);
        let still = threads.into_iter().all(|thread| self.is_stopped(thread));
        if still && self.is_alive(port) && self.send_rights(port) == 0 {
            self.end_task(task);
        }
    }

    fn task_info(&mut self, task: TaskId, seen: &Seen) -> Verdict {
        if let Seen::Told(told) = seen {
            self.accept_token(task, told[3])?;
        }
        let known = &self.tasks[task];
        let threads = self.threads_of(task).len() as u64;
        let expected = [threads, known.stops.into(), known.limit.into()];
        let Seen::Told(told) = seen else {
            return Err(format!("numbers expected, not {seen:?}"));
        };
        let name = known
            .name
            .is_none_or(|name| told.ends_with(&[1, name.into()]));
        match **told {
            [_, threads, stops, _, limit, ..] if [threads, stops, limit] == expected && name => {
                Ok(())
            }
            _ => Err(format!("{expected:?} of {known:?} expected, not {told:?}")),
        }
    }

    fn thread_info(&self, thread: ThreadId, seen: &Seen) -> Verdict {
        let known = &self.threads[thread];
        let by_task = u64::from(self.tasks[known.task].stops > 0);
        let priority = self.priority(thread).into();
        let expected = [u64::from(known.stops) + by_task, priority];
        let there = matches!(known.state, State::Receiving { claimed: true, .. });
        let waits = self.waits(thread) && !there;
        match seen {
            Seen::Told(told) => match **told {
                [_, stops, priority, state, _]
                    if [stops, priority] == expected && (state != 0) == waits =>
                {
                    Ok(())
                }
                _ => Err(format!(
                    "{expected:?} expected, not {told:?}, waits: {waits}"
                )),
            },
            _ => Err(format!("numbers expected, not {seen:?}")),
        }
    }
}
