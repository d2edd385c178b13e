//! Traps on semaphores.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::trap;

use super::{Caller, Outcome, kernel_object};
use crate::base::KernResult;
use crate::base::ids::{SemaphoreId, ThreadId};
use crate::ipc::port::Object;
use crate::machine::{Machine, NEVER, Time};
use crate::sched::semaphore::{Waited, Woken};
use crate::task::{Layers, Task};

/// What is asked of a semaphore.
#[derive(Clone, Copy, Debug)]
pub enum SemaphoreTrap {
    /// Let one go.
    Signal(Name),
    /// Let all go.
    SignalAll(Name),
    /// Let this thread go; null: any.
    SignalThread(Name, Name),
    /// Wait, after a signal to another one.
    Wait {
        /// Where.
        name: Name,
        /// What is signalled before.
        signal: Option<Name>,
        /// Until when.
        deadline: Time,
    },
}

impl SemaphoreTrap {
    /// Reads the registers of a trap on semaphores.
    pub(super) fn decode(number: i64, [a, b, c, ..]: [u64; 6]) -> Option<Self> {
        let (first, second) = (Name(a as u32), Name(b as u32));
        let wait = |signal, deadline| Self::Wait {
            name: first,
            signal,
            deadline,
        };
        Some(match number {
            trap::SEMAPHORE_SIGNAL => Self::Signal(first),
            trap::SEMAPHORE_SIGNAL_ALL => Self::SignalAll(first),
            trap::SEMAPHORE_SIGNAL_THREAD => Self::SignalThread(first, second),
            trap::SEMAPHORE_WAIT => wait(None, NEVER),
            trap::SEMAPHORE_WAIT_SIGNAL => wait(Some(second), NEVER),
            trap::SEMAPHORE_TIMED_WAIT => wait(None, b),
            trap::SEMAPHORE_TIMED_WAIT_SIGNAL => wait(Some(second), c),
            _ => return None,
        })
    }
}

pub(super) fn perform<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    caller: Caller,
    trap: SemaphoreTrap,
) -> Outcome {
    let done = match trap {
        SemaphoreTrap::Wait {
            name,
            signal,
            deadline,
        } => {
            let waits = wait(layers, task, caller, ((name, signal), deadline));
            return waits.unwrap_or_else(|code| Outcome::Return(Err(code)));
        }
        SemaphoreTrap::SignalAll(name) => {
            let woken = semaphore(layers, task, name)
                .map(|id| layers.cx.sched.signal_all(layers.cx.machine, id));
            match woken {
                Ok(Woken::Some) => return Outcome::Again,
                Ok(Woken::All) => Ok(()),
                Err(code) => Err(code),
            }
        }
        SemaphoreTrap::Signal(name) | SemaphoreTrap::SignalThread(name, Name::NULL) => {
            semaphore(layers, task, name)
                .and_then(|id| layers.cx.sched.signal(layers.cx.machine, id))
        }
        SemaphoreTrap::SignalThread(name, thread) => signal_thread(layers, task, name, thread),
    };
    Outcome::Return(done.map(|()| 0))
}

fn signal_thread<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    name: Name,
    thread: Name,
) -> KernResult<()> {
    let id = semaphore(layers, task, name)?;
    let thread: ThreadId = match kernel_object(layers, task, thread)? {
        Object::Thread(thread) => thread,
        _ => return Err(KernReturn::InvalidRight),
    };
    let cx = &mut layers.cx;
    cx.sched.signal_thread(cx.machine, id, thread)
}

/// A signal and a wait with nothing in between: whoever is let go gets the CPU.
fn wait<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    caller: Caller,
    ((name, signal), deadline): ((Name, Option<Name>), Time),
) -> KernResult<Outcome> {
    let id = semaphore(layers, task, name)?;
    if let Some(signal) = signal {
        let signal = semaphore(layers, task, signal)?;
        layers.cx.sched.signal(layers.cx.machine, signal)?;
    }
    let cx = &mut layers.cx;
    if cx.sched.take_count(id) == Waited::Done {
        return Ok(Outcome::Return(Ok(0)));
    }
    if deadline <= cx.machine.now() {
        return Err(KernReturn::OperationTimedOut);
    }
    cx.sched.wait_semaphore(caller.thread, id);
    if deadline != NEVER {
        cx.sched.arm(cx.machine, cx.cpu, caller.thread, deadline);
    }
    Ok(Outcome::Blocked)
}

fn semaphore<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    name: Name,
) -> KernResult<SemaphoreId> {
    match kernel_object(layers, task, name)? {
        Object::Semaphore(id) => Ok(id),
        _ => Err(KernReturn::InvalidRight),
    }
}
