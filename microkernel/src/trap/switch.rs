//! Traps by which a thread gives up its turn.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::trace::{Kind as TraceKind, NONE as NOWHERE, wait};
use abi::trap::{switch_option, swtch};

use super::{Caller, Outcome, kernel_object, wait_until};
use crate::base::ids::ThreadId;
use crate::ipc::port::Object;
use crate::machine::{Machine, Time};
use crate::sched::SLICE;
use crate::task::{Layers, Task};

/// Who is to have the turn, and what becomes of the caller.
#[derive(Clone, Copy, Debug)]
pub enum SwitchTrap {
    /// `thread_switch`.
    To {
        /// Who.
        thread: Name,
        /// Of [`switch_option`].
        option: u64,
        /// When that is over.
        deadline: Time,
    },
    /// `swtch`.
    Give,
    /// The turn is back after [`Give`](Self::Give).
    Back,
    /// `swtch_pri`.
    Lower,
    /// The turn is back after [`Lower`](Self::Lower).
    Raise,
}

pub(super) fn perform<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    caller: Caller,
    trap: SwitchTrap,
) -> Outcome {
    match trap {
        SwitchTrap::To {
            thread,
            option,
            deadline,
        } => {
            let to = named_thread(layers, task, thread);
            return switch(layers, caller, to, (option, deadline));
        }
        SwitchTrap::Give | SwitchTrap::Lower if !others_wait(layers) => {}
        SwitchTrap::Give => return give(layers, caller),
        SwitchTrap::Lower => {
            let cx = &mut layers.cx;
            let until = cx.machine.now().saturating_add(SLICE);
            cx.sched.depress(cx.machine, cx.cpu, (caller.thread, until));
            return give(layers, caller);
        }
        SwitchTrap::Back => {}
        SwitchTrap::Raise => {
            let cx = &mut layers.cx;
            cx.sched.end_depression(cx.machine, cx.cpu, caller.thread);
        }
    }
    Outcome::Return(Ok(others_wait(layers).into()))
}

/// Whether any thread waits for a turn.
fn others_wait<M: Machine>(layers: &Layers<'_, M>) -> bool {
    layers.cx.sched.highest_ready() >= 0
}

/// Others run; then the trap is done again, for its second half.
fn give<M: Machine>(layers: &mut Layers<'_, M>, caller: Caller) -> Outcome {
    let cx = &mut layers.cx;
    cx.machine.frame(caller.thread.index()).rdx = swtch::BACK;
    cx.sched.end_turn(cx.cpu);
    Outcome::Again
}

/// The thread behind a name: a hint, and so no error when there is none.
fn named_thread<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    name: Name,
) -> Option<ThreadId> {
    match kernel_object(layers, task, name) {
        Ok(Object::Thread(thread)) => Some(thread),
        _ => None,
    }
}

fn switch<M: Machine>(
    layers: &mut Layers<'_, M>,
    caller: Caller,
    to: Option<ThreadId>,
    (option, deadline): (u64, Time),
) -> Outcome {
    use switch_option::{DEPRESS, NONE, OSLOCK_DEPRESS, OSLOCK_WAIT, WAIT};
    match option {
        NONE => {}
        WAIT | OSLOCK_WAIT => {
            if let Outcome::Blocked = wait_until(layers, caller, deadline) {
                return to.map_or(Outcome::Blocked, |to| wait_and_pass(layers, to));
            }
        }
        DEPRESS | OSLOCK_DEPRESS => {
            let cx = &mut layers.cx;
            let whom = (caller.thread, deadline);
            cx.sched.depress(cx.machine, cx.cpu, whom);
        }
        _ => return Outcome::Return(Err(KernReturn::InvalidArgument)),
    }
    let cx = &mut layers.cx;
    Outcome::Yielded(match to {
        Some(to) => cx.sched.yield_to(cx.machine, cx.cpu, to),
        None => cx.sched.yield_now(cx.machine, cx.cpu),
    })
}

/// The caller, whose wait is set, blocks, and this thread has the turn if it could be next.
fn wait_and_pass<M: Machine>(layers: &mut Layers<'_, M>, to: ThreadId) -> Outcome {
    let cx = &mut layers.cx;
    let what = (wait::DEADLINE.into(), NOWHERE);
    cx.sched.note(cx.machine, cx.cpu, TraceKind::Block, what);
    cx.sched.block(cx.cpu);
    let runs = cx.sched.pass_to(cx.machine, cx.cpu, to);
    Outcome::Passed(runs.then_some(to))
}
