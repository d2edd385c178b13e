//! Exceptions as messages (XNU `mach/exception_types.h`).
//!
//! The kernel calls the exception port for the faulting thread, with a short message: id
//! [`RAISE`], words `[type, code, subcode, rip, rsp, thread id]`, and the faulting task's identity
//! token in `r10`. The answer's word 0 is a `kern_return_t`: `Success` resumes the thread where it
//! stands; anything else, or no answer, terminates its task.

/// Id of an exception message (`mach_exception_raise`); the reply's is 100 more.
pub const RAISE: i32 = 2405;

/// Access to memory that is not there or not allowed. Code: `kern_return_t`, subcode: address.
pub const BAD_ACCESS: u32 = 1;
/// An undefined or privileged instruction. Code: the trap's vector.
pub const BAD_INSTRUCTION: u32 = 2;
/// Division by zero or overflow. Code: the trap's vector.
pub const ARITHMETIC: u32 = 3;
/// A software-generated exception. Code: [`software`].
pub const SOFTWARE: u32 = 5;
/// A breakpoint or single step. Code: the trap's vector.
pub const BREAKPOINT: u32 = 6;
/// A system call with a number of zero or above. Code: the number.
pub const SYSCALL: u32 = 7;
/// A trap number below zero that is none. Code: the number.
pub const MACH_SYSCALL: u32 = 8;
/// A ledger ran out while no call was there to answer. Code: `kern_return_t`.
pub const RESOURCE: u32 = 11;

/// Codes of [`SOFTWARE`].
pub mod software {
    /// A Rust panic; subcode: address of the text, up to a NUL.
    pub const PANIC: u64 = 0x1_0010;
}

/// The exception's name, for reports.
pub const fn name(exception: u32) -> &'static str {
    match exception {
        BAD_ACCESS => "EXC_BAD_ACCESS",
        BAD_INSTRUCTION => "EXC_BAD_INSTRUCTION",
        ARITHMETIC => "EXC_ARITHMETIC",
        SOFTWARE => "EXC_SOFTWARE",
        BREAKPOINT => "EXC_BREAKPOINT",
        SYSCALL => "EXC_SYSCALL",
        MACH_SYSCALL => "EXC_MACH_SYSCALL",
        RESOURCE => "EXC_RESOURCE",
        _ => "EXC_UNKNOWN",
    }
}
