//! The calling thread's message buffer, reached by value only.
//!
//! The buffer is memory that the kernel reads and writes during `mach_msg` (layout:
//! [`abi::message`]). No reference into it is ever made, so that every trap may change it without
//! Rust noticing; all functions here copy. Indices beyond the buffer write nothing and read zero.
//!
//! Each thread has one, registered by `machine::start` or by the host backend, [`SIZE`] bytes.

use abi::message::{DESCRIPTOR_SIZE, Descriptor, HEADER_SIZE, descriptor};

use crate::thread;

/// Bytes of every thread's buffer.
pub const SIZE: usize = abi::message::MIN_BUFFER as usize;

/// Bytes for descriptors and inline data together.
pub const CAPACITY: usize = SIZE - HEADER_SIZE;

#[inline(always)]
fn address_of(offset: usize, size: usize) -> Option<*mut u8> {
    let end = offset.checked_add(size)?;
    (end <= CAPACITY).then(|| thread::buffer().wrapping_add(HEADER_SIZE + offset))
}

/// The 8-byte word `index` after the header and `descriptors` descriptors.
#[inline(always)]
pub fn word(descriptors: usize, index: usize) -> u64 {
    let Some(address) = address_of(descriptors * DESCRIPTOR_SIZE + index * 8, 8) else {
        return 0;
    };
    // SAFETY: (1) `address_of` checked that the word lies in this thread's buffer, which lives as
    // long as the thread. (2) Any bit pattern is a `u64`. (3) Buffer and offset are 8-aligned.
    unsafe { address.cast::<u64>().read() }
}

/// Sets the 8-byte word `index` after the header and `descriptors` descriptors.
#[inline(always)]
pub fn set_word(descriptors: usize, index: usize, value: u64) {
    if let Some(address) = address_of(descriptors * DESCRIPTOR_SIZE + index * 8, 8) {
        // SAFETY: as for `word`; nobody holds a reference into the buffer.
        unsafe { address.cast::<u64>().write(value) }
    }
}

/// Copies words out of the inline data; what lies beyond the buffer stays as it was in `to`.
pub fn copy_out(descriptors: usize, to: &mut [u64]) {
    if let Some(address) = address_of(descriptors * DESCRIPTOR_SIZE, size_of_val(to)) {
        // SAFETY: (1) checked to lie in the buffer. (2) `to` is not the buffer: no reference into
        // it exists. (3) Both are 8-aligned.
        unsafe {
            address
                .cast::<u64>()
                .copy_to_nonoverlapping(to.as_mut_ptr(), to.len())
        }
    }
}

/// Copies words into the inline data; nothing happens when they do not fit.
pub fn copy_in(descriptors: usize, from: &[u64]) {
    if let Some(address) = address_of(descriptors * DESCRIPTOR_SIZE, size_of_val(from)) {
        // SAFETY: as for `copy_out`, in the other direction.
        unsafe {
            address
                .cast::<u64>()
                .copy_from_nonoverlapping(from.as_ptr(), from.len())
        }
    }
}

/// Copies bytes out of the inline data; what lies beyond the buffer stays as it was in `to`.
pub fn copy_out_bytes(descriptors: usize, to: &mut [u8]) {
    if let Some(address) = address_of(descriptors * DESCRIPTOR_SIZE, to.len()) {
        // SAFETY: as for `copy_out`; bytes need no alignment.
        unsafe { address.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) }
    }
}

/// Copies bytes into the inline data; nothing happens when they do not fit.
pub fn copy_in_bytes(descriptors: usize, from: &[u8]) {
    if let Some(address) = address_of(descriptors * DESCRIPTOR_SIZE, from.len()) {
        // SAFETY: as for `copy_out`, in the other direction; bytes need no alignment.
        unsafe { address.copy_from_nonoverlapping(from.as_ptr(), from.len()) }
    }
}

/// Sequence number of the message that lies in the buffer, as the kernel wrote it into its header.
pub fn sequence() -> u32 {
    const OFFSET: usize = core::mem::offset_of!(abi::message::Header, sequence);
    let address = thread::buffer().wrapping_add(OFFSET);
    // SAFETY: the header lies at the start of this thread's buffer; any bit pattern is a `u32`.
    unsafe { address.cast::<u32>().read() }
}

/// Descriptor `index`.
pub fn descriptor(index: usize) -> Descriptor {
    let base = index * (DESCRIPTOR_SIZE / 8);
    let (first, address, size) = (word(0, base), word(0, base + 1), word(0, base + 2));
    Descriptor {
        kind: first as u8,
        disposition: (first >> 8) as u8,
        flags: (first >> 16) as u16,
        name: (first >> 32) as u32,
        address,
        size,
    }
}

/// Writes descriptor `index`. `DEALLOCATE` is cleared: see [`set_descriptor_moving`].
pub fn set_descriptor(index: usize, value: Descriptor) {
    let flags = value.flags & !descriptor::DEALLOCATE;
    // SAFETY: nothing is given away without the flag.
    unsafe { set_descriptor_moving(index, Descriptor { flags, ..value }) }
}

/// Writes descriptor `index` as it is.
///
/// # Safety
/// With `DEALLOCATE`, the memory leaves the task at the next send: nothing may use it any more.
pub unsafe fn set_descriptor_moving(index: usize, value: Descriptor) {
    let base = index * (DESCRIPTOR_SIZE / 8);
    let first = u64::from(value.kind)
        | u64::from(value.disposition) << 8
        | u64::from(value.flags) << 16
        | u64::from(value.name) << 32;
    set_word(0, base, first);
    set_word(0, base + 1, value.address);
    set_word(0, base + 2, value.size);
}
