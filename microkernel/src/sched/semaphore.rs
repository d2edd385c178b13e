//! Semaphores: a count, and who waits for it to rise, first come first served.
//!
//! Invariant: nobody waits while the count is above zero. A semaphore lives as long as its port, which tells those
//! who still wait when it ends.

use abi::kern_return::KernReturn;

use super::{Sched, ThreadQueue, Wait};
use crate::base::KernResult;
use crate::base::ids::{PortId, SemaphoreId, ThreadId};
use crate::machine::Machine;

/// Threads that one step of [`Sched::signal_all`] lets go.
const STEP: u32 = 64;

/// One semaphore.
#[derive(Debug, Default)]
pub struct Semaphore {
    /// How many waits return at once; at most `i32::MAX`.
    count: u32,
    waiters: ThreadQueue,
    /// The port that stands for it.
    pub port: Option<PortId>,
}

impl Semaphore {
    /// One that lets so many waits return.
    ///
    /// # Errors
    /// `InvalidArgument`: more than a signed number can say.
    pub fn new(value: u32) -> KernResult<Self> {
        if value > i32::MAX as u32 {
            return Err(KernReturn::InvalidArgument);
        }
        Ok(Self {
            count: value,
            ..Self::default()
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
    /// Lets the first waiter go, or counts.
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

    /// Who waits longest.
    pub fn first_waiter(&self, id: SemaphoreId) -> Option<ThreadId> {
        self.semaphores.get(id)?.waiters.first()
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
            semaphore.waiters.push(&mut self.threads, thread);
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

    /// Takes a thread out of the queue of its semaphore.
    pub(super) fn leave_semaphore(&mut self, thread: ThreadId, id: SemaphoreId) {
        if let Some(semaphore) = self.semaphores.get_mut(id) {
            semaphore.waiters.remove(&mut self.threads, thread);
        }
    }
}
