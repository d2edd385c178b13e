//! `semaphore_*`.

use abi::trap as number;
use interfaces::semaphore::Semaphore;
use interfaces::task::Task;
use libmach::{SendRight, abi, time, trap};

use crate::own::{code, give, named, with};

/// `mach_timespec_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Span {
    seconds: u32,
    nanoseconds: i32,
}

impl Span {
    /// The time that so much later is, in ns since boot; `None` for a span that is none.
    fn deadline(self) -> Option<u64> {
        let nanoseconds = u64::try_from(self.nanoseconds).ok()?;
        let span = u64::from(self.seconds) * 1_000_000_000 + nanoseconds;
        (nanoseconds < 1_000_000_000).then(|| time::now().saturating_add(span))
    }
}

/// A trap on semaphores.
fn trap(number: i64, arguments: [u64; 3]) -> u32 {
    let [first, second, third] = arguments;
    // SAFETY: such a trap touches no memory.
    let (code, _) = unsafe { trap::raw(number, [first, second, third, 0, 0, 0]) };
    code as u32
}

/// `semaphore_create`; `policy` is one of `SYNC_POLICY_*`.
///
/// # Safety
/// `semaphore` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn semaphore_create(
    task: u32,
    semaphore: *mut u32,
    policy: i32,
    value: i32,
) -> u32 {
    let (policy, value) = (policy.cast_unsigned(), value.cast_unsigned());
    let made = with(task, |task: &SendRight<dyn Task>| {
        task.client().semaphore_create(policy, value)
    });
    // SAFETY: the caller's promise.
    unsafe { give(made.map(named), semaphore) }
}

/// `semaphore_destroy`. Whose it is does not matter.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_destroy(_task: u32, semaphore: u32) -> u32 {
    code(with(semaphore, |semaphore: &SendRight<dyn Semaphore>| {
        semaphore.client().destroy()
    }))
}

/// `semaphore_signal`.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_signal(semaphore: u32) -> u32 {
    trap(number::SEMAPHORE_SIGNAL, [semaphore.into(), 0, 0])
}

/// `semaphore_signal_all`.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_signal_all(semaphore: u32) -> u32 {
    trap(number::SEMAPHORE_SIGNAL_ALL, [semaphore.into(), 0, 0])
}

/// `semaphore_signal_thread`.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_signal_thread(semaphore: u32, thread: u32) -> u32 {
    let arguments = [semaphore.into(), thread.into(), 0];
    trap(number::SEMAPHORE_SIGNAL_THREAD, arguments)
}

/// `semaphore_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_wait(semaphore: u32) -> u32 {
    trap(number::SEMAPHORE_WAIT, [semaphore.into(), 0, 0])
}

/// `semaphore_timedwait`.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_timedwait(semaphore: u32, span: Span) -> u32 {
    match span.deadline() {
        Some(until) => trap(number::SEMAPHORE_TIMED_WAIT, [semaphore.into(), until, 0]),
        None => abi::kern_return::KernReturn::InvalidValue.0,
    }
}

/// `semaphore_wait_signal`: signals one, waits for the other.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_wait_signal(wait: u32, signal: u32) -> u32 {
    trap(
        number::SEMAPHORE_WAIT_SIGNAL,
        [wait.into(), signal.into(), 0],
    )
}

/// `semaphore_timedwait_signal`.
#[unsafe(no_mangle)]
pub extern "C" fn semaphore_timedwait_signal(wait: u32, signal: u32, span: Span) -> u32 {
    match span.deadline() {
        Some(until) => {
            let arguments = [wait.into(), signal.into(), until];
            trap(number::SEMAPHORE_TIMED_WAIT_SIGNAL, arguments)
        }
        None => abi::kern_return::KernReturn::InvalidValue.0,
    }
}
