//! `host_*`, and how time is counted.

use abi::kern_return::KernReturn;
use core::ffi::c_char;
use interfaces::host::Host;
use libmach::{SendRight, abi};

use crate::own::{code, copied, give, named, with};

/// `kernel_version_t`.
const VERSION: usize = 512;

/// `host_page_size`.
///
/// # Safety
/// `size` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn host_page_size(host: u32, size: *mut u64) -> u32 {
    let found = with(host, |host: &SendRight<dyn Host>| host.client().info());
    // SAFETY: the caller's promise.
    unsafe { give(found.map(|_| abi::PAGE_SIZE), size) }
}

/// `host_kernel_version`: text, up to a NUL.
///
/// # Safety
/// `version` has room for 512 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn host_kernel_version(host: u32, version: *mut c_char) -> u32 {
    let found = with(host, |host: &SendRight<dyn Host>| host.client().info());
    match found {
        Ok(info) => {
            let mut text = [0; VERSION];
            let bytes = info.version.as_bytes();
            text[..bytes.len()].copy_from_slice(bytes);
            // SAFETY: the caller's promise.
            unsafe { version.cast::<[u8; VERSION]>().write(text) };
            KernReturn::Success.0
        }
        Err(code) => code.0,
    }
}

/// `host_get_special_port`. There is one node, whatever the caller says.
///
/// # Safety
/// `port` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn host_get_special_port(
    host: u32,
    _node: i32,
    which: i32,
    port: *mut u32,
) -> u32 {
    let which = which.cast_unsigned();
    let found = with(host, |host: &SendRight<dyn Host>| {
        host.client().special_port(which)
    });
    // SAFETY: the caller's promise.
    unsafe { give(found.map(named), port) }
}

/// `host_set_special_port`: the right stays the caller's; the kernel gets a copy.
#[unsafe(no_mangle)]
pub extern "C" fn host_set_special_port(host: u32, which: i32, port: u32) -> u32 {
    let which = which.cast_unsigned();
    code(with(host, |host: &SendRight<dyn Host>| {
        Ok(host.client().set_special_port(which, copied(port)?)?)
    }))
}

/// `mach_timebase_info_data_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Timebase {
    numerator: u32,
    denominator: u32,
}

/// `mach_timebase_info`: `mach_absolute_time` counts nanoseconds.
///
/// # Safety
/// `info` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_timebase_info(info: *mut Timebase) -> u32 {
    let nanoseconds = Timebase {
        numerator: 1,
        denominator: 1,
    };
    // SAFETY: the caller's promise.
    unsafe { give(Ok(nanoseconds), info) }
}
