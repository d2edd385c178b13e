//! Traps on words in memory.

use abi::kern_return::KernReturn;

use super::{Caller, Outcome};
use crate::base::KernResult;
use crate::machine::{Machine, NEVER};
use crate::sched::futex::Key;
use crate::task::{Layers, Task};

/// Threads that one trap wakes or moves at the most; the caller learns how many, and asks again. A wake of one that waits
/// for a deadline as well takes some 1,100 instructions when very many do.
const MAX_THREADS: u32 = 32;

pub(super) fn wait<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    caller: Caller,
    (address, expected): (u64, u32),
    deadline: u64,
) -> Outcome {
    let (vm, mut context) = layers.vm();
    let (key, value) = match vm.futex_word(&mut context, task.map, address) {
        Ok(found) => found,
        Err(code) => return Outcome::Return(Err(code)),
    };
    if value != expected {
        return Outcome::Return(Err(KernReturn::Failure));
    }
    let cx = &mut layers.cx;
    if deadline <= cx.machine.now() {
        return Outcome::Return(Err(KernReturn::OperationTimedOut));
    }
    cx.sched.wait_futex(caller.thread, key.bits());
    if deadline != NEVER {
        cx.sched.arm(cx.machine, cx.cpu, caller.thread, deadline);
    }
    Outcome::Blocked
}

pub(super) fn wake<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    address: u64,
    count: u64,
) -> KernResult<u64> {
    let (vm, mut context) = layers.vm();
    let (key, _) = vm.futex_word(&mut context, task.map, address)?;
    Ok(wake_some(layers, key.bits(), at_most(count)).into())
}

/// As many as asked for, or as many as one trap takes.
fn at_most(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).min(MAX_THREADS)
}

fn wake_some<M: Machine>(layers: &mut Layers<'_, M>, key: Key, most: u32) -> u32 {
    let cx = &mut layers.cx;
    cx.sched.wake_word(key, most, |id, _| {
        cx.machine.frame(id.index()).rax = KernReturn::Success.0.into();
    })
}

/// Of those who wait for a word, the first ones go on, and the next ones wait for another word.
pub(super) fn requeue<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    ((address, expected), to): ((u64, u32), u64),
    (wakes, moves): (u64, u64),
) -> KernResult<u64> {
    let (vm, mut context) = layers.vm();
    let (from, value) = vm.futex_word(&mut context, task.map, address)?;
    let (to, _) = vm.futex_word(&mut context, task.map, to)?;
    let (from, to) = (from.bits(), to.bits());
    if from == to {
        return Err(KernReturn::InvalidArgument);
    }
    if value != expected {
        return Err(KernReturn::Failure);
    }
    let woken = wake_some(layers, from, at_most(wakes));
    let moves = at_most(moves).min(MAX_THREADS - woken);
    let moved = layers.cx.sched.move_waiters(from, to, moves);
    Ok(u64::from(woken) | u64::from(moved) << 32)
}
