//! The clock of all measurements.
//!
//! `rdtsc` alone, without a fence: the emulator executes in order, and a fence would count.
//!
//! A sample's first reading, its second one, and the end of a row are the same instruction with
//! different prefixes that mean nothing to it: whoever traces the emulator's steps
//! (`cargo xtask bench`) tells them apart by their bytes, and needs no symbols.
#![allow(unsafe_code, reason = "`rdtsc` has no safe form")]

use core::arch::asm;

macro_rules! read {
    ($($instruction:literal),+) => {{
        let (low, high): (u64, u64);
        // SAFETY: it reads a counter. It counts as touching all memory, so that the compiler moves
        // no access from one side of it to the other.
        unsafe {
            asm!(
                $($instruction),+,
                out("rax") low,
                out("rdx") high,
                options(nostack, preserves_flags),
            )
        };
        high << 32 | low
    }};
}

/// The time-stamp counter, before an operation.
#[inline(always)]
pub fn start() -> u64 {
    read!("rdtsc")
}

/// The time-stamp counter, behind an operation.
#[inline(always)]
pub fn end() -> u64 {
    read!(".byte 0x48", "rdtsc")
}

/// All samples of a row are taken.
pub fn end_row() {
    let _: u64 = read!(".byte 0x40", "rdtsc");
}

/// What two readings with nothing in between differ by.
pub fn empty_pair() -> u64 {
    let pair = || {
        let start = start();
        end() - start
    };
    // An interrupt in between would only make one larger.
    (0..64).map(|_| pair()).min().unwrap_or(0)
}

/// What the clock counts: instructions, when a known number of them shows as that number.
pub fn unit() -> &'static str {
    let nothing = empty_pair();
    let start = start();
    // SAFETY: it does nothing.
    unsafe {
        asm!(
            ".rept 100",
            "nop",
            ".endr",
            options(nomem, nostack, preserves_flags)
        )
    };
    let exact = end().wrapping_sub(start) == nothing + 100;
    if exact { "instructions" } else { "ticks" }
}
