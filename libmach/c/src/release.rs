//! `mach_msg_destroy`: gives back what a received message brought.

use abi::PAGE_SIZE;
use abi::classic::{BODY_SIZE, HEADER_SIZE, Header, bits};
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition, right};
use core::slice;
use libmach::trap::Registers;
use libmach::{abi, trap};

use crate::ignore;
use crate::incoming::held;
use crate::outgoing::{descriptor_of, header, u32_at};

/// `mach_msg_destroy`.
///
/// # Safety
/// `message` is one that was received, or that came back unsent, and has the bytes that its header says;
/// nothing uses its memory any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_msg_destroy(message: *mut Header) {
    // SAFETY: the caller's promise: there is a header.
    let size = unsafe { (*message).size } as usize;
    // SAFETY: the caller's promise.
    unsafe { release(slice::from_raw_parts(message.cast(), size.max(HEADER_SIZE))) };
}

/// Releases a message's reply right, descriptors' rights, and memory. The port that it came by stays.
///
/// # Safety
/// The message's rights and memory are the caller's, and nothing uses the memory any more.
pub(crate) unsafe fn release(message: &[u8]) {
    let Some(header) = header(message) else {
        return;
    };
    release_right(header.remote, (header.bits & bits::REMOTE_MASK) as u8);
    if header.bits & bits::COMPLEX == 0 {
        return;
    }
    let body = &message[HEADER_SIZE..];
    let mut rest = body.get(BODY_SIZE..).unwrap_or(&[]);
    for _ in 0..u32_at(body, 0).unwrap_or(0) {
        let Some((found, size)) = descriptor_of(rest) else {
            return;
        };
        // SAFETY: the caller's promise.
        unsafe { release_descriptor(found) };
        rest = rest.get(size..).unwrap_or(&[]);
    }
}

/// Releases the reply right of a message of which nothing else came.
pub(crate) fn release_reply(got: &Registers) {
    release_right(got.reply(), held(got.received().reply()));
}

/// # Safety
/// As for [`release`].
unsafe fn release_descriptor(found: Descriptor) {
    match found.kind {
        descriptor::PORT => release_right(Name(found.name), found.disposition),
        // SAFETY: the caller's promise.
        descriptor::OUT_OF_LINE => unsafe { unmap(&found, found.size) },
        descriptor::OUT_OF_LINE_PORTS => {
            let count = found.name as usize;
            for index in 0..count {
                let place = (found.address as *const u32).wrapping_add(index);
                // SAFETY: (1) the array lies in memory of the message's. (2) Any bits are a `u32`. (3) Its
                // place is where a sender wanted it, so that it may be unaligned.
                let name = unsafe { place.read_unaligned() };
                release_right(Name(name), found.disposition);
            }
            // SAFETY: the caller's promise.
            unsafe { unmap(&found, count as u64 * 4) };
        }
        _ => {}
    }
}

/// # Safety
/// As for [`release`].
unsafe fn unmap(found: &Descriptor, size: u64) {
    if size == 0 || found.flags & descriptor::DEALLOCATE == 0 {
        return;
    }
    let start = found.address / PAGE_SIZE * PAGE_SIZE;
    let end = found
        .address
        .saturating_add(size)
        .next_multiple_of(PAGE_SIZE);
    // SAFETY: the caller's promise. It fails only when nothing is mapped there.
    ignore(unsafe { trap::vm_deallocate(start, end - start) });
}

/// Gives back a right that is under a name of its own. It fails only when there is none.
fn release_right(name: Name, how: u8) {
    match how {
        _ if !name.is_valid() => {}
        disposition::MOVE_RECEIVE => ignore(trap::port_mod_refs(name, right::RECEIVE, -1)),
        disposition::MOVE_SEND | disposition::MOVE_SEND_ONCE => ignore(trap::port_deallocate(name)),
        _ => {}
    }
}
