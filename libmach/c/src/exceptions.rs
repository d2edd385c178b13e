//! `task_*`, `thread_*` and `host_*_exception_ports`.

use abi::kern_return::KernReturn;
use interfaces::exceptions::{ExceptionPorts, Setting};
use libmach::trap::Outcome;
use libmach::{Error, SendRight, abi};

use crate::own::{code, copied, give, named, with};

/// The most entries of one answer (`EXC_TYPES_COUNT`).
pub const MAX_ENTRIES: u32 = abi::exception::TYPES;

type Target = SendRight<dyn ExceptionPorts>;

/// Where an answer goes: `EXC_TYPES_COUNT` places each, or as many as `*count` says.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    masks: *mut u32,
    count: *mut u32,
    ports: *mut u32,
    behaviors: *mut u32,
    flavors: *mut u32,
}

impl Answer {
    /// Writes one entry.
    ///
    /// # Safety
    /// There is room for it.
    unsafe fn write(self, index: u32, setting: Setting, port: u32) {
        let index = index as usize;
        // SAFETY: the caller's promise, for all four.
        unsafe {
            self.masks.add(index).write(setting.mask);
            self.ports.add(index).write(port);
            self.behaviors.add(index).write(setting.behavior);
            self.flavors.add(index).write(setting.flavor);
        }
    }
}

/// `*_set_exception_ports`; `MACH_PORT_NULL` leaves the types to the next level.
fn set(of: u32, (mask, port): (u32, u32), (behavior, flavor): (u32, u32)) -> Outcome<()> {
    with(of, |of: &Target| match port {
        0 => of.client().clear(mask),
        _ => Ok(of.client().set(mask, copied(port)?, behavior, flavor)?),
    })
}

/// `*_get_exception_ports`.
///
/// # Safety
/// The places of `answer` have room for `*count` entries.
unsafe fn get(of: u32, mask: u32, answer: Answer) -> Outcome<u32> {
    // SAFETY: the caller's promise.
    let room = unsafe { answer.count.read() }.min(MAX_ENTRIES);
    with(of, |of: &Target| {
        for index in 0..room {
            match of.client().get(mask, index) {
                // SAFETY: the caller's promise: the index is below the room.
                Ok((setting, port)) => unsafe { answer.write(index, setting, named(port)) },
                Err(Error::Code(KernReturn::Failure)) => return Ok(index),
                Err(error) => return Err(error),
            }
        }
        Ok(room)
    })
}

/// `*_swap_exception_ports`: in one, when all types had the same port; else what was there is read first.
///
/// # Safety
/// As for [`get`].
unsafe fn swap(
    of: u32,
    (mask, port): (u32, u32),
    (behavior, flavor): (u32, u32),
    answer: Answer,
) -> Outcome<u32> {
    // SAFETY: the caller's promise.
    if port != 0 && unsafe { answer.count.read() } > 0 {
        let swapped = with(of, |of: &Target| {
            Ok(of.client().swap(mask, copied(port)?, behavior, flavor)?)
        });
        match swapped {
            Ok((setting, old)) => {
                // SAFETY: the caller's promise: room for one.
                unsafe { answer.write(0, setting, named(old)) };
                return Ok(1);
            }
            Err(KernReturn::Failure) => {}
            Err(code) => return Err(code),
        }
    }
    // SAFETY: the caller's promise.
    let found = unsafe { get(of, mask, answer)? };
    set(of, (mask, port), (behavior, flavor)).map(|()| found)
}

/// Exports the three functions of a level.
macro_rules! level {
    ($($set:ident, $get:ident, $swap:ident;)+) => {$(
        /// Sets exception ports.
        #[unsafe(no_mangle)]
        pub extern "C" fn $set(of: u32, mask: u32, port: u32, behavior: u32, flavor: i32) -> u32 {
            code(set(of, (mask, port), (behavior, flavor.cast_unsigned())))
        }

        /// Tells exception ports.
        ///
        /// # Safety
        /// `count` points to how many entries there is room for, and may be written to.
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments, reason = "Mach's own signature")]
        pub unsafe extern "C" fn $get(
            of: u32,
            mask: u32,
            masks: *mut u32,
            count: *mut u32,
            ports: *mut u32,
            behaviors: *mut u32,
            flavors: *mut u32,
        ) -> u32 {
            let answer = Answer { masks, count, ports, behaviors, flavors };
            // SAFETY: the caller's promise.
            let found = unsafe { get(of, mask, answer) };
            // SAFETY: the caller's promise.
            unsafe { give(found, count) }
        }

        /// Sets exception ports and tells what was there.
        ///
        /// # Safety
        /// As to tell.
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments, reason = "Mach's own signature")]
        pub unsafe extern "C" fn $swap(
            of: u32,
            mask: u32,
            port: u32,
            behavior: u32,
            flavor: i32,
            masks: *mut u32,
            count: *mut u32,
            ports: *mut u32,
            behaviors: *mut u32,
            flavors: *mut u32,
        ) -> u32 {
            let answer = Answer { masks, count, ports, behaviors, flavors };
            let form = (behavior, flavor.cast_unsigned());
            // SAFETY: the caller's promise.
            let found = unsafe { swap(of, (mask, port), form, answer) };
            // SAFETY: the caller's promise.
            unsafe { give(found, count) }
        }
    )+};
}

level! {
    thread_set_exception_ports, thread_get_exception_ports, thread_swap_exception_ports;
    task_set_exception_ports, task_get_exception_ports, task_swap_exception_ports;
    host_set_exception_ports, host_get_exception_ports, host_swap_exception_ports;
}
