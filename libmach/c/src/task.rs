//! `task_*`, and the ports that a task keeps.

use abi::kern_return::KernReturn;
use abi::task::{Limits, special};
use alloc::vec::Vec;
use core::slice;
use interfaces::task::{FIRST_THREAD, Task};
use libmach::{Error, SendRight, Untyped, abi};

use crate::contents::array;
use crate::own::{code, copied, give, named, with};

type Target = SendRight<dyn Task>;

/// Half of what is left to a task: what its child may hold.
fn half(task: &Target) -> libmach::Result<Limits> {
    let ledger = task.client().ledger()?;
    let (limits, used) = (ledger.limits, ledger.used);
    let left = |of: fn(&Limits) -> u32| of(&limits).saturating_sub(of(&used)) / 2;
    Ok(Limits {
        names: left(|of| of.names),
        messages: left(|of| of.messages),
        threads: left(|of| of.threads),
        pages: left(|of| of.pages),
        kernel_bytes: limits.kernel_bytes.saturating_sub(used.kernel_bytes) / 2,
    })
}

/// `task_create`: a task without threads and rights, which may hold half of what is left to its parent. There are no
/// ledger ports: `ledgers` does not matter.
///
/// # Safety
/// `child` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn task_create(
    parent: u32,
    _ledgers: *const u32,
    _count: u32,
    inherit: i32,
    child: *mut u32,
) -> u32 {
    let made = with(parent, |parent: &Target| {
        let limits = half(parent)?;
        parent.client().create(limits, 0, u32::from(inherit != 0))
    });
    // SAFETY: the caller's promise.
    unsafe { give(made.map(named), child) }
}

/// `task_terminate`.
#[unsafe(no_mangle)]
pub extern "C" fn task_terminate(task: u32) -> u32 {
    code(with(task, |task: &Target| task.client().terminate()))
}

/// `task_suspend`.
#[unsafe(no_mangle)]
pub extern "C" fn task_suspend(task: u32) -> u32 {
    code(with(task, |task: &Target| task.client().suspend()))
}

/// `task_resume`.
#[unsafe(no_mangle)]
pub extern "C" fn task_resume(task: u32) -> u32 {
    code(with(task, |task: &Target| task.client().resume()))
}

/// The ports of all threads of a task.
fn threads(task: &Target) -> libmach::Result<Vec<u32>> {
    let (mut all, mut after) = (Vec::new(), FIRST_THREAD);
    loop {
        let page = task.client().threads(after)?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = *last;
        for number in page.iter() {
            match task.client().thread(*number) {
                Ok(thread) => all.push(named(thread)),
                // It ended meanwhile.
                Err(Error::Code(KernReturn::InvalidArgument)) => {}
                Err(error) => {
                    release(&all);
                    return Err(error);
                }
            }
        }
    }
}

/// Gives references up.
fn release(names: &[u32]) {
    for name in names {
        drop(SendRight::<Untyped>::from_name(abi::names::Name(*name)));
    }
}

/// Hands an array of rights to the program.
///
/// # Safety
/// `list` and `count` may be written to.
pub(crate) unsafe fn give_rights(
    found: Result<Vec<u32>, KernReturn>,
    list: *mut *mut u32,
    count: *mut u32,
) -> u32 {
    let listed = found.and_then(|all| {
        let array = array(&all).inspect_err(|_| release(&all))?;
        Ok((array, all.len() as u32))
    });
    // SAFETY: the caller's promise.
    unsafe { give(listed.map(|(_, size)| size), count) };
    // SAFETY: the caller's promise.
    unsafe { give(listed.map(|(array, _)| array), list) }
}

/// `task_threads`: rights to all threads. Array and rights are the caller's to deallocate.
///
/// # Safety
/// `list` and `count` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn task_threads(task: u32, list: *mut *mut u32, count: *mut u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { give_rights(with(task, threads), list, count) }
}

/// `task_get_special_port`.
///
/// # Safety
/// `port` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn task_get_special_port(task: u32, which: i32, port: *mut u32) -> u32 {
    let which = which.cast_unsigned();
    let found = with(task, |task: &Target| task.client().special_port(which));
    // SAFETY: the caller's promise.
    unsafe { give(found.map(named), port) }
}

/// `task_set_special_port`; `MACH_PORT_NULL` takes one away.
#[unsafe(no_mangle)]
pub extern "C" fn task_set_special_port(task: u32, which: i32, port: u32) -> u32 {
    let which = which.cast_unsigned();
    code(with(task, |task: &Target| match port {
        0 => task.client().clear_special_port(which),
        _ => Ok(task.client().set_special_port(which, copied(port)?)?),
    }))
}

/// `mach_ports_register`: up to `TASK_PORT_REGISTER_MAX` ports that children get too.
///
/// # Safety
/// `ports` has `count` names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_ports_register(task: u32, ports: *const u32, count: u32) -> u32 {
    if count > special::REGISTERED {
        return KernReturn::InvalidArgument.0;
    }
    let ports = match count {
        0 => &[],
        // SAFETY: the caller's promise.
        _ => unsafe { slice::from_raw_parts(ports, count as usize) },
    };
    code(with(task, |task: &Target| {
        for (index, port) in (0..).zip(ports) {
            task.client().ports_register(index, copied(*port)?)?;
        }
        Ok(())
    }))
}

/// The ports that are kept, up to the first that is none.
fn registered(task: &Target) -> libmach::Result<Vec<u32>> {
    let mut all = Vec::new();
    for index in 0..special::REGISTERED {
        match task.client().ports_lookup(index) {
            Ok(port) => all.push(named(port)),
            Err(Error::Code(KernReturn::Failure)) => break,
            Err(error) => {
                release(&all);
                return Err(error);
            }
        }
    }
    Ok(all)
}

/// `mach_ports_lookup`: as [`task_threads`] answers.
///
/// # Safety
/// `list` and `count` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_ports_lookup(task: u32, list: *mut *mut u32, count: *mut u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { give_rights(with(task, registered), list, count) }
}
