//! `bootstrap_*`: the name service.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::Name;
use core::ffi::{CStr, c_char};
use core::sync::atomic::AtomicU32;
use interfaces::bootstrap::{Bootstrap, MAX_NAME, refusal};
use libmach::{Error, SendRight, Untyped, abi};

use crate::own::{code, give};

/// `bootstrap_port`: the right of this name on the start page.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "C's name for it")]
pub static bootstrap_port: AtomicU32 = AtomicU32::new(0);

/// The code that C has for an error of a call.
pub(crate) const fn code_of(error: Error) -> KernReturn {
    match error {
        Error::Code(code) => code,
        Error::NotSent(code) | Error::NotReceived(code) => KernReturn(code.0),
        Error::ServerDied {
            maybe_executed: false,
        } => KernReturn(MessageReturn::SendInvalidDest.0),
        Error::NoService => refusal::UNKNOWN_SERVICE,
        _ => error.code(),
    }
}

/// Lets `call` use the name service behind a borrowed right.
fn ask<T>(
    service: u32,
    call: impl FnOnce(&SendRight<dyn Bootstrap>) -> libmach::Result<T>,
) -> Result<T, KernReturn> {
    let right = SendRight::from_name(Name(service));
    let answer = call(&right);
    // The right is the caller's.
    right.into_name();
    answer.map_err(code_of)
}

/// A service's name.
///
/// # Safety
/// `name` is a string of C.
unsafe fn text<'a>(name: *const c_char) -> Result<&'a str, KernReturn> {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(name) }.to_str();
    text.ok()
        .filter(|text| text.len() <= MAX_NAME)
        .ok_or(KernReturn::InvalidArgument)
}

/// `bootstrap_look_up`: a send right to a service. `KERN_INVALID_ARGUMENT` for a name of more than 127 bytes.
///
/// # Safety
/// `name` is a string, and `port` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_look_up(
    service: u32,
    name: *const c_char,
    port: *mut u32,
) -> u32 {
    // SAFETY: the caller's promise.
    let found = unsafe { text(name) }
        .and_then(|name| ask(service, |bootstrap| bootstrap.client().look_up(name)));
    // SAFETY: the caller's promise.
    unsafe { give(found.map(|right| right.into_name().0), port) }
}

/// `bootstrap_check_in`: the receive right of a service that the program's manifest declares.
///
/// # Safety
/// As for [`bootstrap_look_up`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_check_in(
    service: u32,
    name: *const c_char,
    port: *mut u32,
) -> u32 {
    // SAFETY: the caller's promise.
    let found = unsafe { text(name) }
        .and_then(|name| ask(service, |bootstrap| bootstrap.client().check_in(name)));
    // SAFETY: the caller's promise.
    unsafe { give(found.map(|right| right.into_name().0), port) }
}

/// `bootstrap_register`: enters a service that no manifest declares, as long as its port lives. The right
/// stays the caller's; the name service gets a copy.
///
/// # Safety
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_register(service: u32, name: *const c_char, port: u32) -> u32 {
    // SAFETY: the caller's promise.
    code(unsafe { text(name) }.and_then(|name| {
        let own = SendRight::<Untyped>::from_name(Name(port));
        let copy = own.duplicate();
        own.into_name();
        ask(service, |bootstrap| {
            Ok(bootstrap.client().register(name, copy?)?)
        })
    }))
}
