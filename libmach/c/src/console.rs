//! `mello.h`: what a program has of the system beside Mach.

use core::ffi::{CStr, c_char};
use core::slice;

use interfaces::console::{CHUNK, Console, RIGHT};
use libmach::SendRight;

use crate::start;

/// `mello_right`: the right that the manifest calls `name`, one more reference; `MACH_PORT_NULL` when there
/// is none.
///
/// # Safety
/// `name` is a string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mello_right(name: *const c_char) -> u32 {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) }.to_str();
    let context = start::context();
    let right = context.zip(name.ok()).and_then(|(context, name)| {
        let right: libmach::Result<SendRight> = context.send_right(name);
        right.ok()
    });
    right.map_or(0, |right| right.into_name().0)
}

/// `mello_write`: writes to the program's console; answers how many bytes it took.
///
/// # Safety
/// `bytes` has `size` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mello_write(bytes: *const u8, size: usize) -> usize {
    // SAFETY: the caller's promise.
    let all = unsafe { slice::from_raw_parts(bytes, size) };
    let console = start::context().and_then(|context| context.send_right(RIGHT).ok());
    let Some(console): Option<SendRight<dyn Console>> = console else {
        return 0;
    };
    let mut done = 0;
    while done < all.len() {
        let chunk = &all[done..(done + CHUNK).min(all.len())];
        match console.client().write(chunk) {
            Ok(taken) if taken > 0 => done += (taken as usize).min(chunk.len()),
            _ => break,
        }
    }
    done
}
