//! Semaphores (MACH.md K-03): a port of the kernel's, a count, and who waits for it to rise.

use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::semaphore::policy;

use super::futex::trap_answer;
use super::names::{Answer, accept, refuse, value};
use super::{Entry, Holder, Model, PortId, Seen, State, TaskId, ThreadId, Verdict, When};

/// The highest count.
const MAX: u64 = i32::MAX as u64;

/// What is done with a semaphore.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    missing_docs,
    reason = "the calls' and traps' arguments under their own names"
)]
pub enum SemaphoreOp {
    Create {
        policy: u32,
        value: u32,
    },
    Signal {
        name: Name,
    },
    SignalAll {
        name: Name,
    },
    /// A thread of the caller's task.
    SignalThread {
        name: Name,
        thread: ThreadId,
    },
    /// The same three by a message to its port.
    CallSignal {
        name: Name,
    },
    CallSignalAll {
        name: Name,
    },
    CallSignalThread {
        name: Name,
        thread: ThreadId,
    },
    /// After a signal to another one, until a deadline.
    Wait {
        name: Name,
        signal: Option<Name>,
        until: When,
    },
    /// By a message to its port.
    Destroy {
        name: Name,
    },
}

/// A semaphore's state.
#[derive(Clone, Default, Debug)]
pub(super) struct Semaphore {
    count: u64,
    by_priority: bool,
    /// In the order in which they are let go, with the priority that counts for it.
    waiters: Vec<(ThreadId, u32)>,
    /// Whether several got other places at once.
    is_mixed: bool,
}

impl Semaphore {
    /// A thread waits behind all of its priority, or behind all.
    fn add(&mut self, thread: ThreadId, priority: u32) {
        let behind = |other: &(ThreadId, u32)| !self.by_priority || other.1 >= priority;
        let place = self.waiters.iter().filter(|other| behind(other)).count();
        self.waiters.insert(place, (thread, priority));
    }

    /// A thread waits no more; whether it did.
    fn remove(&mut self, thread: ThreadId) -> bool {
        let before = self.waiters.len();
        self.waiters.retain(|(waiter, _)| *waiter != thread);
        self.is_mixed &= self.waiters.len() > 1;
        self.waiters.len() < before
    }
}

impl Model {
    /// Whether a name holds a send right to a port that the kernel answers at.
    pub fn is_kernel(&self, task: TaskId, name: Name) -> bool {
        match self.entry(task, name) {
            Some(Entry::Port { port, .. }) => self.ports[port].holder == Holder::Kernel,
            _ => false,
        }
    }

    /// Whether a name holds a send right to a semaphore.
    pub fn is_semaphore(&self, task: TaskId, name: Name) -> bool {
        self.semaphore(task, name).is_ok()
    }

    /// Whether a name holds a send right to a semaphore whose count cannot rise.
    pub fn is_full(&self, task: TaskId, name: Name) -> bool {
        let port = self.semaphore(task, name);
        let semaphore = port
            .ok()
            .and_then(|port| self.ports[port].semaphore.as_ref());
        semaphore.is_some_and(|semaphore| semaphore.count >= MAX)
    }

    /// A task's names of semaphores, and threads of its own that wait for these.
    pub fn waiters(&self, task: TaskId) -> Vec<(Name, ThreadId)> {
        let mut all = Vec::new();
        for name in self.tasks[task].names.keys() {
            let Ok(port) = self.semaphore(task, *name) else {
                continue;
            };
            let waiters = self.ports[port].semaphore.iter().flat_map(|of| &of.waiters);
            let own = waiters.filter(|(thread, _)| self.threads[*thread].task == task);
            all.extend(own.map(|(thread, _)| (*name, *thread)));
        }
        all
    }

    /// A thread waits no more.
    pub(super) fn leave_semaphores(&mut self, thread: ThreadId) {
        let semaphores = self
            .ports
            .iter_mut()
            .filter_map(|port| port.semaphore.as_mut());
        for semaphore in semaphores {
            semaphore.remove(thread);
        }
    }

    /// Whether nobody can tell whom a semaphore lets go next: a client may have lent one of them a priority, or several were
    /// given another one at once.
    pub(super) fn is_in_doubt(&self, task: TaskId, name: Name) -> bool {
        let port = self.semaphore(task, name);
        let semaphore = port
            .ok()
            .and_then(|port| self.ports[port].semaphore.as_ref());
        semaphore.is_some_and(|of| {
            let lent = of.waiters.iter().any(|(of, _)| self.threads[*of].serves);
            of.by_priority && of.waiters.len() > 1 && (lent || of.is_mixed)
        })
    }

    /// Threads may have other priorities than before: who waits with another one where that counts gets another place.
    pub(super) fn place_again(&mut self) {
        let priorities: Vec<u32> = (0..self.threads.len())
            .map(|thread| self.priority(thread))
            .collect();
        let all = self.ports.iter_mut();
        let all = all.filter_map(|port| port.semaphore.as_mut());
        for semaphore in all.filter(|semaphore| semaphore.by_priority) {
            let waiters = semaphore.waiters.clone();
            let moved = waiters.iter().filter(|(of, old)| priorities[*of] != *old);
            semaphore.is_mixed |= moved.clone().count() > 1;
            for (thread, _) in moved {
                semaphore.waiters.retain(|(waiter, _)| waiter != thread);
                semaphore.add(*thread, priorities[*thread]);
            }
        }
    }

    pub(super) fn semaphore_op(
        &mut self,
        thread: ThreadId,
        op: &SemaphoreOp,
        seen: Option<&Seen>,
    ) -> Verdict {
        let answer = trap_answer(seen)?;
        if let SemaphoreOp::Wait {
            name,
            signal,
            until,
        } = *op
        {
            return self.wait(thread, (name, signal, until), answer);
        }
        let task = self.threads[thread].task;
        let answer = answer.ok_or("it waits, and must not")?;
        match *op {
            SemaphoreOp::Create { policy, value } => {
                self.create_semaphore(task, policy, value.into(), answer)
            }
            SemaphoreOp::Signal { name } | SemaphoreOp::CallSignal { name } => {
                let result = self.semaphore(task, name);
                let result = result.and_then(|port| self.signal(port));
                same(answer, result.map(|()| Code::Success))
            }
            SemaphoreOp::SignalAll { name } | SemaphoreOp::CallSignalAll { name } => {
                let result = self.semaphore(task, name).map(|port| {
                    while self.let_go_first(port) {}
                    Code::Success
                });
                same(answer, result)
            }
            SemaphoreOp::SignalThread { name, thread }
            | SemaphoreOp::CallSignalThread { name, thread } => {
                let result = self.semaphore(task, name).map(|port| {
                    if self.let_go(port, thread) {
                        Code::Success
                    } else {
                        Code::NotWaiting
                    }
                });
                same(answer, result)
            }
            SemaphoreOp::Destroy { name } => {
                accept(answer)?;
                let port = self.semaphore(task, name);
                self.die(port.map_err(|code| format!("{code:?} expected"))?);
                Ok(())
            }
            SemaphoreOp::Wait { .. } => Ok(()),
        }
    }

    fn create_semaphore(&mut self, task: TaskId, order: u32, count: u64, seen: Answer) -> Verdict {
        if order > policy::FIXED_PRIORITY || count > MAX {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        accept(seen)?;
        let port = self.new_port(Holder::Kernel);
        self.ports[port].semaphore = Some(Semaphore {
            count,
            by_priority: order == policy::FIXED_PRIORITY,
            ..Semaphore::default()
        });
        let entry = Entry::Port {
            port,
            send: 1,
            receive: false,
            request: None,
        };
        self.fresh(task, Name(seen.1 as u32), entry)
    }

    /// The semaphore that a name holds a right to.
    fn semaphore(&self, task: TaskId, name: Name) -> Result<PortId, Code> {
        match self.entry(task, name) {
            None => Err(Code::InvalidName),
            Some(Entry::Port { port, send, .. })
                if send > 0 && self.ports[port].semaphore.is_some() =>
            {
                Ok(port)
            }
            Some(_) => Err(Code::InvalidRight),
        }
    }

    fn signal(&mut self, port: PortId) -> Result<(), Code> {
        if self.let_go_first(port) {
            return Ok(());
        }
        let semaphore = self.ports[port].semaphore.get_or_insert_default();
        if semaphore.count == MAX {
            return Err(Code::Failure);
        }
        semaphore.count += 1;
        Ok(())
    }

    fn let_go_first(&mut self, port: PortId) -> bool {
        let semaphore = self.ports[port].semaphore.as_ref();
        let first = semaphore.and_then(|semaphore| semaphore.waiters.first().copied());
        first.is_some_and(|(first, _)| self.let_go(port, first))
    }

    fn let_go(&mut self, port: PortId, thread: ThreadId) -> bool {
        let semaphore = self.ports[port].semaphore.get_or_insert_default();
        let waited = semaphore.remove(thread);
        if waited {
            self.threads[thread].state = State::DueTrap(Code::Success);
        }
        waited
    }

    /// One signal and one wait, with nothing in between.
    fn wait(
        &mut self,
        thread: ThreadId,
        (name, signal, until): (Name, Option<Name>, When),
        seen: Option<Answer>,
    ) -> Verdict {
        let task = self.threads[thread].task;
        let both = self.semaphore(task, name).and_then(|port| {
            let signal = signal.map(|signal| self.semaphore(task, signal));
            Ok((port, signal.transpose()?))
        });
        let both = both.and_then(|(port, signal)| {
            signal.map_or(Ok(()), |signal| self.signal(signal))?;
            Ok(port)
        });
        let priority = self.priority(thread);
        let ended = both.map(|port| {
            let semaphore = self.ports[port].semaphore.get_or_insert_default();
            if semaphore.count > 0 {
                semaphore.count -= 1;
                return Some(Code::Success);
            }
            if until == When::Past {
                return Some(Code::OperationTimedOut);
            }
            semaphore.add(thread, priority);
            None
        });
        match (ended.transpose(), seen) {
            (None, None) => {
                self.wait_until(thread, until);
                Ok(())
            }
            (None, Some(seen)) => Err(format!("it must wait, and came back with {seen:?}")),
            (Some(_), None) => Err("it waits, and must not".into()),
            (Some(result), Some(seen)) => same(seen, result),
        }
    }

    /// The semaphore of a port that dies tells those who wait.
    pub(super) fn end_semaphore(&mut self, port: PortId) {
        let semaphore = self.ports[port].semaphore.take();
        for (thread, _) in semaphore.unwrap_or_default().waiters {
            self.threads[thread].state = State::DueTrap(Code::Terminated);
        }
    }
}

fn same(seen: Answer, result: Result<Code, Code>) -> Verdict {
    match result {
        Ok(Code::Success) => value(seen, 0),
        Ok(code) | Err(code) => refuse(seen, &[code]),
    }
}
