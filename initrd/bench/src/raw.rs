//! What a measurement needs and Rust has no safe form for: raw memory, exceptions, a forked thread.
//!
//! Addresses in here come from the kernel, and each is owned by the measurement that uses it.
#![allow(unsafe_code, reason = "the operations are the point")]

use core::arch::asm;

use libmach::abi::PAGE_SIZE;
use libmach::abi::message::{Descriptor, descriptor};
use libmach::abi::names::Name;
use libmach::abi::vm::{LARGE_PAGE_SIZE, flags, inherit, map_flags, protection};
use libmach::{buffer, trap};

use crate::Result;

/// Fresh zeroed pages, until the program ends or [`release`] takes them.
///
/// # Errors
/// When there is no room or memory.
pub fn allocate(pages: u64) -> Result<u64> {
    // SAFETY: anywhere: the kernel picks a range that is not in use.
    Ok(unsafe { trap::vm_allocate(0, pages * PAGE_SIZE, flags::ANYWHERE)? })
}

/// A fresh zeroed page of 2 MiB.
///
/// # Errors
/// When there is no room or memory.
pub fn allocate_large() -> Result<u64> {
    const FLAGS: u64 = flags::ANYWHERE | flags::SUPERPAGE_SIZE_2MB;
    // SAFETY: anywhere, as above.
    Ok(unsafe { trap::vm_allocate(0, LARGE_PAGE_SIZE, FLAGS)? })
}

/// Fresh zeroed pages that a forked child shares.
///
/// # Errors
/// When there is no room or memory.
pub fn allocate_shared(pages: u64) -> Result<u64> {
    const BOTH: u64 = (protection::READ | protection::WRITE) as u64;
    const FLAGS: u64 = map_flags::ANYWHERE
        | BOTH << map_flags::CURRENT_SHIFT
        | BOTH << map_flags::MAXIMUM_SHIFT
        | (inherit::SHARE as u64) << map_flags::INHERIT_SHIFT;
    // SAFETY: anywhere, as above; who shares it reads and writes by `read` and `write` only.
    Ok(unsafe { trap::vm_map(Name::NULL, 0, pages * PAGE_SIZE, 0, FLAGS)? })
}

/// Maps the beginning of a memory object, or of a memory entry.
///
/// # Errors
/// When it cannot be mapped, or there is no room.
pub fn map(object: Name, pages: u64) -> Result<u64> {
    const BOTH: u64 = (protection::READ | protection::WRITE) as u64;
    const FLAGS: u64 =
        map_flags::ANYWHERE | BOTH << map_flags::CURRENT_SHIFT | BOTH << map_flags::MAXIMUM_SHIFT;
    // SAFETY: anywhere, as above.
    Ok(unsafe { trap::vm_map(object, 0, pages * PAGE_SIZE, 0, FLAGS)? })
}

/// Gives pages back.
///
/// # Errors
/// When they are not mapped.
pub fn release(address: u64, pages: u64) -> Result<()> {
    // SAFETY: they come from this module, which makes no references into them.
    unsafe { trap::vm_deallocate(address, pages * PAGE_SIZE)? };
    Ok(())
}

/// Reads the word at an address that this module or a message gave.
#[inline(always)]
pub fn read(address: u64) -> u64 {
    // SAFETY: (1) such memory is mapped and 8-aligned. (2) Others write it by `write` alone.
    unsafe { (address as *const u64).read_volatile() }
}

/// Writes the word at an address that this module or a message gave.
#[inline(always)]
pub fn write(address: u64, value: u64) {
    // SAFETY: as in `read`; the memory is writable, and nobody holds a reference into it.
    unsafe { (address as *mut u64).write_volatile(value) }
}

/// What becomes of a page that is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sending {
    /// The receiver gets a copy, made as pages are written.
    Copy,
    /// It leaves this task.
    Move,
}

/// Makes the page at `address` descriptor 0 of the next message.
#[inline(always)]
pub fn describe_page(address: u64, sending: Sending) {
    let page = Descriptor {
        kind: descriptor::OUT_OF_LINE,
        disposition: 0,
        flags: match sending {
            Sending::Copy => 0,
            Sending::Move => descriptor::DEALLOCATE,
        },
        name: 0,
        address,
        size: PAGE_SIZE,
    };
    // SAFETY: the page is of this module or came in a message, and nobody holds a reference into it.
    unsafe { buffer::set_descriptor_moving(0, page) }
}

/// Raises `EXC_BREAKPOINT`; the handler lets the thread go on behind it.
#[inline(always)]
pub fn breakpoint() {
    // SAFETY: an exception. Its handler, of this program, changes no register.
    unsafe { asm!("int3", options(nostack)) }
}

/// FS base and message buffer of the calling thread, the two words of `libmach::thread::Block`.
pub fn thread_block() -> (u64, u64) {
    let (block, buffer): (u64, u64);
    // SAFETY: FS base is the thread's block, which nobody writes any more.
    unsafe {
        asm!(
            "mov {}, fs:[0]",
            "mov {}, fs:[8]",
            out(reg) block,
            out(reg) buffer,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    (block, buffer)
}

/// Registers the copy of its parent's buffer that a forked task has at the same address.
///
/// # Errors
/// When the kernel refuses it.
pub fn adopt_buffer() -> Result<()> {
    let (_, buffer) = thread_block();
    // SAFETY: it is the copy of a buffer that was registered in the parent, and the calling thread is
    // the only one of its task.
    unsafe { trap::message_buffer(buffer, buffer::SIZE as u64)? };
    Ok(())
}
