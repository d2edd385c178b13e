//! Vector state: x87, SSE, AVX.
//!
//! A thread starts without. Its first vector instruction traps (CR0.TS), and gives it a page to save the
//! state in. From then on the state is loaded when the thread comes to a CPU and saved when it leaves,
//! under the kernel lock: afterwards another CPU may run it. Registers that nobody owns are cleared and
//! CR0.TS is set, so that no thread sees another's.
//!
//! The page stays with the thread's frame until another thread gets the frame.

use core::arch::asm;

use abi::thread_state::FLOAT_SIZE;
use microkernel::machine::{Event, Frame, FrameIndex, OutOfPages, Vectors};
use microkernel_x86_64::blocks::Use;
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
/// Where the layout of `fxsave64` has SSE's control bits, and which of them the CPU has.
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
/// Those of CPUs that do not say.
const OLD_MXCSR: u32 = 0xffbf;
/// Where it has x87 and SSE registers.
const REGISTERS: core::ops::Range<usize> = 32..416;
/// Where `xsave64` says which parts are not in their first state, and the bits (Intel SDM vol. 1, 13.4).
const IN_USE: usize = 512;
const X87: u8 = 1;
const SSE: u8 = 2;
const AVX: u8 = 4;
/// Where it has the upper halves of AVX: the same on all CPUs, for the layout without compaction.
const AVX_OFFSET: usize = 576;

/// A thread's place in memory: its frame, and what the machine notes beside it.
#[repr(C)]
pub(crate) struct Slot {
    pub(crate) frame: Frame,
    /// The physical address of its vector state, or 0.
    vectors: u64,
    unused: u64,
    /// Its debug registers: four addresses, DR6, DR7.
    pub(super) debug: [u64; 6],
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

pub(super) fn slot_of(thread: FrameIndex) -> *mut Slot {
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
///
/// Where the last x87 instruction and its operand lie is not among what AMD's processors load, with `fxrstor` and, before
/// Zen, with `xrstor`, unless an exception waits (AMD APM vol. 2, 11.4): the next thread would see that of this one.
/// `fninit` zeroes it on all processors.
fn clear(area: &PerCpu) {
    // SAFETY: the registers are in use, so CR0.TS is clear, and the state was saved or is nobody's.
    unsafe { asm!("fninit", options(nomem, nostack)) };
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
    let slot = slot_of(thread);
    // SAFETY: the thread is this CPU's current one.
    let Some(page) = give_page(unsafe { &mut *slot }) else {
        let vector = exceptions::vector::NO_VECTORS;
        interrupts::ask(area, Event::Exception { vector, code: 0 })
    };
    cpu::allow_vectors();
    // SAFETY: the state is a clean one.
    unsafe { load(DIRECT + page) };
    own(area, thread);
    exit::resume(area)
}

/// Gives a thread a page for its state, which is a clean one; `None`: there is none left.
fn give_page(slot: &mut Slot) -> Option<u64> {
    let page = MEMORY.lock().allocate(Use::Kernel)?;
    let mut memory = Direct::KERNEL;
    memory.clear_page(page);
    memory.store(page, X87_CONTROL);
    memory.store(page + 24, SSE_CONTROL);
    slot.vectors = page;
    slot.frame.machine_flags |= HAS_STATE;
    Some(page)
}

/// The state of a thread that runs nowhere: it was saved when it left its CPU.
pub(crate) fn get(thread: FrameIndex) -> Vectors {
    let slot = slot_of(thread);
    // SAFETY: the frame is that of a thread that runs nowhere, and the lock is held.
    let slot = unsafe { &*slot };
    let mut all = Vectors::CLEAN;
    if slot.vectors == 0 {
        return all;
    }
    // SAFETY: the page is the thread's, in the direct map, and nobody else uses it.
    let page = unsafe { &*((DIRECT + slot.vectors) as *const [u8; PAGE as usize]) };
    let (low, high) = all.0.split_at_mut(FLOAT_SIZE);
    low.copy_from_slice(&page[..FLOAT_SIZE]);
    if has_avx() && page[IN_USE] & AVX != 0 {
        high.copy_from_slice(&page[AVX_OFFSET..AVX_OFFSET + high.len()]);
    }
    all
}

/// Sets the state of a thread that runs nowhere.
///
/// # Errors
/// [`OutOfPages`]: it has no page, and there is none.
pub(crate) fn set(thread: FrameIndex, vectors: &Vectors) -> Result<(), OutOfPages> {
    let slot = slot_of(thread);
    // SAFETY: as in `get`.
    let slot = unsafe { &mut *slot };
    if slot.vectors == 0 {
        give_page(slot).ok_or(OutOfPages)?;
    }
    // SAFETY: as in `get`.
    let page = unsafe { &mut *((DIRECT + slot.vectors) as *mut [u8; PAGE as usize]) };
    let (low, high) = vectors.0.split_at(FLOAT_SIZE);
    // The CPU refuses to load control bits that it does not have; a save says which it has.
    let known = read_u32(page, MXCSR_MASK);
    let known = if known == 0 { OLD_MXCSR } else { known };
    page[..MXCSR].copy_from_slice(&low[..MXCSR]);
    let control = read_u32(low, MXCSR) & known;
    page[MXCSR..MXCSR_MASK].copy_from_slice(&control.to_le_bytes());
    // What lies behind the registers is the CPU's or nobody's.
    page[REGISTERS].copy_from_slice(&low[REGISTERS]);
    if features().xsave {
        page[IN_USE] |= X87 | SSE;
    }
    if has_avx() {
        page[IN_USE] |= AVX;
        page[AVX_OFFSET..AVX_OFFSET + high.len()].copy_from_slice(high);
    }
    Ok(())
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|n| bytes[at + n]))
}

/// Whether AVX state is among what is saved.
fn has_avx() -> bool {
    features().xsave && cpu::cpuid(0xd, 0).eax & u32::from(AVX) != 0
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
        shootdown::quarantine_table(area, slot.vectors);
    }
    *slot = Slot {
        frame: Frame::default(),
        vectors: 0,
        unused: 0,
        debug: [0; 6],
    };
}
