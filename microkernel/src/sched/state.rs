//! Registers of a stopped thread, as users see them.

use abi::kern_return::KernReturn;
use abi::thread_state::{FIXED_FLAGS, ThreadState, USER_FLAGS};
use abi::vm::MAX_ADDRESS;

use crate::base::KernResult;
use crate::machine::{Frame, Resume};

/// Whether a user thread may have these registers.
///
/// # Errors
/// `InvalidArgument`: an address that is not canonical, or no user address at all for `rip`.
pub fn check_state(state: &ThreadState) -> KernResult<()> {
    let user = |address: u64| address < MAX_ADDRESS;
    if user(state.rip) && user(state.fs_base) && user(state.gs_base) {
        Ok(())
    } else {
        Err(KernReturn::InvalidArgument)
    }
}

/// Writes a checked state into a frame. Flags that are not the user's keep their fixed values.
pub fn set_state(frame: &mut Frame, state: &ThreadState) {
    frame.words = [
        state.r8, state.r9, state.r12, state.r13, state.r14, state.r15,
    ];
    frame.rdi = state.rdi;
    frame.rsi = state.rsi;
    frame.rdx = state.rdx;
    frame.r10 = state.r10;
    frame.rax = state.rax;
    frame.rbx = state.rbx;
    frame.rbp = state.rbp;
    frame.rsp = state.rsp;
    frame.rip = state.rip;
    frame.rflags = state.rflags & USER_FLAGS | FIXED_FLAGS;
    frame.rcx = state.rcx;
    frame.r11 = state.r11;
    frame.fs_base = state.fs_base;
    frame.gs_base = state.gs_base;
    frame.resume = Resume::Full;
}

/// Reads a state out of a frame.
pub fn get_state(frame: &Frame) -> ThreadState {
    let [r8, r9, r12, r13, r14, r15] = frame.words;
    ThreadState {
        rax: frame.rax,
        rbx: frame.rbx,
        rcx: frame.rcx,
        rdx: frame.rdx,
        rdi: frame.rdi,
        rsi: frame.rsi,
        rbp: frame.rbp,
        rsp: frame.rsp,
        r8,
        r9,
        r10: frame.r10,
        r11: frame.r11,
        r12,
        r13,
        r14,
        r15,
        rip: frame.rip,
        rflags: frame.rflags,
        fs_base: frame.fs_base,
        gs_base: frame.gs_base,
    }
}
