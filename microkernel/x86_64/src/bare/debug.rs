//! Debug registers: watchpoints of those threads that were given some.
//!
//! They are loaded when such a thread comes to a CPU, and disabled when it leaves. The kernel has seen to it that they
//! watch nothing but user memory, which ring 0 reaches by other addresses only; what a trap's first instruction is
//! told of an instruction before it is forgotten (`exceptions`).

use core::arch::asm;

use abi::thread_state::DebugState;
use microkernel::machine::FrameIndex;

use super::exit;
use super::percpu::{PerCpu, attention};
use super::vector::{Slot, slot_of};

/// The frame's `machine_flags`: the thread has watchpoints.
const WATCHES: u32 = 2;
/// DR7 that watches nothing.
const NOTHING: u64 = 1 << 10;
/// DR7's enable bits.
const ENABLES: u64 = 0xff;

/// The registers go to the next thread.
pub(crate) fn switch(area: &PerCpu, next: Option<FrameIndex>) {
    if let Some(thread) = next {
        let slot = slot_of(thread);
        // SAFETY: the thread is this CPU's from now on, and the lock is held.
        let slot = unsafe { &*slot };
        if slot.frame.machine_flags & WATCHES != 0 {
            load(slot.debug);
            let bits = area.attention.get() | attention::DEBUG;
            return area.attention.set(bits);
        }
    }
    if area.attention.get() & attention::DEBUG != 0 {
        // SAFETY: nothing is watched.
        unsafe { asm!("mov dr7, {}", in(reg) NOTHING, options(nomem, nostack, preserves_flags)) };
        let bits = area.attention.get() & !attention::DEBUG;
        area.attention.set(bits);
    }
}

fn load([dr0, dr1, dr2, dr3, _, dr7]: [u64; 6]) {
    // SAFETY: the addresses are the user's (the kernel checked them), where ring 0 touches nothing.
    unsafe {
        asm!(
            "mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}", "mov dr7, {}",
            in(reg) dr0, in(reg) dr1, in(reg) dr2, in(reg) dr3, in(reg) dr7,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// What the current thread's debug exception was about: DR6, which is cleared.
pub(crate) fn met(area: &PerCpu) -> u64 {
    let met: u64;
    // SAFETY: the register only tells what happened.
    unsafe {
        asm!("mov {}, dr6", "mov dr6, {}", out(reg) met, in(reg) 0_u64, options(nomem, nostack, preserves_flags));
    }
    // What is always set says nothing.
    let met = met & 0xe00f;
    let slot: *mut Slot = exit::current(area).cast();
    // SAFETY: the thread is this CPU's current one, so nobody else uses its slot.
    unsafe { (*slot).debug[4] = met };
    met
}

/// The registers of a thread that runs nowhere.
pub(crate) fn get(thread: FrameIndex) -> DebugState {
    let slot = slot_of(thread);
    // SAFETY: the frame is that of a thread that runs nowhere, and the lock is held.
    let [dr0, dr1, dr2, dr3, dr6, dr7] = unsafe { (*slot).debug };
    DebugState {
        dr0,
        dr1,
        dr2,
        dr3,
        dr4: 0,
        dr5: 0,
        dr6,
        dr7,
    }
}

/// Sets the registers of a thread that runs nowhere.
pub(crate) fn set(thread: FrameIndex, state: &DebugState) {
    let slot = slot_of(thread);
    // SAFETY: as in `get`.
    let slot = unsafe { &mut *slot };
    let s = state;
    slot.debug = [s.dr0, s.dr1, s.dr2, s.dr3, s.dr6, s.dr7];
    if s.dr7 & ENABLES == 0 {
        slot.frame.machine_flags &= !WATCHES;
    } else {
        slot.frame.machine_flags |= WATCHES;
    }
}
