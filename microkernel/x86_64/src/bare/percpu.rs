//! [`PerCpu`]: what each CPU has for itself. Ring 0's GS base points to it.
//!
//! The assembly in `entry`, `exit` and `exceptions` uses the first fields by their offsets.

use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::hint::assert_unchecked;
use core::sync::atomic::AtomicU64;

use microkernel::machine::{Cpu, FrameIndex, MAX_CPUS, NEVER};
use microkernel_x86_64::layout::THREADS;

use super::cpu::Tables;
use super::entry::SAVED;
use super::shootdown::Batch;

/// The end of the current frame's saved registers, where the trap entry's stores begin.
pub(crate) const FRAME_END: usize = 0;
/// The user's stack pointer, while the trap entry stores the other registers.
pub(crate) const SCRATCH: usize = 8;
/// Where the kernel stack begins.
pub(crate) const STACK: usize = 16;
/// The root in CR3.
pub(crate) const ROOT: usize = 24;
/// Where what the trap entry saves ends in the first thread's frame: always the same.
pub(crate) const FIRST_END: usize = 40;
/// Reasons for the long way out, see [`attention`].
pub(crate) const ATTENTION: usize = 32;

/// Reasons for the long way out.
pub(crate) mod attention {
    /// Mappings changed that other CPUs may remember, or pages wait in quarantine.
    pub(crate) const FLUSH: u64 = 1;
    /// The vector registers hold the current thread's state.
    pub(crate) const VECTORS: u64 = 2;
    /// The CPU lacks `wrfsbase`.
    pub(crate) const NO_FSGSBASE: u64 = 4;
    /// The debug registers watch for the current thread.
    pub(crate) const DEBUG: u64 = 8;
}

/// Why a CPU lets interrupts in while it is in ring 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// It does not.
    None,
    /// There is nothing to run.
    Idle,
    /// The kernel has more to do for the current thread, after what is pending.
    Work,
}

/// What a CPU has for itself.
#[repr(C, align(64))]
pub(crate) struct PerCpu {
    pub(crate) frame_end: Cell<u64>,
    pub(crate) scratch: Cell<u64>,
    pub(crate) stack: Cell<u64>,
    /// Other CPUs read it to learn whom a flush concerns.
    pub(crate) root: AtomicU64,
    pub(crate) attention: Cell<u64>,
    first_end: u64,
    /// Its own address.
    this: Cell<u64>,
    pub(crate) number: Cell<u32>,
    /// The local APIC's id.
    pub(crate) apic: Cell<u32>,
    /// What it does in ring 0 while interrupts may come.
    pub(crate) pause: Cell<Pause>,
    /// Whose state the vector registers hold, while [`attention::VECTORS`] is set.
    pub(crate) vector_owner: Cell<FrameIndex>,
    /// When the kernel wants a timer event. Other CPUs write it under the kernel lock.
    pub(crate) deadline: AtomicU64,
    /// When the timer will interrupt.
    pub(crate) programmed: Cell<u64>,
    pub(crate) tables: UnsafeCell<Tables>,
    pub(crate) batch: UnsafeCell<Batch>,
}

// SAFETY: a CPU uses the cells of its own entry only, with interrupts off; what others touch is atomic,
// or (`batch`) is read by them between the asking and the answering of a rendezvous only.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    const fn new() -> Self {
        Self {
            frame_end: Cell::new(0),
            scratch: Cell::new(0),
            stack: Cell::new(0),
            root: AtomicU64::new(0),
            attention: Cell::new(0),
            first_end: THREADS + SAVED as u64,
            this: Cell::new(0),
            number: Cell::new(0),
            apic: Cell::new(0),
            pause: Cell::new(Pause::None),
            vector_owner: Cell::new(0),
            deadline: AtomicU64::new(NEVER),
            programmed: Cell::new(NEVER),
            tables: UnsafeCell::new(Tables::new()),
            batch: UnsafeCell::new(Batch::new()),
        }
    }

    /// Makes the area that of a CPU.
    ///
    /// # Panics
    /// It is another one's.
    pub(crate) fn number_as(&self, cpu: Cpu) {
        assert!(core::ptr::eq(self, of(cpu)), "another CPU's area");
        self.this.set(core::ptr::from_ref(self) as u64);
        self.number.set(cpu.0);
    }

    /// The CPU's number.
    pub(crate) fn cpu(&self) -> Cpu {
        Cpu(self.number.get())
    }
}

const _: () = {
    assert!(core::mem::offset_of!(PerCpu, frame_end) == FRAME_END);
    assert!(core::mem::offset_of!(PerCpu, scratch) == SCRATCH);
    assert!(core::mem::offset_of!(PerCpu, stack) == STACK);
    assert!(core::mem::offset_of!(PerCpu, root) == ROOT);
    assert!(core::mem::offset_of!(PerCpu, attention) == ATTENTION);
    assert!(core::mem::offset_of!(PerCpu, first_end) == FIRST_END);
};

static CPUS: [PerCpu; MAX_CPUS] = [const { PerCpu::new() }; MAX_CPUS];

/// A CPU's own area.
pub(crate) fn of(cpu: Cpu) -> &'static PerCpu {
    &CPUS[cpu.0 as usize]
}

/// This CPU's area.
#[inline(always)]
pub(crate) fn this() -> &'static PerCpu {
    let this: u64;
    // SAFETY: in ring 0 the GS base points to this CPU's area.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) this,
            offset = const core::mem::offset_of!(PerCpu, this),
            options(nostack, preserves_flags, readonly));
    }
    // SAFETY: `number_as` wrote the area's own address, before the GS base was set.
    unsafe { &*(this as *const PerCpu) }
}

/// This CPU's number.
#[inline(always)]
pub(crate) fn number() -> Cpu {
    let number: u64;
    // SAFETY: in ring 0 the GS base points to this CPU's area.
    unsafe {
        asm!("mov {:e}, gs:[{offset}]", out(reg) number,
            offset = const core::mem::offset_of!(PerCpu, number),
            options(nostack, preserves_flags, readonly));
    }
    // SAFETY: the area is one of `CPUS`, and `number_as` wrote its place there.
    unsafe { assert_unchecked(number < MAX_CPUS as u64) };
    Cpu(number as u32)
}
