//! What no safe program can do: wild accesses, privileged instructions, memory by address.

use alloc::vec::Vec;

use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::Name;
use libmach::abi::vm::{flags, map_flags, protection};
use libmach::trap;

/// Fresh memory; its address.
pub(crate) fn allocate(size: u64) -> trap::Outcome<u64> {
    // SAFETY: anywhere: the kernel picks a range that is not in use.
    unsafe { trap::vm_allocate(0, size, flags::ANYWHERE) }
}

/// Asks for memory at a fixed place that is no usable one.
pub(crate) fn allocate_at(address: u64, size: u64) -> trap::Outcome<u64> {
    // SAFETY: nothing is replaced; callers name ranges that are taken or not to be had.
    unsafe { trap::vm_allocate(address, size, flags::FIXED) }
}

/// Unmaps what [`allocate`] gave, or a message brought.
pub(crate) fn deallocate(address: u64, size: u64) -> trap::Outcome<()> {
    // SAFETY: memory of a test, known to it by address only; no reference into it exists.
    unsafe { trap::vm_deallocate(address, size) }
}

/// Maps memory that a name stands for, to be read and written.
pub(crate) fn map(name: Name, size: u64) -> trap::Outcome<u64> {
    const RIGHTS: u64 = (protection::READ | protection::WRITE) as u64;
    let rights = RIGHTS << map_flags::CURRENT_SHIFT | RIGHTS << map_flags::MAXIMUM_SHIFT;
    // SAFETY: anywhere: the kernel picks a range that is not in use; no reference into it is ever made.
    unsafe { trap::vm_map(name, 0, size, 0, map_flags::ANYWHERE | rights) }
}

/// Lets the kernel look at a word: an access whose error is a code.
pub(crate) fn look(address: u64) -> trap::Outcome<()> {
    // SAFETY: nothing waits there, and nothing is written.
    match unsafe { trap::raw(libmach::abi::trap::FUTEX_WAKE, [address, 1, 0, 0, 0, 0]) } {
        (0, _) => Ok(()),
        (code, _) => Err(KernReturn(code as u32)),
    }
}

/// Protects what [`allocate`] gave.
pub(crate) fn protect(address: u64, size: u64, protection: u32) -> trap::Outcome<()> {
    // SAFETY: as for `deallocate`.
    unsafe { trap::vm_protect(address, size, 0, protection) }
}

/// Copies bytes out of memory that is known by its address.
pub(crate) fn peek(address: u64, size: usize) -> Vec<u8> {
    let mut bytes = alloc::vec![0; size];
    for (address, byte) in (address..).zip(&mut bytes) {
        // SAFETY: (1) what may go wrong is a fault, which is what some callers are after. (2) Any
        // byte is a `u8`. (3) A volatile read: nothing is assumed of the memory.
        *byte = unsafe { (address as *const u8).read_volatile() };
    }
    bytes
}

/// Fills memory that is known by its address.
pub(crate) fn poke(address: u64, size: usize, value: u8) {
    for address in address..address + size as u64 {
        // SAFETY: as for `peek`; callers name memory of their own, or want the fault.
        unsafe { (address as *mut u8).write_volatile(value) }
    }
}

/// Writes descriptor 0 of the next message so that `size` bytes at `address` leave this task.
pub(crate) fn describe_moving(address: u64, size: u64) {
    let value = libmach::abi::message::Descriptor {
        kind: libmach::abi::message::descriptor::OUT_OF_LINE,
        flags: libmach::abi::message::descriptor::DEALLOCATE,
        address,
        size,
        ..Default::default()
    };
    // SAFETY: memory from `allocate`, known by its address only.
    unsafe { libmach::buffer::set_descriptor_moving(0, value) }
}

/// Calls what lies at an address.
#[cfg(target_os = "none")]
pub(crate) fn jump(address: u64) {
    // SAFETY: no code of this task lies there: the fetch faults, and the task ends.
    unsafe { core::arch::asm!("call {}", in(reg) address, clobber_abi("C")) }
}

/// Divides by zero, by the instruction.
#[cfg(target_os = "none")]
pub(crate) fn divide_by_zero() {
    // SAFETY: it faults, and the task ends.
    unsafe {
        core::arch::asm!("div {0:e}", in(reg) 0_u32, inout("eax") 1_u32 => _, inout("edx") 0_u32 => _);
    }
}

/// An instruction that is none.
#[cfg(target_os = "none")]
pub(crate) fn undefined() {
    // SAFETY: it faults, and the task ends.
    unsafe { core::arch::asm!("ud2") }
}

/// An instruction of ring 0.
#[cfg(target_os = "none")]
pub(crate) fn privileged() {
    // SAFETY: it faults, and the task ends.
    unsafe { core::arch::asm!("cli") }
}

/// An I/O port without a right to it.
#[cfg(target_os = "none")]
pub(crate) fn touch_port() {
    // SAFETY: it faults, and the task ends.
    unsafe { core::arch::asm!("out dx, al", in("dx") 0x3f8_u16, in("al") b'!') }
}

/// A trap number below zero that is none.
pub(crate) fn unknown_trap() {
    // SAFETY: no such trap exists; it ends the task.
    unsafe { trap::raw(-9999, [0; 6]) };
}

/// Which CPU this is: the local APIC's id (CPUID leaf 1, Intel SDM volume 2A).
#[cfg(target_os = "none")]
pub(crate) fn cpu() -> u8 {
    (core::arch::x86_64::__cpuid(1).ebx >> 24) as u8
}

#[cfg(not(target_os = "none"))]
mod host {
    //! The host's own rules hold there: none of this is done.

    pub(crate) fn jump(_: u64) {}
    pub(crate) fn divide_by_zero() {}
    pub(crate) fn undefined() {}
    pub(crate) fn privileged() {}
    pub(crate) fn touch_port() {}
    pub(crate) fn cpu() -> u8 {
        0
    }
}
#[cfg(not(target_os = "none"))]
pub(crate) use host::{cpu, divide_by_zero, jump, privileged, touch_port, undefined};
