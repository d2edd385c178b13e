//! Privileged instructions, one function each.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// Model-specific registers.
pub(crate) mod msr {
    pub(crate) const APIC_BASE: u32 = 0x1b;
    pub(crate) const TSC_DEADLINE: u32 = 0x6e0;
    pub(crate) const X2APIC: u32 = 0x800;
    pub(crate) const EFER: u32 = 0xc000_0080;
    pub(crate) const STAR: u32 = 0xc000_0081;
    pub(crate) const LSTAR: u32 = 0xc000_0082;
    pub(crate) const SFMASK: u32 = 0xc000_0084;
    pub(crate) const FS_BASE: u32 = 0xc000_0100;
    pub(crate) const GS_BASE: u32 = 0xc000_0101;
    pub(crate) const KERNEL_GS_BASE: u32 = 0xc000_0102;
}

/// What CPUID says about a leaf.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// Reads a model-specific register.
///
/// # Safety
/// The CPU has it.
#[inline(always)]
pub(crate) unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the register exists (contract); reading one has no effect on memory.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The CPU has it and takes the value; what the value changes is sound.
#[inline(always)]
pub(crate) unsafe fn write_msr(register: u32, value: u64) {
    // SAFETY: the contract.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

macro_rules! control_register {
    ($read:ident, $write:ident, $name:literal) => {
        #[doc = concat!("Reads `", $name, "`.")]
        #[inline(always)]
        #[allow(dead_code, reason = "made for each register alike")]
        pub(crate) fn $read() -> u64 {
            let value;
            // SAFETY: reading a control register in ring 0 has no effect.
            unsafe {
                asm!(concat!("mov {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags));
            }
            value
        }

        #[doc = concat!("Writes `", $name, "`.")]
        ///
        /// # Safety
        /// The CPU takes the value, and code and memory stay valid under it.
        #[inline(always)]
        #[allow(dead_code, reason = "made for each register alike")]
        pub(crate) unsafe fn $write(value: u64) {
            // SAFETY: the contract.
            unsafe {
                asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags));
            }
        }
    };
}

control_register!(read_cr0, write_cr0, "cr0");
control_register!(read_cr2, write_cr2, "cr2");
control_register!(read_cr3, write_cr3, "cr3");
control_register!(read_cr4, write_cr4, "cr4");

/// Forgets what the TLB has of an address in the current address space.
#[inline(always)]
pub(crate) fn invalidate_page(address: u64) {
    // SAFETY: forgetting a translation makes the CPU read the tables again, which are valid.
    unsafe {
        asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags));
    }
}

/// Forgets all translations of one process-context identifier, or (`kind` 3) of all but global ones.
///
/// # Safety
/// The CPU has `invpcid`.
pub(crate) unsafe fn invalidate_context(kind: u64, context: u64) {
    let descriptor = [context, 0];
    // SAFETY: as for `invlpg`; the instruction exists (contract).
    unsafe {
        asm!("invpcid {}, [{}]", in(reg) kind, in(reg) &raw const descriptor,
            options(nostack, preserves_flags));
    }
}

/// Sets CR0.TS: the next vector instruction traps.
#[inline(always)]
pub(crate) fn forbid_vectors() {
    // SAFETY: ring 0 has no vector instructions but those in `vector`, which clears the bit first.
    unsafe { write_cr0(read_cr0() | 1 << 3) };
}

/// Clears CR0.TS.
#[inline(always)]
pub(crate) fn allow_vectors() {
    // SAFETY: the bit only decides whether vector instructions trap.
    unsafe { asm!("clts", options(nomem, nostack, preserves_flags)) };
}

/// Waits for ever.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: nothing runs on this CPU any more; interrupts are off.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// The stack pointer.
pub(crate) fn stack_pointer() -> u64 {
    let value;
    // SAFETY: a copy of a register.
    unsafe { asm!("mov {}, rsp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The time stamp counter.
pub(crate) fn time_stamp() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: CR4.TSD is clear, so the instruction only reads a counter.
    unsafe {
        asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}
