//! Exceptions as messages (XNU `mach/exception_types.h`, `mach/mach_exc.defs`).
//!
//! The kernel calls a handler for the thread that caused an exception: the thread's port for that type if it has
//! one, else its task's, else the host's. A handler that answers `Success` resumes the thread where it stands; after
//! any other answer, one that is not as it should be, or none, the next level is asked. When nobody is left, the task
//! ends. When the handler dies instead, a thread that faulted tries its instruction again.
//!
//! The port's [`behavior`] says which message comes. [`BRIEF`](behavior::BRIEF) is short: id [`RAISE`], words
//! `[type, code, subcode, rip, rsp, thread id]`, answered by word 0. The others are Mach's, as
//! `interfaces::exceptions` defines them. All carry the faulting task's identity token in `r10`; the answer's id is the
//! message's and 100.

/// Id of a [`behavior::BRIEF`] message.
pub const RAISE: i32 = 2400;

/// Id of the first message with codes of 64 bits; those with a state, and with state and rights, follow.
pub const WIDE_RAISE: i32 = 2405;

/// As [`WIDE_RAISE`], with codes of 32 bits.
pub const NARROW_RAISE: i32 = 2401;

/// Access to memory that is not there or not allowed. Code: `kern_return_t`, subcode: address.
pub const BAD_ACCESS: u32 = 1;
/// An undefined or privileged instruction. Code: the trap's vector.
pub const BAD_INSTRUCTION: u32 = 2;
/// Division by zero or overflow. Code: the trap's vector.
pub const ARITHMETIC: u32 = 3;
/// An instruction to be emulated; the kernel raises none.
pub const EMULATION: u32 = 4;
/// A software-generated exception. Code: [`software`].
pub const SOFTWARE: u32 = 5;
/// A breakpoint or single step. Code: the trap's vector.
pub const BREAKPOINT: u32 = 6;
/// A system call with a number of zero or above. Code: the number.
pub const SYSCALL: u32 = 7;
/// A trap number below zero that is none. Code: the number.
pub const MACH_SYSCALL: u32 = 8;
/// Kept for XNU's number; the kernel raises none.
pub const RPC_ALERT: u32 = 9;
/// Kept for XNU's number; the kernel raises none.
pub const CRASH: u32 = 10;
/// A ledger ran out while no call was there to answer. Code: `kern_return_t`.
pub const RESOURCE: u32 = 11;
/// A guarded receive right was to be destroyed or moved without its guard ([`guard`]). The call has failed already, and the
/// thread goes on whatever the answer is: a handler that asks for this learns who does it.
pub const GUARD: u32 = 12;
/// Kept for XNU's number; the kernel raises none.
pub const CORPSE_NOTIFY: u32 = 13;

/// One past the last type.
pub const TYPES: u32 = 14;

/// A mask of all types: bit `n` is type `n`.
pub const MASK_ALL: u32 = (1 << TYPES) - 2;

/// A mask of the types that end a task when nobody handles them.
pub const MASK_FATAL: u32 = MASK_ALL & !(1 << GUARD);

/// What a handler is told, and what it answers (`exception_behavior_t`).
pub mod behavior {
    /// Ours: one short message, without rights.
    pub const BRIEF: u32 = 0;
    /// Rights to the thread and its task.
    pub const DEFAULT: u32 = 1;
    /// The thread's registers; the answer has those that it goes on with.
    pub const STATE: u32 = 2;
    /// Both.
    pub const STATE_IDENTITY: u32 = 3;
    /// A bit beside the last three: codes have 64 bits, not 32.
    pub const WIDE_CODES: u32 = 0x8000_0000;
}

/// Codes of [`GUARD`] (XNU `kern/exc_guard.h`, `mach/port.h`): kind of guard in the upper three bits, what was tried from
/// bit 32 on, the port's name below; subcode: the guard that was given.
pub mod guard {
    /// XNU's `GUARD_TYPE_MACH_PORT`.
    pub const MACH_PORT: u64 = 1;
    /// XNU's `kGUARD_EXC_DESTROY`: the name was to be destroyed.
    pub const DESTROY: u64 = 1;
    /// XNU's `kGUARD_EXC_MOD_REFS`: the receive right was to be given up.
    pub const MOD_REFS: u64 = 2;
    /// XNU's `kGUARD_EXC_UNGUARDED`: the port has no guard to be taken away.
    pub const UNGUARDED: u64 = 8;
    /// XNU's `kGUARD_EXC_INCORRECT_GUARD`: another guard was given, or none.
    pub const INCORRECT_GUARD: u64 = 16;

    /// The first code.
    pub const fn code(tried: u64, name: u32) -> u64 {
        MACH_PORT << 61 | tried << 32 | name as u64
    }
}

/// Codes of [`SOFTWARE`].
pub mod software {
    /// XNU's `EXC_UNIX_BAD_SYSCALL`: a system call that is none. The kernel raises none of these four.
    pub const BAD_SYSCALL: u64 = 0x1_0000;
    /// XNU's `EXC_UNIX_BAD_PIPE`: a pipe that nobody reads.
    pub const BAD_PIPE: u64 = 0x1_0001;
    /// XNU's `EXC_UNIX_ABORT`: the program gives up on itself.
    pub const ABORT: u64 = 0x1_0002;
    /// XNU's `EXC_SOFT_SIGNAL`: a signal; subcode: its number.
    pub const SOFT_SIGNAL: u64 = 0x1_0003;
    /// A Rust panic; subcode: address of the text, up to a NUL.
    pub const PANIC: u64 = 0x1_0010;
}

/// The exception's name, for reports.
pub const fn name(exception: u32) -> &'static str {
    match exception {
        BAD_ACCESS => "EXC_BAD_ACCESS",
        BAD_INSTRUCTION => "EXC_BAD_INSTRUCTION",
        ARITHMETIC => "EXC_ARITHMETIC",
        EMULATION => "EXC_EMULATION",
        SOFTWARE => "EXC_SOFTWARE",
        BREAKPOINT => "EXC_BREAKPOINT",
        SYSCALL => "EXC_SYSCALL",
        MACH_SYSCALL => "EXC_MACH_SYSCALL",
        RPC_ALERT => "EXC_RPC_ALERT",
        CRASH => "EXC_CRASH",
        RESOURCE => "EXC_RESOURCE",
        GUARD => "EXC_GUARD",
        CORPSE_NOTIFY => "EXC_CORPSE_NOTIFY",
        _ => "EXC_UNKNOWN",
    }
}
