//! `mach_port_*`: names of the calling task; and what the kernel does to those of another one.

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition, right};
use abi::trap::attribute;
use libmach::trap::Outcome;
use libmach::{abi, trap};

use crate::own::{code, either, give, own};
use crate::stash;

/// Flavors of `mach_port_get_attributes` and `mach_port_set_attributes`.
pub mod flavor {
    /// `mach_port_limits_t`.
    pub const LIMITS: i32 = 1;
    /// `mach_port_status_t`.
    pub const STATUS: i32 = 2;
}

/// `mach_port_status_t`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Status {
    sets: u32,
    sequence: u32,
    make_sends: u32,
    limit: u32,
    messages: u32,
    send_onces: u32,
    sends: u32,
    port_destroyed: u32,
    no_senders: u32,
    flags: u32,
}

/// Numbers of 32 bits in a [`Status`].
pub(crate) const STATUS_COUNT: u32 = (size_of::<Status>() / 4) as u32;
/// Numbers of 32 bits in a `mach_port_limits_t`: the queue limit.
pub(crate) const LIMITS_COUNT: u32 = 1;

/// `mach_port_allocate`.
///
/// # Safety
/// `name` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_allocate(task: u32, right: u32, name: *mut u32) -> u32 {
    let allocated = either(
        task,
        || trap::port_allocate(right),
        |task| task.client().port_allocate(right),
    );
    // SAFETY: the caller's promise.
    unsafe { give(allocated.map(|name| name.0), name) }
}

/// `mach_port_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_destroy(task: u32, name: u32) -> u32 {
    gone(
        name,
        own(task).and_then(|()| trap::port_destroy(Name(name))),
    )
}

/// `mach_port_deallocate`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_deallocate(task: u32, name: u32) -> u32 {
    code(own(task).and_then(|()| trap::port_deallocate(Name(name))))
}

/// `mach_port_mod_refs`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_mod_refs(task: u32, name: u32, right: u32, delta: i32) -> u32 {
    let changed = own(task).and_then(|()| trap::port_mod_refs(Name(name), right, delta));
    if right == right::RECEIVE && delta < 0 {
        gone(name, changed)
    } else {
        code(changed)
    }
}

/// A receive right may have ended: what waited for it in the library ends with it.
fn gone(name: u32, result: Outcome<()>) -> u32 {
    if result.is_ok() {
        // SAFETY: nobody has seen what waits there.
        unsafe { stash::forget(Name(name)) };
    }
    code(result)
}

/// `mach_port_get_refs`.
///
/// # Safety
/// `references` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_get_refs(
    task: u32,
    name: u32,
    right: u32,
    references: *mut u32,
) -> u32 {
    let found = own(task).and_then(|()| trap::port_get_refs(Name(name), right));
    // SAFETY: the caller's promise.
    unsafe { give(found.map(|count| count as u32), references) }
}

/// `mach_port_type`.
///
/// # Safety
/// `kind` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_type(task: u32, name: u32, kind: *mut u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { give(own(task).and_then(|()| trap::port_type(Name(name))), kind) }
}

/// `mach_port_move_member`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_move_member(task: u32, member: u32, set: u32) -> u32 {
    code(own(task).and_then(|()| trap::port_move_member(Name(member), Name(set))))
}

/// `mach_port_insert_member`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_insert_member(task: u32, member: u32, set: u32) -> u32 {
    code(own(task).and_then(|()| trap::port_insert_member(Name(member), Name(set))))
}

/// `mach_port_extract_member`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_extract_member(task: u32, member: u32, set: u32) -> u32 {
    code(own(task).and_then(|()| trap::port_extract_member(Name(member), Name(set))))
}

/// `mach_port_set_context`: the label that receives on the port report.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_set_context(task: u32, name: u32, context: u64) -> u32 {
    code(own(task).and_then(|()| trap::port_set_label(Name(name), context)))
}

/// `mach_port_get_context`.
///
/// # Safety
/// `context` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_get_context(task: u32, name: u32, context: *mut u64) -> u32 {
    let label = own(task).and_then(|()| trap::port_get_attribute(Name(name), attribute::LABEL));
    // SAFETY: the caller's promise.
    unsafe { give(label, context) }
}

/// `mach_port_set_mscount`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_set_mscount(task: u32, name: u32, count: u32) -> u32 {
    code(own(task).and_then(|()| set(name, attribute::MAKE_SEND_COUNT, count)))
}

/// `mach_port_set_seqno`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_set_seqno(task: u32, name: u32, number: u32) -> u32 {
    code(own(task).and_then(|()| set(name, attribute::SEQUENCE, number)))
}

fn set(name: u32, which: u64, value: u32) -> Outcome<()> {
    trap::port_set_attribute(Name(name), which, value.into())
}

/// `mach_port_get_attributes`. What is armed on a port is not told: `mps_pdrequest` and `mps_nsrequest` are 0.
///
/// # Safety
/// `info` has room for `*count` numbers of 32 bits, and `count` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_get_attributes(
    task: u32,
    name: u32,
    flavor: i32,
    info: *mut u32,
    count: *mut u32,
) -> u32 {
    // SAFETY: the caller's promise.
    let room = unsafe { count.read() };
    let attribute = |which| trap::port_get_attribute(Name(name), which).map(|value| value as u32);
    let needed = match flavor {
        flavor::LIMITS => LIMITS_COUNT,
        flavor::STATUS => STATUS_COUNT,
        _ => return KernReturn::InvalidValue.0,
    };
    if room < needed {
        return KernReturn::Failure.0;
    }
    let found = own(task).and_then(|()| {
        if flavor == flavor::LIMITS {
            let limit = attribute(attribute::QUEUE_LIMIT)?;
            // SAFETY: the caller's promise: room for one number.
            unsafe { info.write(limit) };
        } else {
            let status = status(attribute)?;
            // SAFETY: the caller's promise: room for all of it; numbers of 32 bits are aligned for it.
            unsafe { info.cast::<Status>().write(status) };
        }
        Ok(needed)
    });
    // SAFETY: the caller's promise.
    unsafe { give(found, count) }
}

fn status(attribute: impl Fn(u64) -> Outcome<u32>) -> Outcome<Status> {
    Ok(Status {
        sets: attribute(attribute::PORT_SETS)?,
        sequence: attribute(attribute::SEQUENCE)?,
        make_sends: attribute(attribute::MAKE_SEND_COUNT)?,
        limit: attribute(attribute::QUEUE_LIMIT)?,
        messages: attribute(attribute::MESSAGE_COUNT)?,
        send_onces: attribute(attribute::SEND_ONCE_RIGHTS)?,
        sends: u32::from(attribute(attribute::SEND_RIGHTS)? > 0),
        ..Status::default()
    })
}

/// `mach_port_set_attributes`: limits alone.
///
/// # Safety
/// `info` has `count` numbers of 32 bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_set_attributes(
    task: u32,
    name: u32,
    flavor: i32,
    info: *const u32,
    count: u32,
) -> u32 {
    if flavor != flavor::LIMITS {
        return KernReturn::InvalidValue.0;
    }
    if count < LIMITS_COUNT {
        return KernReturn::Failure.0;
    }
    // SAFETY: the caller's promise: at least one number.
    let limit = unsafe { info.read() };
    code(own(task).and_then(|()| set(name, attribute::QUEUE_LIMIT, limit)))
}

/// `mach_port_request_notification`. The kernel makes the send-once right from a receive right itself:
/// `how` is `MACH_MSG_TYPE_MAKE_SEND_ONCE`.
///
/// # Safety
/// `previous` may be written to.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "Mach's own signature")]
pub unsafe extern "C" fn mach_port_request_notification(
    task: u32,
    name: u32,
    id: i32,
    sync: u32,
    notify: u32,
    how: u32,
    previous: *mut u32,
) -> u32 {
    let armed = own(task).and_then(|()| {
        if notify != 0 && how != u32::from(disposition::MAKE_SEND_ONCE) {
            return Err(KernReturn::NotSupported);
        }
        trap::port_request_notification(Name(name), id, sync, Name(notify))
    });
    // SAFETY: the caller's promise.
    unsafe { give(armed.map(|name| name.0), previous) }
}
