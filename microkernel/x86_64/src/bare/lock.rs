//! Taking and releasing the kernel lock, and, with the feature `lock-times`, how long it is held and waited for.
//!
//! The unit is the instruction of an emulator whose time stamp counter counts them (`-icount`). That one executes one
//! CPU at a time and changes to the next one at a `pause`: left alone it would hardly ever do so while the lock is
//! held, and nobody would wait. So the kernel that measures pauses when it has taken the lock, and when it has
//! released it. All CPUs that have something to ask then arrive while the lock is held, and have it in turn: what
//! they wait is the most that calls at once can cost, not what they cost on average.
//!
//! Held are the instructions from the pause behind the taking until the release. What a CPU waits are the instructions
//! that others held the lock for between its first attempt and its success; on hardware, where all execute at once, that
//! is how long it would stand still.

use ksync::{Guard, Lock};

use super::kernel::{Guarded, KERNEL};
use super::shootdown;

/// Takes the kernel lock.
#[cfg(not(feature = "lock-times"))]
#[inline(always)]
pub(crate) fn take() -> Guard<'static, Guarded> {
    KERNEL.lock_with(shootdown::answer)
}

/// Releases it, from a function that does not return.
#[cfg(not(feature = "lock-times"))]
#[inline(always)]
pub(crate) fn release(kernel: Guard<'_, Guarded>) {
    kernel.unlock();
}

/// Before assembly in which [`unlock`](crate::bare::lock::unlock) releases it.
#[cfg(not(feature = "lock-times"))]
#[inline(always)]
pub(crate) fn keep(kernel: Guard<'_, Guarded>) {
    kernel.keep();
}

/// The line of assembly that releases it, with [`KERNEL`](super::kernel::KERNEL) as operand `lock` and [`WORD`] as `word`.
#[cfg(not(feature = "lock-times"))]
macro_rules! unlock {
    () => {
        "mov dword ptr [rip + {lock} + {word}], 0"
    };
}
#[cfg(feature = "lock-times")]
macro_rules! unlock {
    () => {
        "mov dword ptr [rip + {lock} + {word}], 0; pause"
    };
}
pub(crate) use unlock;

/// Where the lock's word lies in [`KERNEL`](super::kernel::KERNEL).
pub(crate) const WORD: usize = Lock::<Guarded>::WORD;

/// Tells what was measured.
#[cfg(not(feature = "lock-times"))]
pub(crate) fn report() {}

#[cfg(feature = "lock-times")]
mod measured {
    use core::hint::spin_loop;
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::{Guard, Guarded, KERNEL, shootdown};
    use crate::bare::asm;
    use crate::bare::log::log;

    /// Instructions that all holders executed.
    static HELD: AtomicU64 = AtomicU64::new(0);
    /// Instructions of others' that CPUs waited for.
    static WAITED: AtomicU64 = AtomicU64::new(0);
    /// How many times the lock was taken.
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    /// Instructions of [`exit::pass`](crate::bare::exit::pass) between the counting and the release.
    const LOADS: u64 = 7;
    /// Since when it is held. Its holder's.
    static SINCE: AtomicU64 = AtomicU64::new(0);

    /// Takes the kernel lock.
    pub(crate) fn take() -> Guard<'static, Guarded> {
        let kernel = match KERNEL.try_lock() {
            Some(kernel) => kernel,
            None => {
                let before = HELD.load(Relaxed);
                let kernel = KERNEL.lock_with(shootdown::answer);
                WAITED.fetch_add(HELD.load(Relaxed).wrapping_sub(before), Relaxed);
                kernel
            }
        };
        TAKEN.fetch_add(1, Relaxed);
        spin_loop();
        SINCE.store(asm::time_stamp(), Relaxed);
        kernel
    }

    /// Releases it, from a function that does not return.
    pub(crate) fn release(kernel: Guard<'_, Guarded>) {
        count(0);
        kernel.unlock();
        spin_loop();
    }

    /// Before assembly that releases it.
    pub(crate) fn keep(kernel: Guard<'_, Guarded>) {
        count(LOADS);
        kernel.keep();
    }

    fn count(more: u64) {
        let held = asm::time_stamp().wrapping_sub(SINCE.load(Relaxed));
        HELD.fetch_add(held + more, Relaxed);
    }

    /// Tells what was measured.
    pub(crate) fn report() {
        let [held, waited, taken] = [&HELD, &WAITED, &TAKEN].map(|count| count.load(Relaxed));
        log!("kernel: lock held {held} waited {waited} taken {taken}");
    }
}
#[cfg(feature = "lock-times")]
pub(crate) use measured::{keep, release, report, take};
