//! The task itself: its ports, its thread's reply port, time.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, right};
use abi::trap::switch_option;
use core::sync::atomic::{AtomicU32, Ordering};
use interfaces::bootstrap::refusal;
use interfaces::task::Task;
use libmach::trap::Outcome;
use libmach::{Error, SendRight, abi, thread, time, trap};

use crate::ignore;

/// The task's own port, asked for once.
static TASK: AtomicU32 = AtomicU32::new(0);
/// `mach_task_self`: the task's port. The reference is not the caller's.
#[unsafe(no_mangle)]
pub extern "C" fn mach_task_self() -> u32 {
    match TASK.load(Ordering::Relaxed) {
        // Threads that ask at once get the same name, and one reference too many at the most.
        0 => {
            let name = trap::task_self().unwrap_or_default().0;
            TASK.store(name, Ordering::Relaxed);
            name
        }
        name => name,
    }
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

/// `mig_get_reply_port`: the receive right on which the calling thread's stubs get their answers.
#[unsafe(no_mangle)]
pub extern "C" fn mig_get_reply_port() -> u32 {
    match thread::reply_port() {
        Name::NULL => {
            let port = trap::port_allocate(right::RECEIVE).unwrap_or_default();
            thread::set_reply_port(port);
            port.0
        }
        port => port.0,
    }
}

/// `mig_dealloc_reply_port`: a late answer may still come there, so it is not used again (G-03).
#[unsafe(no_mangle)]
pub extern "C" fn mig_dealloc_reply_port(port: u32) {
    if port != 0 && thread::reply_port() == Name(port) {
        thread::set_reply_port(Name::NULL);
        // The library made it and nobody else destroys it.
        ignore(trap::port_mod_refs(Name(port), right::RECEIVE, -1));
    }
}

/// `mig_put_reply_port`: the answer came. The port is kept.
#[unsafe(no_mangle)]
pub extern "C" fn mig_put_reply_port(_: u32) {}

/// Whose task a call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// The calling one's: there are traps.
    Own,
    /// Another one's: its port takes messages.
    Other,
}

/// Whose task a name stands for.
///
/// # Errors
/// `MACH_SEND_INVALID_DEST` for no task.
pub(crate) fn whose(task: u32) -> Outcome<Whose> {
    if task == mach_task_self() {
        Ok(Whose::Own)
    } else if Name(task).is_valid() {
        Ok(Whose::Other)
    } else {
        Err(KernReturn(MessageReturn::SendInvalidDest.0))
    }
}

/// For what the kernel does to the calling task alone.
///
/// # Errors
/// `MACH_SEND_INVALID_DEST` for no task, `KERN_NOT_SUPPORTED` for another one.
pub(crate) fn own(task: u32) -> Outcome<()> {
    match whose(task)? {
        Whose::Own => Ok(()),
        Whose::Other => Err(KernReturn::NotSupported),
    }
}

/// Does something to the calling task by traps, or to another one by messages.
pub(crate) fn either<T>(
    task: u32,
    own: impl FnOnce() -> Outcome<T>,
    other: impl FnOnce(&SendRight<dyn Task>) -> libmach::Result<T>,
) -> Outcome<T> {
    match whose(task)? {
        Whose::Own => own(),
        Whose::Other => with(task, other),
    }
}

/// Lets `call` use a right of the program's, which stays the program's.
///
/// # Errors
/// `MACH_SEND_INVALID_DEST` for no name; else those of the call, as C has them.
pub(crate) fn with<I: ?Sized, T>(
    name: u32,
    call: impl FnOnce(&SendRight<I>) -> libmach::Result<T>,
) -> Outcome<T> {
    if !Name(name).is_valid() {
        return Err(KernReturn(MessageReturn::SendInvalidDest.0));
    }
    let right = SendRight::from_name(Name(name));
    let answer = call(&right);
    right.into_name();
    answer.map_err(code_of)
}

/// One more reference to a right of the program's, for a call that takes one away.
pub(crate) fn copied<I: ?Sized>(name: u32) -> libmach::Result<SendRight<I>> {
    let right = SendRight::from_name(Name(name));
    let copy = right.duplicate();
    right.into_name();
    copy
}

/// Right and name of the program's to give out.
pub(crate) fn named<I: ?Sized>(right: SendRight<I>) -> u32 {
    right.into_name().0
}

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

/// `swtch`.
#[unsafe(no_mangle)]
pub extern "C" fn swtch() -> i32 {
    trap::swtch().into()
}

/// `swtch_pri`. Mach has not looked at its argument for long.
#[unsafe(no_mangle)]
pub extern "C" fn swtch_pri(_priority: i32) -> i32 {
    trap::swtch_pri().into()
}

/// `thread_switch`; `milliseconds` count for `SWITCH_OPTION_WAIT` and `SWITCH_OPTION_DEPRESS`, which without any lasts
/// until the next turn, whoever `thread` is.
#[unsafe(no_mangle)]
pub extern "C" fn thread_switch(thread: u32, option: i32, milliseconds: u32) -> u32 {
    let option = i64::from(option).cast_unsigned();
    // Without a time, XNU's depression has no timer, and ends when the thread runs again.
    if milliseconds == 0
        && matches!(
            option,
            switch_option::DEPRESS | switch_option::OSLOCK_DEPRESS
        )
    {
        trap::swtch_pri();
        return KernReturn::Success.0;
    }
    let deadline = if option == switch_option::NONE {
        0
    } else {
        time::deadline(time::ms(milliseconds.into()))
    };
    code(trap::thread_switch(Name(thread), option, deadline))
}
