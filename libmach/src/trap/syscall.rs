//! The `syscall` instruction: register assignments of `abi::registers` and `abi::trap`.

use core::arch::asm;

use super::Registers;

/// See [`super::mach_msg`].
///
/// # Safety
/// As [`super::mach_msg`].
#[inline(always)]
pub(super) unsafe fn mach_msg(registers: Registers) -> (u32, Registers) {
    let Registers {
        mut word,
        mut names,
        mut receive,
        mut deadline,
        mut words,
    } = registers;
    let mut code = abi::trap::MACH_MSG.cast_unsigned();
    // SAFETY: (1) the kernel keeps rbx, rbp and rsp; every other register is an output or declared
    // clobbered. (2) What it writes of memory is the thread's message buffer and fresh regions; the
    // caller promised that no reference into the former is alive, and the asm block counts as
    // reading and writing all memory. (3) It uses no stack of ours.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") code,
            inlateout("rdi") word,
            inlateout("rsi") names,
            inlateout("rdx") receive,
            inlateout("r10") deadline,
            inlateout("r8") words[0],
            inlateout("r9") words[1],
            inlateout("r12") words[2],
            inlateout("r13") words[3],
            inlateout("r14") words[4],
            inlateout("r15") words[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    (
        code as u32,
        Registers {
            word,
            names,
            receive,
            deadline,
            words,
        },
    )
}

/// See [`super::raw`].
///
/// # Safety
/// As [`super::raw`].
#[inline(always)]
pub(super) unsafe fn trap(number: i64, arguments: [u64; 6]) -> (u64, u64) {
    let mut code = number.cast_unsigned();
    let mut third = arguments[2];
    // SAFETY: (1) such a trap changes rax, rdx, rcx and r11 only. (2) What it does to memory is the
    // caller's promise. (3) It uses no stack of ours.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") code,
            inlateout("rdx") third,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    (code, third)
}
