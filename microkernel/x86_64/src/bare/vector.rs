//! Vector state: x87, SSE, AVX.
//!
//! A thread starts without. Its first vector instruction traps (CR0.TS), and gives it a page to save the
//! state in. From then on the state is loaded when the thread comes to a CPU and saved when it leaves,
//! under the kernel lock: afterwards another CPU may run it. Registers that nobody owns are cleared and
//! CR0.TS is set, so that no thread sees another's.
//!
//! The page stays with the thread's frame until another thread gets the frame.

use core::arch::asm;

use microkernel::machine::{Event, Frame, FrameIndex};
use microkernel_x86_64::layout::{DIRECT, PAGE, THREAD_SIZE, THREADS};
use microkernel_x86_64::physical::Physical;

use super::cpu::features;
use super::entry::SAVED;
use super::memory::{Direct, MEMORY};
use super::percpu::{PerCpu, attention};
use super::{asm as cpu, exceptions, exit, interrupts, shootdown};

/// The frame's `machine_flags`: the thread has vector state.
const HAS_STATE: u32 = 1;
/// What is enabled: x87, SSE, AVX.
const COMMON: u64 = 7;
/// Mask registers and the upper halves of AVX-512.
const WIDE: u64 = 0xe0;
const X87_CONTROL: u64 = 0x37f;
const SSE_CONTROL: u64 = 0x1f80;

/// A thread's place in memory: its frame, and what the machine notes beside it.
#[repr(C)]
pub(crate) struct Slot {
    pub(crate) frame: Frame,
    /// The physical address of its vector state, or 0.
    vectors: u64,
    unused: [u64; 7],
}

const _: () = assert!(size_of::<Slot>() as u64 == THREAD_SIZE);

/// A clean state, to clear the registers with.
#[repr(C, align(64))]
struct Clean([u64; PAGE as usize / 8]);

static CLEAN: Clean = {
    let mut words = [0; PAGE as usize / 8];
    words[0] = X87_CONTROL;
    words[3] = SSE_CONTROL;
    Clean(words)
};

fn slot_of(thread: FrameIndex) -> *mut Slot {
    exit::frame_of(thread).cast()
}

/// Enables what the CPU has, as far as it fits into a page.
pub(crate) fn set_up() {
    if !features().xsave {
        return;
    }
    let supported = cpu::cpuid(0xd, 0).eax;
    set_enabled(u64::from(supported) & (COMMON | WIDE));
    if u64::from(cpu::cpuid(0xd, 0).ebx) > PAGE {
        set_enabled(u64::from(supported) & COMMON);
    }
}

fn set_enabled(bits: u64) {
    // SAFETY: CPUID reports the bits as supported, and CR4.OSXSAVE is set.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") bits as u32, in("edx") 0, options(nomem, nostack))
    };
}

/// Saves the registers at an address.
///
/// # Safety
/// A page there is the caller's; CR0.TS is clear.
unsafe fn save(address: u64) {
    if features().xsave {
        // SAFETY: the contract; `set_up` saw to it that the state fits.
        unsafe {
            asm!("xsave64 [{}]", in(reg) address, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack))
        };
    } else {
        // SAFETY: the contract; 512 bytes.
        unsafe { asm!("fxsave64 [{}]", in(reg) address, options(nostack)) };
    }
}

/// Loads the registers from an address.
///
/// # Safety
/// A state was saved there, or it is like [`CLEAN`]; CR0.TS is clear.
unsafe fn load(address: u64) {
    if features().xsave {
        // SAFETY: the contract.
        unsafe {
            asm!("xrstor64 [{}]", in(reg) address, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack))
        };
    } else {
        // SAFETY: the contract.
        unsafe { asm!("fxrstor64 [{}]", in(reg) address, options(nostack)) };
    }
}

/// The registers go from one thread to the next: saves and clears those of the thread that leaves.
pub(crate) fn switch(area: &PerCpu, next: Option<FrameIndex>) {
    let live = area.attention.get() & attention::VECTORS != 0;
    let owner = area.vector_owner.get();
    if live && next == Some(owner) {
        return;
    }
    if live {
        let slot = slot_of(owner);
        // SAFETY: the thread was this CPU's until now, and the lock is held.
        let page = unsafe { (*slot).vectors };
        // SAFETY: the page is the thread's, and the registers are too, so CR0.TS is clear.
        unsafe { save(DIRECT + page) };
        clear(area);
    }
    let Some(thread) = next else { return };
    let slot = slot_of(thread);
    // SAFETY: the thread is this CPU's from now on, and the lock is held.
    let slot = unsafe { &*slot };
    if slot.frame.machine_flags & HAS_STATE != 0 {
        cpu::allow_vectors();
        // SAFETY: the state is that of the last save, or a clean one.
        unsafe { load(DIRECT + slot.vectors) };
        own(area, thread);
    }
}

fn own(area: &PerCpu, thread: FrameIndex) {
    area.vector_owner.set(thread);
    area.attention
        .set(area.attention.get() | attention::VECTORS);
}

/// Empties the registers and forbids their use.
fn clear(area: &PerCpu) {
    // SAFETY: the state is clean; the registers are in use, so CR0.TS is clear.
    unsafe { load(CLEAN.0.as_ptr() as u64) };
    cpu::forbid_vectors();
    area.attention
        .set(area.attention.get() & !attention::VECTORS);
}

/// The current thread used a vector register for the first time.
pub(crate) fn first_use(area: &'static PerCpu) -> ! {
    let frame = area.frame_end.get() - SAVED as u64;
    let thread = ((frame - THREADS) / THREAD_SIZE) as FrameIndex;
    let Some(page) = MEMORY.lock().allocate() else {
        let vector = exceptions::vector::NO_VECTORS;
        interrupts::ask(area, Event::Exception { vector, code: 0 })
    };
    let mut memory = Direct::KERNEL;
    memory.clear_page(page);
    memory.store(page, X87_CONTROL);
    memory.store(page + 24, SSE_CONTROL);
    let slot = slot_of(thread);
    // SAFETY: the thread is this CPU's current one.
    let slot = unsafe { &mut *slot };
    slot.vectors = page;
    slot.frame.machine_flags |= HAS_STATE;
    cpu::allow_vectors();
    // SAFETY: the state is a clean one.
    unsafe { load(DIRECT + page) };
    own(area, thread);
    exit::resume(area)
}

/// Makes a frame new: zeroed, without vector state.
///
/// Its memory is there, and no thread has it.
pub(crate) fn reset(area: &PerCpu, thread: FrameIndex) {
    if area.attention.get() & attention::VECTORS != 0 && area.vector_owner.get() == thread {
        clear(area);
    }
    let slot = slot_of(thread);
    // SAFETY: the frame is nobody's, and the lock is held.
    let slot = unsafe { &mut *slot };
    if slot.vectors != 0 {
        shootdown::quarantine(area, slot.vectors);
    }
    *slot = Slot {
        frame: Frame::default(),
        vectors: 0,
        unused: [0; 7],
    };
}
