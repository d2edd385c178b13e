//! Machine checks: what the processor tells of broken hardware (Intel SDM vol. 3, chapter 16; AMD has the same registers).
//!
//! Each unit of a processor has a bank of registers in which it notes an error. One that cannot be corrected raises an
//! exception, which ends the run: the report says what the banks hold. Deliberately absent: going on after an error
//! that only a task has met, and looking after those that were corrected.

use super::asm::{read_msr, write_msr};
use super::cpu::features;
use super::log::log;

/// Model-specific registers: those of all banks, then the first bank's.
mod msr {
    pub(super) const CAPABILITIES: u32 = 0x179;
    pub(super) const STATUS: u32 = 0x17a;
    pub(super) const CONTROL: u32 = 0x17b;
    pub(super) const BANK_CONTROL: u32 = 0x400;
    pub(super) const BANK_STATUS: u32 = 0x401;
    pub(super) const BANK_ADDRESS: u32 = 0x402;
    /// From one bank's registers to the next one's.
    pub(super) const STRIDE: u32 = 4;
}

/// In the capabilities: how many banks there are.
const BANKS: u64 = 0xff;
/// In the capabilities: there is a control register for all banks.
const HAS_CONTROL: u64 = 1 << 8;
/// In a bank's status: it holds an error.
const VALID: u64 = 1 << 63;
/// In a bank's status: the error's address is known.
const HAS_ADDRESS: u64 = 1 << 58;

fn read(register: u32) -> u64 {
    // SAFETY: CPUID reported the architecture, and the capabilities the register.
    unsafe { read_msr(register) }
}

/// # Safety
/// The register exists, and takes the value.
unsafe fn write(register: u32, value: u64) {
    // SAFETY: the contract; what is noted of errors is nobody's memory.
    unsafe { write_msr(register, value) };
}

/// The offset of each bank's registers from the first one's.
fn banks() -> impl Iterator<Item = u32> {
    let count = match features().machine_checks {
        true => read(msr::CAPABILITIES) & BANKS,
        false => 0,
    };
    (0..count as u32).map(|bank| bank * msr::STRIDE)
}

/// Has this CPU note all errors, and forget what was noted before it was reset.
pub(crate) fn set_up() {
    for bank in banks() {
        // The first bank stays as the firmware left it, for some processors want that (16.3.2.1).
        if bank != 0 {
            // SAFETY: the bank exists; all ones is every error it knows.
            unsafe { write(msr::BANK_CONTROL + bank, u64::MAX) };
        }
        // SAFETY: the bank exists; zero is what clears it.
        unsafe { write(msr::BANK_STATUS + bank, 0) };
    }
    if features().machine_checks && read(msr::CAPABILITIES) & HAS_CONTROL != 0 {
        // SAFETY: the register exists; all ones is every bank.
        unsafe { write(msr::CONTROL, u64::MAX) };
    }
}

/// Tells what this CPU noted.
pub(crate) fn report() {
    if features().machine_checks {
        log!("  machine check: status {:#x}", read(msr::STATUS));
    }
    for bank in banks() {
        let status = read(msr::BANK_STATUS + bank);
        if status & VALID == 0 {
            continue;
        }
        let number = bank / msr::STRIDE;
        log!("  bank {number}: status {status:#018x}");
        if status & HAS_ADDRESS != 0 {
            let address = read(msr::BANK_ADDRESS + bank);
            log!("  bank {number}: address {address:#018x}");
        }
    }
}
