//! Semaphores: a count, and who waits for it to rise: first come first served, or by priority.
//!
//! By priority, the threads lie in a tree, ordered by that and then by when they came, so that no step takes a
//! time in proportion to how many wait. The priority is the one that a thread waits with: who is given another one
//! meanwhile gets another place, behind all of that priority.
//!
//! Invariant: nobody waits while the count is above zero. A semaphore lives as long as its port, which tells those
//! who still wait when it ends.

use abi::kern_return::KernReturn;
use abi::semaphore::policy;

use super::futex::{ByWord, Key};
use super::{Sched, Thread, ThreadQueue, Threads, Wait, thread};
use crate::base::KernResult;
use crate::base::ids::{PortId, SemaphoreId, ThreadId};
use crate::base::tree::Tree;
use crate::machine::Machine;

/// Threads that one step of [`Sched::signal_all`] lets go.
const STEP: u32 = 32;

/// Who waits.
#[derive(Debug)]
enum Waiters {
    /// First come, first served.
    Queue(ThreadQueue),
    /// By priority.
    Tree {
        /// Those who wait, by what [`place`] they were given.
        tree: Tree,
        /// How many came so far.
        came: u64,
    },
}

impl Waiters {
    fn first(&self, threads: &mut Threads) -> Option<ThreadId> {
        match self {
            Self::Queue(queue) => queue.first(),
            Self::Tree { tree, .. } => {
                let index = tree.first(&ByWord(threads))?;
                threads.id_at(index)
            }
        }
    }

    fn add(&mut self, threads: &mut Threads, id: ThreadId) {
        match self {
            Self::Queue(queue) => queue.push(threads, id),
            Self::Tree { tree, came } => {
                let Some(thread) = threads.get_mut(id) else {
                    return;
                };
                thread.operands = place(thread, *came);
                *came += 1;
                tree.insert(&mut ByWord(threads), id.index());
            }
        }
    }

    fn remove(&mut self, threads: &mut Threads, id: ThreadId) {
        match self {
            Self::Queue(queue) => queue.remove(threads, id),
            Self::Tree { tree, .. } => {
                let key = threads.get(id).map(|thread| thread.operands);
                if let Some(key) = key {
                    tree.remove(&mut ByWord(threads), key);
                }
            }
        }
    }
}

/// Where a thread stands that came after so many others: the highest priority first. It gets back what timesharing took
/// when it begins to wait ([`Sched::block`]).
fn place(thread: &Thread, came: u64) -> Key {
    let priority = thread.priority.max(thread.base).min(thread::MAX_PRIORITY);
    [(thread::MAX_PRIORITY - priority).into(), came]
}

/// One semaphore.
#[derive(Debug)]
pub struct Semaphore {
    /// How many waits return at once; at most `i32::MAX`.
    count: u32,
    waiters: Waiters,
    /// The port that stands for it.
    pub port: Option<PortId>,
}

impl Semaphore {
    /// One that lets so many waits return, and then those who wait in the order that `policy` says.
    ///
    /// # Errors
    /// `InvalidArgument`: more than a signed number can say, or no [`policy`].
    pub fn new(policy: u32, value: u32) -> KernResult<Self> {
        let waiters = match policy {
            policy::FIFO => Waiters::Queue(ThreadQueue::EMPTY),
            policy::FIXED_PRIORITY => Waiters::Tree {
                tree: Tree::new(),
                came: 0,
            },
            _ => return Err(KernReturn::InvalidArgument),
        };
        if value > i32::MAX as u32 {
            return Err(KernReturn::InvalidArgument);
        }
        Ok(Self {
            count: value,
            waiters,
            port: None,
        })
    }
}

/// How many were let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Woken {
    /// All who waited.
    All,
    /// As many as one step may.
    Some,
}

/// Whether a wait is over at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Waited {
    /// The count was above zero.
    Done,
    /// It was not; nothing has changed.
    Empty,
}

impl Sched {
    /// Lets the next waiter go, or counts.
    ///
    /// # Errors
    /// `Terminated`: the semaphore is gone · `Failure`: the count is at its end.
    pub fn signal<M: Machine>(&mut self, machine: &mut M, id: SemaphoreId) -> KernResult<()> {
        if let Some(thread) = self.first_waiter(id) {
            self.let_go(machine, thread, KernReturn::Success);
            return Ok(());
        }
        let semaphore = self.semaphores.get_mut(id).ok_or(KernReturn::Terminated)?;
        if semaphore.count >= i32::MAX as u32 {
            return Err(KernReturn::Failure);
        }
        semaphore.count += 1;
        Ok(())
    }

    /// Lets up to a step's worth of waiters go.
    pub fn signal_all<M: Machine>(&mut self, machine: &mut M, id: SemaphoreId) -> Woken {
        for _ in 0..STEP {
            let Some(thread) = self.first_waiter(id) else {
                return Woken::All;
            };
            self.let_go(machine, thread, KernReturn::Success);
        }
        Woken::Some
    }

    /// Lets one thread go.
    ///
    /// # Errors
    /// `NotWaiting`: it does not wait here.
    pub fn signal_thread<M: Machine>(
        &mut self,
        machine: &mut M,
        id: SemaphoreId,
        thread: ThreadId,
    ) -> KernResult<()> {
        let wait = self.threads.get(thread).map(|thread| thread.wait);
        if wait != Some(Wait::Semaphore(id)) {
            return Err(KernReturn::NotWaiting);
        }
        self.let_go(machine, thread, KernReturn::Success);
        Ok(())
    }

    /// Whom the next signal lets go.
    pub fn first_waiter(&mut self, id: SemaphoreId) -> Option<ThreadId> {
        let semaphore = self.semaphores.get(id)?;
        semaphore.waiters.first(&mut self.threads)
    }

    /// Takes one from the count, if there is one.
    pub fn take_count(&mut self, id: SemaphoreId) -> Waited {
        match self.semaphores.get_mut(id) {
            Some(semaphore) if semaphore.count > 0 => {
                semaphore.count -= 1;
                Waited::Done
            }
            _ => Waited::Empty,
        }
    }

    /// The thread waits for a signal. The caller blocks it.
    pub fn wait_semaphore(&mut self, thread: ThreadId, id: SemaphoreId) {
        if let Some(record) = self.threads.get_mut(thread) {
            record.wait = Wait::Semaphore(id);
        }
        if let Some(semaphore) = self.semaphores.get_mut(id) {
            semaphore.waiters.add(&mut self.threads, thread);
        }
    }

    /// A thread waits no more, even if others came first; its trap returns this code.
    pub fn let_go<M: Machine>(&mut self, machine: &mut M, thread: ThreadId, code: KernReturn) {
        self.leave_wait(thread);
        let frame = machine.frame(thread.index());
        frame.rax = code.0.into();
        frame.rdx = 0;
        self.wake(thread);
    }

    /// The priority of a thread that waits has been set. If it is the one that it waits with, it keeps its place.
    #[cold]
    pub(super) fn place_again(&mut self, thread: ThreadId) {
        let Some(known) = self.threads.get(thread) else {
            return;
        };
        let (wait, [priority, came]) = (known.wait, known.operands);
        if let Wait::Semaphore(id) = wait
            && place(known, came) != [priority, came]
            && let Some(semaphore) = self.semaphores.get_mut(id)
            && let Waiters::Tree { .. } = semaphore.waiters
        {
            semaphore.waiters.remove(&mut self.threads, thread);
            semaphore.waiters.add(&mut self.threads, thread);
        }
    }

    /// Takes a thread out of the queue of its semaphore.
    pub(super) fn leave_semaphore(&mut self, thread: ThreadId, id: SemaphoreId) {
        if let Some(semaphore) = self.semaphores.get_mut(id) {
            semaphore.waiters.remove(&mut self.threads, thread);
        }
    }
}
