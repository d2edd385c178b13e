//! The local APIC: interrupts between CPUs, the end of an interrupt, and the timer.
//!
//! Registers are reached by MSR when the CPU has x2APIC, else by memory. Register numbers are the offsets of
//! Intel SDM vol. 3, 11.4.1; their MSRs are 0x800 + offset / 16.

use core::sync::atomic::{AtomicU64, Ordering};

use microkernel::machine::Cpu;

use super::asm::{self, msr};
use super::cpu::features;
use super::interrupts::number;
use super::percpu;
use super::ports;

mod register {
    pub(super) const ID: u32 = 0x20;
    pub(super) const TASK_PRIORITY: u32 = 0x80;
    pub(super) const END: u32 = 0xb0;
    pub(super) const SPURIOUS: u32 = 0xf0;
    pub(super) const COMMAND: u32 = 0x300;
    pub(super) const COMMAND_TARGET: u32 = 0x310;
    pub(super) const TIMER: u32 = 0x320;
    pub(super) const LINT0: u32 = 0x350;
    pub(super) const LINT1: u32 = 0x360;
    pub(super) const ERROR: u32 = 0x370;
    pub(super) const INITIAL: u32 = 0x380;
    pub(super) const CURRENT: u32 = 0x390;
    pub(super) const DIVIDE: u32 = 0x3e0;
}

/// What an interrupt command asks for, beside the vector.
pub(crate) mod command {
    pub(crate) const FIXED: u32 = 1 << 14;
    pub(crate) const NON_MASKABLE: u32 = 4 << 8 | 1 << 14;
    pub(crate) const INIT: u32 = 5 << 8 | 1 << 14;
    pub(crate) const START: u32 = 6 << 8 | 1 << 14;
    pub(super) const PENDING: u32 = 1 << 12;
    pub(super) const TO_OTHERS: u32 = 3 << 18;
}

const MASKED: u32 = 1 << 16;
const ENABLED: u32 = 1 << 8;
const TSC_DEADLINE: u32 = 2 << 17;
const BY_16: u32 = 3;
const GLOBAL_ENABLE: u64 = 1 << 11;
const X2APIC_ENABLE: u64 = 1 << 10;

/// Registers are MSRs.
const BY_MSR: u64 = 1;
/// Where the registers are mapped, [`BY_MSR`], or 0 while there is none.
static BASE: AtomicU64 = AtomicU64::new(0);

/// Says where the registers are mapped; the first CPU does, before anything else is used.
pub(crate) fn set_base(mapped: u64) {
    let base = if features().x2apic { BY_MSR } else { mapped };
    BASE.store(base, Ordering::Relaxed);
}

fn read(register: u32) -> u32 {
    match BASE.load(Ordering::Relaxed) {
        0 => 0,
        // SAFETY: CPUID reported x2APIC.
        BY_MSR => (unsafe { asm::read_msr(msr::X2APIC + register / 16) }) as u32,
        // SAFETY: the registers' page is mapped for ever; reading one changes no memory.
        base => unsafe { ((base + u64::from(register)) as *const u32).read_volatile() },
    }
}

fn write(register: u32, value: u32) {
    match BASE.load(Ordering::Relaxed) {
        0 => {}
        // SAFETY: CPUID reported x2APIC; the values written are those of this file.
        BY_MSR => unsafe { asm::write_msr(msr::X2APIC + register / 16, u64::from(value)) },
        // SAFETY: as in `read`; the local APIC writes no memory.
        base => unsafe { ((base + u64::from(register)) as *mut u32).write_volatile(value) },
    }
}

/// Sets this CPU's local APIC up; answers its id.
pub(crate) fn set_up() -> u32 {
    // SAFETY: every CPU with an APIC has the register.
    let base = unsafe { asm::read_msr(msr::APIC_BASE) };
    let by_msr = BASE.load(Ordering::Relaxed) == BY_MSR;
    let enable = GLOBAL_ENABLE | if by_msr { X2APIC_ENABLE } else { 0 };
    // SAFETY: enabling the APIC in a mode that CPUID reports; its address stays.
    unsafe { asm::write_msr(msr::APIC_BASE, base | enable) };
    write(register::TASK_PRIORITY, 0);
    // LINT1 brings the chipset's NMI (an operator's button, a parity error). It stays masked, like all that comes from outside and has
    // no driver: whose it is, only the chipset's registers tell, and ring 0 does nothing at an NMI but stop in a panic.
    for line in [
        register::TIMER,
        register::LINT0,
        register::LINT1,
        register::ERROR,
    ] {
        write(line, MASKED);
    }
    write(register::SPURIOUS, ENABLED | u32::from(number::SPURIOUS));
    write(register::DIVIDE, BY_16);
    id()
}

/// This CPU's id; 0 before [`set_base`].
pub(crate) fn id() -> u32 {
    let id = read(register::ID);
    if BASE.load(Ordering::Relaxed) == BY_MSR {
        id
    } else {
        id >> 24
    }
}

/// The interrupt was taken.
pub(crate) fn end_of_interrupt() {
    write(register::END, 0);
}

/// Sends a command to the CPU with this APIC id.
pub(crate) fn send(target: u32, command: u32) {
    if BASE.load(Ordering::Relaxed) == BY_MSR {
        let value = u64::from(target) << 32 | u64::from(command);
        // SAFETY: as in `write`.
        unsafe { asm::write_msr(msr::X2APIC + register::COMMAND / 16, value) };
        return;
    }
    write(register::COMMAND_TARGET, target << 24);
    write(register::COMMAND, command);
    while read(register::COMMAND) & command::PENDING != 0 {
        core::hint::spin_loop();
    }
}

/// Interrupts another CPU.
pub(crate) fn interrupt(cpu: Cpu, vector: u8) {
    send(
        percpu::of(cpu).apic.get(),
        command::FIXED | u32::from(vector),
    );
}

/// Stops all other CPUs by NMI, for good.
pub(crate) fn stop_others() {
    send(0, command::NON_MASKABLE | command::TO_OTHERS);
}

/// Starts the timer; it interrupts once, after `ticks`.
pub(crate) fn start_timer(ticks: u32) {
    write(register::TIMER, u32::from(number::TIMER));
    write(register::INITIAL, ticks.max(1));
}

/// Starts the timer; it interrupts once, when the time stamp counter has this value.
pub(crate) fn start_deadline(time_stamp: u64) {
    write(register::TIMER, TSC_DEADLINE | u32::from(number::TIMER));
    // SAFETY: the caller found the feature by CPUID.
    unsafe { asm::write_msr(msr::TSC_DEADLINE, time_stamp) };
}

/// Lets the timer count without interrupting; see [`timer_passed`].
pub(crate) fn start_measuring() {
    write(register::TIMER, MASKED);
    write(register::INITIAL, u32::MAX);
}

/// Ticks since [`start_measuring`].
pub(crate) fn timer_passed() -> u32 {
    u32::MAX - read(register::CURRENT)
}

/// Masks the two legacy interrupt controllers, after moving their vectors away from the exceptions'.
pub(crate) fn disable_legacy() {
    const FIRST: u16 = 0x20;
    const SECOND: u16 = 0xa0;
    let steps = [
        (FIRST, 0x11),
        (SECOND, 0x11),
        (FIRST + 1, 0x20),
        (SECOND + 1, 0x28),
        (FIRST + 1, 4),
        (SECOND + 1, 2),
        (FIRST + 1, 1),
        (SECOND + 1, 1),
        (FIRST + 1, 0xff),
        (SECOND + 1, 0xff),
    ];
    for (port, value) in steps {
        ports::write(port, 1, value);
    }
}
