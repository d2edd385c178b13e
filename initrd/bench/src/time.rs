//! The clock of all measurements.
//!
//! `rdtsc` alone, without a fence: the emulator executes in order, and a fence would count.
#![allow(unsafe_code, reason = "`rdtsc` has no safe form")]

use core::arch::asm;

/// What the time-stamp counter shows.
#[inline(always)]
pub fn now() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: it reads a counter. It counts as touching all memory, so that the compiler moves no
    // access from one side of it to the other.
    unsafe { asm!("rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags)) };
    high << 32 | low
}

/// What two readings with nothing in between differ by.
pub fn empty_pair() -> u64 {
    let pair = || {
        let start = now();
        now() - start
    };
    // An interrupt in between would only make one larger.
    (0..64).map(|_| pair()).min().unwrap_or(0)
}
