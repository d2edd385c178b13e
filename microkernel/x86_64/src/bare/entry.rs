//! The trap entry: from `syscall` to [`Kernel::handle`](microkernel::kernel::Kernel::handle).
//!
//! The registers are pushed straight into the current thread's frame, whose end lies in the CPU's area:
//! 21 instructions, of which 16 save a register. `rcx` and `r11`, which `syscall` fills, are the
//! thread's `rip` and flags.
//!
//! Interrupts are off (`SFMASK`), and an NMI has its own stack and does not use GS, so that the first
//! instructions may run on the user's stack and GS.

use core::arch::naked_asm;
use core::mem::offset_of;

use microkernel::machine::{Event, Frame, Next};

use super::kernel::KERNEL;
use super::percpu::{self, FRAME_END, SCRATCH, STACK};
use super::{exit, shootdown};

/// Where the registers that the trap entry saves end in a frame.
pub(crate) const SAVED: usize = offset_of!(Frame, rsp) + 8;

// The order of the pushes below and of the pops in `exit`.
const _: () = {
    assert!(SAVED == 16 * 8);
    assert!(offset_of!(Frame, rip) == 14 * 8);
    assert!(offset_of!(Frame, rflags) == 13 * 8);
    assert!(offset_of!(Frame, rbp) == 12 * 8);
    assert!(offset_of!(Frame, rbx) == 11 * 8);
    assert!(offset_of!(Frame, rax) == 10 * 8);
    assert!(offset_of!(Frame, r10) == 9 * 8);
    assert!(offset_of!(Frame, rdx) == 8 * 8);
    assert!(offset_of!(Frame, rsi) == 7 * 8);
    assert!(offset_of!(Frame, rdi) == 6 * 8);
    assert!(offset_of!(Frame, words) == 0);
};

/// Where `syscall` goes.
///
/// # Safety
/// Only the hardware calls it.
#[unsafe(naked)]
#[unsafe(link_section = ".text.entry")]
pub(crate) unsafe extern "C" fn trap() -> ! {
    naked_asm!(
        "swapgs",
        "mov gs:[{scratch}], rsp",
        "mov rsp, gs:[{frame_end}]",
        "push qword ptr gs:[{scratch}]",
        "push rcx",
        "push r11",
        "push rbp",
        "push rbx",
        "push rax",
        "push r10",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r9",
        "push r8",
        "mov rsp, gs:[{stack}]",
        "jmp {handle}",
        scratch = const SCRATCH,
        frame_end = const FRAME_END,
        stack = const STACK,
        handle = sym handle_trap,
    )
}

/// Asks the kernel, and leaves.
extern "C" fn handle_trap() -> ! {
    let mut kernel = KERNEL.lock_with(shootdown::answer);
    let next = kernel.handle(percpu::number(), Event::Trap);
    match next {
        Next::Run(thread) => exit::run(kernel, thread),
        Next::Pass(thread) => exit::pass(kernel, thread),
        next => exit::leave(kernel, next),
    }
}
