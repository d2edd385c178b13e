//! What must be set in each CPU before it runs the kernel: segments, interrupt table, control registers.

mod features;
mod segments;

pub(crate) use features::{Features, features};
pub(crate) use segments::{FaultStack, Tables, USER_CODE, USER_DATA};

use core::sync::atomic::Ordering;

use microkernel::machine::Cpu;

use super::asm::{self, msr};
use super::memory::FAULT_STACKS;
use super::percpu::{self, PerCpu, attention};
use super::{entry, exceptions, machine_check};

mod cr0 {
    pub(super) const PROTECTED: u64 = 1;
    pub(super) const MONITOR: u64 = 1 << 1;
    pub(super) const SWITCHED: u64 = 1 << 3;
    pub(super) const EXTENSION: u64 = 1 << 4;
    pub(super) const NUMERIC: u64 = 1 << 5;
    pub(super) const WRITE_PROTECT: u64 = 1 << 16;
    pub(super) const PAGING: u64 = 1 << 31;
}

mod cr4 {
    pub(super) const PHYSICAL_EXTENSION: u64 = 1 << 5;
    pub(super) const MACHINE_CHECK: u64 = 1 << 6;
    pub(super) const GLOBAL: u64 = 1 << 7;
    pub(super) const FXSAVE: u64 = 1 << 9;
    pub(super) const VECTOR_EXCEPTIONS: u64 = 1 << 10;
    pub(super) const UMIP: u64 = 1 << 11;
    pub(super) const FSGSBASE: u64 = 1 << 16;
    pub(super) const PCID: u64 = 1 << 17;
    pub(super) const XSAVE: u64 = 1 << 18;
    pub(super) const SMEP: u64 = 1 << 20;
    pub(super) const SMAP: u64 = 1 << 21;
}

mod efer {
    pub(super) const SYSCALL: u64 = 1;
    pub(super) const LONG_MODE: u64 = 1 << 8;
    pub(super) const LONG_MODE_ACTIVE: u64 = 1 << 10;
    pub(super) const NO_EXECUTE: u64 = 1 << 11;
}

/// Flags that `syscall` clears: trap, interrupt, direction, I/O privilege, nested task, alignment check.
const CLEARED_FLAGS: u64 = 0x4_7700;

/// Sets this CPU up. `stacks`: where its stacks begin, that for traps first.
///
/// # Safety
/// It runs in ring 0 with the kernel's tables, interrupts off, once; `cpu` is this CPU.
pub(crate) unsafe fn set_up(cpu: Cpu, stacks: [u64; 1 + FAULT_STACKS]) {
    let area = percpu::of(cpu);
    area.number_as(cpu);
    let features = features();
    let [stack, faults @ ..] = stacks;
    // As a call leaves it: 8 below a multiple of 16. The word there ends a backtrace.
    area.stack.set(stack - 8);
    let tables = area.tables.get();
    // SAFETY: the area is this CPU's own (contract), so nobody else has a reference.
    let tables = unsafe { &mut *tables };
    // SAFETY: the tables are static.
    unsafe { tables.load(stack, faults) };
    // SAFETY: as above.
    unsafe { exceptions::load_table() };
    // SAFETY: the bits keep protection and paging, and the image is mapped by its sections.
    unsafe {
        asm::write_cr0(
            cr0::PROTECTED
                | cr0::MONITOR
                | cr0::SWITCHED
                | cr0::EXTENSION
                | cr0::NUMERIC
                | cr0::WRITE_PROTECT
                | cr0::PAGING,
        );
    }
    machine_check::set_up();
    // SAFETY: only bits that CPUID reports are set; user memory is reached through the direct map only.
    unsafe { asm::write_cr4(control_bits(&features)) };
    if features.fsgsbase {
        area.attention.set(0);
    } else {
        area.attention.set(attention::NO_FSGSBASE);
    }
    // SAFETY: user code gets at `entry::trap` with the flags cleared, and nowhere else.
    unsafe { set_registers(area) };
    area.root.store(asm::read_cr3(), Ordering::Relaxed);
}

/// # Safety
/// As for [`set_up`].
unsafe fn set_registers(area: &'static PerCpu) {
    let bits = efer::SYSCALL | efer::LONG_MODE | efer::LONG_MODE_ACTIVE | efer::NO_EXECUTE;
    // SAFETY: long mode stays on; the kernel's tables use the no-execute bit, which `check` found.
    unsafe { asm::write_msr(msr::EFER, bits) };
    // SAFETY: the selectors are those of `segments`.
    unsafe { asm::write_msr(msr::STAR, segments::STAR) };
    // SAFETY: the entry is one for traps.
    unsafe { asm::write_msr(msr::LSTAR, entry::trap as *const () as u64) };
    // SAFETY: clearing flags at entry is what the entry expects.
    unsafe { asm::write_msr(msr::SFMASK, CLEARED_FLAGS) };
    // SAFETY: ring 0's GS base is this CPU's area, which is static.
    unsafe { asm::write_msr(msr::GS_BASE, core::ptr::from_ref(area) as u64) };
    // SAFETY: it becomes the user's GS base.
    unsafe { asm::write_msr(msr::KERNEL_GS_BASE, 0) };
}

fn control_bits(features: &Features) -> u64 {
    let mut bits = cr4::PHYSICAL_EXTENSION | cr4::GLOBAL | cr4::FXSAVE | cr4::VECTOR_EXCEPTIONS;
    let optional = [
        (features.umip, cr4::UMIP),
        (features.fsgsbase, cr4::FSGSBASE),
        (features.pcid, cr4::PCID),
        (features.xsave, cr4::XSAVE),
        (features.smep, cr4::SMEP),
        (features.smap, cr4::SMAP),
        (features.machine_checks, cr4::MACHINE_CHECK),
    ];
    for (there, bit) in optional {
        if there {
            bits |= bit;
        }
    }
    bits
}
