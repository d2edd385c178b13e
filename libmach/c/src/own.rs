//! The task itself: its ports, its thread's reply port, time.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, right};
use abi::trap::switch_option;
use core::sync::atomic::{AtomicU32, Ordering};
use libmach::trap::Outcome;
use libmach::{abi, time, trap};

use crate::ignore;

/// The task's own port, asked for once.
static TASK: AtomicU32 = AtomicU32::new(0);
/// The reply port of MIG's stubs; a C program has one thread.
static REPLY: AtomicU32 = AtomicU32::new(0);

/// The first answer of `ask`, kept.
fn once(place: &AtomicU32, ask: impl FnOnce() -> Outcome<Name>) -> u32 {
    match place.load(Ordering::Relaxed) {
        0 => {
            let name = ask().unwrap_or_default().0;
            place.store(name, Ordering::Relaxed);
            name
        }
        name => name,
    }
}

/// `mach_task_self`: the task's port. The reference is not the caller's.
#[unsafe(no_mangle)]
pub extern "C" fn mach_task_self() -> u32 {
    once(&TASK, trap::task_self)
}

/// `mach_thread_self`: the calling thread's port, one more reference.
#[unsafe(no_mangle)]
pub extern "C" fn mach_thread_self() -> u32 {
    trap::thread_self().unwrap_or_default().0
}

/// `mach_host_self`: the host's port, one more reference.
#[unsafe(no_mangle)]
pub extern "C" fn mach_host_self() -> u32 {
    trap::host_self().unwrap_or_default().0
}

/// `mach_reply_port`: a new receive right.
#[unsafe(no_mangle)]
pub extern "C" fn mach_reply_port() -> u32 {
    trap::port_allocate(right::RECEIVE).unwrap_or_default().0
}

/// `mig_get_reply_port`: the receive right on which the program's stubs get their answers.
#[unsafe(no_mangle)]
pub extern "C" fn mig_get_reply_port() -> u32 {
    once(&REPLY, || trap::port_allocate(right::RECEIVE))
}

/// `mig_dealloc_reply_port`: a late answer may still come there, so it is not used again (G-03).
#[unsafe(no_mangle)]
pub extern "C" fn mig_dealloc_reply_port(port: u32) {
    if port != 0
        && REPLY
            .compare_exchange(port, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    {
        // The library made it and nobody else destroys it.
        ignore(trap::port_mod_refs(Name(port), right::RECEIVE, -1));
    }
}

/// `mig_put_reply_port`: the answer came. The port is kept.
#[unsafe(no_mangle)]
pub extern "C" fn mig_put_reply_port(_: u32) {}

/// Whether a call is about the calling task: there are no others here.
///
/// # Errors
/// `MACH_SEND_INVALID_DEST` for no task, `KERN_NOT_SUPPORTED` for another one.
pub(crate) fn own(task: u32) -> Outcome<()> {
    if task == mach_task_self() {
        Ok(())
    } else if Name(task).is_valid() {
        Err(KernReturn::NotSupported)
    } else {
        Err(KernReturn(MessageReturn::SendInvalidDest.0))
    }
}

/// A result as C has it.
pub(crate) fn code(result: Outcome<()>) -> u32 {
    result.map_or_else(|code| code.0, |()| KernReturn::Success.0)
}

/// A result as C has it, its value written to `to`; nothing is written when it failed.
///
/// # Safety
/// `to` may be written to.
pub(crate) unsafe fn give<T>(result: Outcome<T>, to: *mut T) -> u32 {
    match result {
        Ok(value) => {
            // SAFETY: the caller's promise; C's alignment is the type's.
            unsafe { to.write(value) };
            KernReturn::Success.0
        }
        Err(code) => code.0,
    }
}

/// `mach_absolute_time`: ns since boot.
#[unsafe(no_mangle)]
pub extern "C" fn mach_absolute_time() -> u64 {
    time::now()
}

/// `mach_wait_until`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_wait_until(deadline: u64) -> u32 {
    code(trap::wait_until(deadline))
}

/// `thread_switch`; `milliseconds` count for `SWITCH_OPTION_WAIT` and `SWITCH_OPTION_DEPRESS`.
#[unsafe(no_mangle)]
pub extern "C" fn thread_switch(thread: u32, option: i32, milliseconds: u32) -> u32 {
    let option = i64::from(option).cast_unsigned();
    let deadline = if option == switch_option::NONE {
        0
    } else {
        time::deadline(time::ms(milliseconds.into()))
    };
    code(trap::thread_switch(Name(thread), option, deadline))
}
