//! Time: absolute nanoseconds since boot, as the kernel counts them.

use core::time::Duration;

use crate::{ignore, trap};

/// `n` milliseconds.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Nanoseconds since boot.
pub fn now() -> u64 {
    trap::clock()
}

/// Nanoseconds since boot, those that the machine slept included (`mach_continuous_time`): it never does.
pub fn continuous() -> u64 {
    trap::clock()
}

/// The absolute time `limit` from now, in ns.
pub fn deadline(limit: Duration) -> u64 {
    now().saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
}

/// Blocks the calling thread for `duration`.
pub fn sleep(duration: Duration) {
    // It ends early only when the thread is aborted.
    ignore(trap::wait_until(deadline(duration)));
}
