//! `bootstrap_*`: the name service.

use abi::kern_return::KernReturn;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use core::sync::atomic::AtomicU32;
use interfaces::bootstrap::{Bootstrap, MAX_LOOKUP_COUNT, MAX_NAME, refusal};
use libmach::{Error, ReceiveRight, SendRight, Untyped, abi};

use crate::own::{code, copied, give, named, with};
use crate::task::give_rights;

/// `bootstrap_port`: the right of this name on the start page.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "C's name for it")]
pub static bootstrap_port: AtomicU32 = AtomicU32::new(0);

/// Lets `call` use the name service behind a right of the program's.
fn ask<T>(
    service: u32,
    call: impl FnOnce(&SendRight<dyn Bootstrap>) -> libmach::Result<T>,
) -> Result<T, KernReturn> {
    with(service, call)
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
    unsafe { give(found.map(named), port) }
}

/// `bootstrap_look_up_array`: send rights to so many services, in fresh memory for the caller to deallocate; 0 stands for one that is
/// not known, and `all_known` says whether there are none of those. `BOOTSTRAP_BAD_COUNT` beyond
/// `BOOTSTRAP_MAX_LOOKUP_COUNT`. Any other failure answers no rights.
///
/// Each name is a call of its own: that of one service tells nothing of the next, so that no call with them all
/// could say more.
///
/// # Safety
/// `names` are `count` strings of at most 127 bytes and a NUL; the rest may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_look_up_array(
    service: u32,
    names: *const [c_char; MAX_NAME + 1],
    count: u32,
    ports: *mut *mut u32,
    port_count: *mut u32,
    all_known: *mut i32,
) -> u32 {
    if count > MAX_LOOKUP_COUNT {
        return refusal::BAD_COUNT.0;
    }
    let each = (0..count as usize).map(|index| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(names.add(index).cast()) }?;
        match ask(service, |bootstrap| bootstrap.client().look_up(name)) {
            Ok(right) => Ok(Some(right)),
            Err(refusal::UNKNOWN_SERVICE) => Ok(None),
            Err(code) => Err(code),
        }
    });
    let found: Result<Vec<Option<SendRight>>, KernReturn> = each.collect();
    if let Ok(found) = &found {
        let all = found.iter().all(Option::is_some);
        // SAFETY: the caller's promise.
        unsafe { all_known.write(all.into()) };
    }
    let names =
        |found: Vec<Option<SendRight>>| found.into_iter().map(|right| right.map_or(0, named));
    // SAFETY: the caller's promise.
    unsafe { give_rights(found.map(|found| names(found).collect()), ports, port_count) }
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
        ask(service, |bootstrap| {
            Ok(bootstrap.client().register(name, copied(port)?)?)
        })
    }))
}

/// `bootstrap_subset`: a new namespace below this one, until the port `requestor` dies or nobody holds a
/// right to it. The requestor's right stays the caller's.
///
/// # Safety
/// `subset` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_subset(service: u32, requestor: u32, subset: *mut u32) -> u32 {
    let made = ask(service, |bootstrap| {
        Ok(bootstrap.client().subset(copied(requestor)?)?)
    });
    // SAFETY: the caller's promise.
    unsafe { give(made.map(named), subset) }
}

/// `bootstrap_parent`: the namespace that this one is a subset of; the root's is itself.
///
/// # Safety
/// `parent` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_parent(service: u32, parent: *mut u32) -> u32 {
    let found = ask(service, |bootstrap| bootstrap.client().parent());
    // SAFETY: the caller's promise.
    unsafe { give(found.map(named), parent) }
}

/// `bootstrap_unprivileged`: a port to the same namespace that allows looking up only.
///
/// # Safety
/// `unprivileged` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_unprivileged(service: u32, unprivileged: *mut u32) -> u32 {
    let found = ask(service, |bootstrap| bootstrap.client().unprivileged());
    // SAFETY: the caller's promise.
    unsafe { give(found.map(named), unprivileged) }
}

/// `BOOTSTRAP_PER_PID_SERVICE`: the service is of one task.
const OF_TASK: u64 = 1;

/// Whether a service of one task is meant.
fn is_of_task(flags: u64) -> Result<bool, KernReturn> {
    match flags {
        0 | OF_TASK => Ok(flags == OF_TASK),
        _ => Err(KernReturn::InvalidArgument),
    }
}

/// `bootstrap_check_in2`: with `BOOTSTRAP_PER_PID_SERVICE` the receive right of a new service of the program's own, which ends with
/// it.
///
/// # Safety
/// As for [`bootstrap_look_up`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_check_in2(
    service: u32,
    name: *const c_char,
    port: *mut u32,
    flags: u64,
) -> u32 {
    // SAFETY: the caller's promise.
    let found = unsafe { text(name) }.and_then(|name| {
        let of_task = is_of_task(flags)?;
        ask(service, |bootstrap| match of_task {
            false => Ok(bootstrap.client().check_in(name)?),
            true => check_in_own(bootstrap, name),
        })
    });
    // SAFETY: the caller's promise.
    unsafe { give(found.map(|right| right.into_name().0), port) }
}

fn check_in_own(
    bootstrap: &SendRight<dyn Bootstrap>,
    name: &str,
) -> libmach::Result<ReceiveRight<Untyped>> {
    let receive = ReceiveRight::new()?;
    let entered = bootstrap.client().register_own(name, receive.make_send()?);
    match entered.map_err(Error::from) {
        Ok(()) => Ok(receive),
        Err(Error::Code(refusal::NAME_IN_USE)) => Err(refusal::SERVICE_ACTIVE.into()),
        Err(error) => Err(error),
    }
}

/// `bootstrap_look_up2`: with `BOOTSTRAP_PER_PID_SERVICE` a send right to the service that the task with this identity token has
/// entered as its own.
///
/// # Safety
/// As for [`bootstrap_look_up`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_look_up2(
    service: u32,
    name: *const c_char,
    port: *mut u32,
    identity: u64,
    flags: u64,
) -> u32 {
    // SAFETY: the caller's promise.
    let found = unsafe { text(name) }.and_then(|name| {
        let of_task = is_of_task(flags)?;
        ask(service, |bootstrap| match of_task {
            false => bootstrap.client().look_up(name),
            true => bootstrap.client().look_up_of(identity, name),
        })
    });
    // SAFETY: the caller's promise.
    unsafe { give(found.map(named), port) }
}

/// `bootstrap_register2`: as `bootstrap_register`, with `BOOTSTRAP_PER_PID_SERVICE` as a service of the program's own.
///
/// # Safety
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bootstrap_register2(
    service: u32,
    name: *const c_char,
    port: u32,
    flags: u64,
) -> u32 {
    // SAFETY: the caller's promise.
    code(unsafe { text(name) }.and_then(|name| {
        let of_task = is_of_task(flags)?;
        ask(service, |bootstrap| {
            let (names, port) = (bootstrap.client(), copied(port)?);
            let entered = match of_task {
                false => names.register(name, port),
                true => names.register_own(name, port),
            };
            entered.map_err(Error::from)
        })
    }))
}
