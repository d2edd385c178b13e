//! `clock_*`, `mk_timer_*`, and notice of a changed calendar.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::trap as number;
use interfaces::clock::{Clock, Time};
use interfaces::mach_host::MachHost;
use libmach::{ReceiveRight, SendOnce, SendRight, abi, time, trap};

use crate::own::{code, give, named, with};

type Target = SendRight<dyn Clock>;
type Host = SendRight<dyn MachHost>;

/// `mach_timespec_t`, which has the ns as a signed number.
fn time_of(seconds: u32, nanoseconds: i32) -> Time {
    Time {
        seconds,
        nanoseconds: nanoseconds.cast_unsigned(),
    }
}

/// `mach_timespec_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Span {
    seconds: u32,
    nanoseconds: i32,
}

impl From<Time> for Span {
    fn from(time: Time) -> Self {
        Self {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds.cast_signed(),
        }
    }
}

impl From<Span> for Time {
    fn from(span: Span) -> Self {
        time_of(span.seconds, span.nanoseconds)
    }
}

/// A right to send once, made from the program's receive right, on its way into a message.
fn once<I: ?Sized>(port: u32) -> libmach::Result<SendOnce<I>> {
    let port = ReceiveRight::<I>::from_name(Name(port));
    let made = port.make_send_once();
    port.into_name();
    made
}

/// `host_get_clock_service`.
///
/// # Safety
/// `clock` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn host_get_clock_service(host: u32, which: i32, clock: *mut u32) -> u32 {
    let which = which.cast_unsigned();
    let found = with(host, |host: &Host| host.client().clock_service(which));
    // SAFETY: the caller's promise.
    unsafe { give(found.map(named), clock) }
}

/// `host_get_clock_control`.
///
/// # Safety
/// `clock` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn host_get_clock_control(host: u32, which: i32, clock: *mut u32) -> u32 {
    let which = which.cast_unsigned();
    let found = with(host, |host: &Host| host.client().clock_control(which));
    // SAFETY: the caller's promise.
    unsafe { give(found.map(named), clock) }
}

/// `host_request_notification`: `port` is a receive right, of which a right to send once is made.
#[unsafe(no_mangle)]
pub extern "C" fn host_request_notification(host: u32, change: i32, port: u32) -> u32 {
    let change = change.cast_unsigned();
    code(with(host, |host: &Host| {
        Ok(host.client().request_notification(change, once(port)?)?)
    }))
}

/// `clock_get_time`.
///
/// # Safety
/// `time` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_get_time(clock: u32, time: *mut Span) -> u32 {
    let found = with(clock, |clock: &Target| clock.client().time());
    // SAFETY: the caller's promise.
    unsafe { give(found.map(Span::from), time) }
}

/// `clock_get_attributes`.
///
/// # Safety
/// `value` has room for `*count` numbers, and `count` may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_get_attributes(
    clock: u32,
    flavor: i32,
    value: *mut u32,
    count: *mut u32,
) -> u32 {
    // SAFETY: the caller's promise.
    let room = unsafe { count.read() };
    let flavor = flavor.cast_unsigned();
    let found = with(clock, |clock: &Target| {
        clock.client().attributes(flavor, room)
    });
    let word = found.and_then(|words| words.first().copied().ok_or(KernReturn::Failure));
    // SAFETY: the caller's promise: a count of 1, else there is no word.
    unsafe { give(word, value) }
}

/// `clock_set_time`.
#[unsafe(no_mangle)]
pub extern "C" fn clock_set_time(clock: u32, time: Span) -> u32 {
    code(with(clock, |clock: &Target| {
        clock.client().set_time(time.into())
    }))
}

/// `clock_alarm`: `port` is a receive right, of which a right to send once is made.
#[unsafe(no_mangle)]
pub extern "C" fn clock_alarm(clock: u32, kind: i32, time: Span, port: u32) -> u32 {
    let kind = kind.cast_unsigned();
    code(with(clock, |clock: &Target| {
        Ok(clock.client().alarm(kind, time.into(), once(port)?)?)
    }))
}

/// `clock_sleep`.
///
/// # Safety
/// `woke` is null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_sleep(clock: u32, kind: i32, time: Span, woke: *mut Span) -> u32 {
    let Time {
        seconds,
        nanoseconds,
    } = time.into();
    let slept = trap::clock_sleep(Name(clock), kind.cast_unsigned(), (seconds, nanoseconds));
    if woke.is_null() {
        return code(slept.map(drop));
    }
    // SAFETY: the caller's promise.
    unsafe { give(slept.map(|now| Time::of(now).into()), woke) }
}

/// `mach_continuous_time`: ns since boot, those that the machine slept included.
#[unsafe(no_mangle)]
pub extern "C" fn mach_continuous_time() -> u64 {
    time::continuous()
}

/// `mk_timer_create`.
#[unsafe(no_mangle)]
pub extern "C" fn mk_timer_create() -> u32 {
    trap::timer_create().unwrap_or_default().0
}

/// `mk_timer_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn mk_timer_destroy(timer: u32) -> u32 {
    code(trap::timer_destroy(Name(timer)))
}

/// `mk_timer_arm`.
#[unsafe(no_mangle)]
pub extern "C" fn mk_timer_arm(timer: u32, deadline: u64) -> u32 {
    let arguments = [timer.into(), deadline, 0, 0, 0, 0];
    // SAFETY: such a trap touches no memory.
    let (code, _) = unsafe { trap::raw(number::MK_TIMER_ARM, arguments) };
    code as u32
}

/// `mk_timer_cancel`.
///
/// # Safety
/// `deadline` is null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mk_timer_cancel(timer: u32, deadline: *mut u64) -> u32 {
    let cancelled = trap::timer_cancel(Name(timer));
    if deadline.is_null() {
        return code(cancelled.map(drop));
    }
    // SAFETY: the caller's promise.
    unsafe { give(cancelled, deadline) }
}
