//! The signals of UNIX, as a host-level handler of exceptions makes them (XNU `bsd/uxkern/ux_exception.c`; the
//! numbers are BSD's, `sys/signal.h`).
//!
//! Pure: who delivers signals, and what a program does about them, is the POSIX server's.

use core::ops::Range;

use crate::exception::{self, software};
use crate::kern_return::KernReturn;

/// An instruction that is none, or is not allowed.
pub const SIGILL: u32 = 4;
/// A breakpoint or single step.
pub const SIGTRAP: u32 = 5;
/// The program gave up on itself.
pub const SIGABRT: u32 = 6;
/// An instruction to be emulated.
pub const SIGEMT: u32 = 7;
/// Division by zero, overflow.
pub const SIGFPE: u32 = 8;
/// Ended by somebody, without a chance to do anything about it.
pub const SIGKILL: u32 = 9;
/// Memory that is there and may not be used so.
pub const SIGBUS: u32 = 10;
/// Memory that is not there.
pub const SIGSEGV: u32 = 11;
/// A system call that is none.
pub const SIGSYS: u32 = 12;
/// A pipe that nobody reads.
pub const SIGPIPE: u32 = 13;

/// The signal behind an exception; `None`: it is none to a program, and the next handler is to be asked.
///
/// `stack` is where the thread's stack may lie at its largest, its guard included, and empty when that is not known: a
/// fault by the guard's protection is that of a stack that is full, which is told as memory that is not there.
pub fn of(kind: u32, [code, subcode]: [u64; 2], stack: &Range<u64>) -> Option<u32> {
    const INVALID_ADDRESS: u64 = KernReturn::InvalidAddress.0 as u64;
    const PROTECTION_FAILURE: u64 = KernReturn::ProtectionFailure.0 as u64;
    Some(match kind {
        exception::BAD_ACCESS => match code {
            INVALID_ADDRESS => SIGSEGV,
            PROTECTION_FAILURE if stack.contains(&subcode) => SIGSEGV,
            _ => SIGBUS,
        },
        exception::BAD_INSTRUCTION => SIGILL,
        exception::ARITHMETIC => SIGFPE,
        exception::EMULATION => SIGEMT,
        exception::BREAKPOINT => SIGTRAP,
        exception::SYSCALL | exception::MACH_SYSCALL => SIGSYS,
        exception::SOFTWARE => match code {
            software::BAD_SYSCALL => SIGSYS,
            software::BAD_PIPE => SIGPIPE,
            software::ABORT | software::PANIC => SIGABRT,
            software::SOFT_SIGNAL => SIGKILL,
            _ => return None,
        },
        _ => return None,
    })
}

/// The signal's name, for reports.
pub const fn name(signal: u32) -> &'static str {
    match signal {
        SIGILL => "SIGILL",
        SIGTRAP => "SIGTRAP",
        SIGABRT => "SIGABRT",
        SIGEMT => "SIGEMT",
        SIGFPE => "SIGFPE",
        SIGKILL => "SIGKILL",
        SIGBUS => "SIGBUS",
        SIGSEGV => "SIGSEGV",
        SIGSYS => "SIGSYS",
        SIGPIPE => "SIGPIPE",
        _ => "no signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where no stack is.
    const NOWHERE: Range<u64> = 0..0;

    //
    #[test]
    fn every_exception_has_the_signal_of_the_table() {
        let [hole, closed, broken] = [
            KernReturn::InvalidAddress,
            KernReturn::ProtectionFailure,
            KernReturn::MemoryError,
        ]
        .map(|code| u64::from(code.0));
        let table = [
            (exception::BAD_ACCESS, hole, Some(SIGSEGV)),
            (exception::BAD_ACCESS, closed, Some(SIGBUS)),
            (exception::BAD_ACCESS, broken, Some(SIGBUS)),
            (exception::BAD_ACCESS, 13, Some(SIGBUS)),
            (exception::BAD_INSTRUCTION, 6, Some(SIGILL)),
            (exception::ARITHMETIC, 0, Some(SIGFPE)),
            (exception::EMULATION, 0, Some(SIGEMT)),
            (exception::BREAKPOINT, 3, Some(SIGTRAP)),
            (exception::SYSCALL, 1, Some(SIGSYS)),
            (exception::MACH_SYSCALL, 1, Some(SIGSYS)),
            (exception::SOFTWARE, 0x1_0000, Some(SIGSYS)),
            (exception::SOFTWARE, 0x1_0001, Some(SIGPIPE)),
            (exception::SOFTWARE, 0x1_0002, Some(SIGABRT)),
            (exception::SOFTWARE, 0x1_0003, Some(SIGKILL)),
            (exception::SOFTWARE, software::PANIC, Some(SIGABRT)),
            (exception::SOFTWARE, 7, None),
            (exception::RPC_ALERT, 0, None),
            (exception::CRASH, 0, None),
            (exception::RESOURCE, 6, None),
            (exception::GUARD, 0, None),
            (exception::CORPSE_NOTIFY, 0, None),
            (0, 0, None),
            (u32::MAX, 0, None),
        ];
        for (kind, code, signal) in table {
            let of = of(kind, [code, 0x1000], &NOWHERE);
            assert_eq!(of, signal, "{} {code:#x}", exception::name(kind));
        }
    }

    //
    #[test]
    fn a_full_stack_is_memory_that_is_not_there() {
        let closed = u64::from(KernReturn::ProtectionFailure.0);
        let at = |address| of(exception::BAD_ACCESS, [closed, address], &(0x7000..0x9000));
        assert_eq!(at(0x7000), Some(SIGSEGV));
        assert_eq!(at(0x8fff), Some(SIGSEGV));
        assert_eq!(at(0x6fff), Some(SIGBUS));
        assert_eq!(at(0x9000), Some(SIGBUS));
    }

    #[test]
    fn numbers_are_bsd_s_and_have_names() {
        assert_eq!((SIGABRT, SIGBUS, SIGSEGV, SIGSYS), (6, 10, 11, 12));
        for signal in SIGILL..=SIGPIPE {
            assert!(name(signal).starts_with("SIG"), "{signal}");
        }
        assert_eq!(name(0), "no signal");
    }
}
