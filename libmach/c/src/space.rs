//! `mach_port_*` between spaces: rights that are inserted and extracted, and lists of names.

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};
use alloc::vec::Vec;
use interfaces::task::Task;
use libmach::{ReceiveRight, SendOnce, SendRight, Untyped, abi, trap};

use crate::contents::array;
use crate::own::{code, copied, either, give, with};

/// `mach_port_allocate_name`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_allocate_name(task: u32, right: u32, name: u32) -> u32 {
    let allocated = either(
        task,
        || trap::port_allocate_name(right, Name(name)),
        |task| task.client().port_allocate_name(right, Name(name)),
    );
    code(allocated.map(|_| ()))
}

/// `mach_port_insert_right`.
#[unsafe(no_mangle)]
pub extern "C" fn mach_port_insert_right(task: u32, name: u32, right: u32, how: u32) -> u32 {
    let Ok(how) = u8::try_from(how) else {
        return KernReturn::InvalidValue.0;
    };
    let (name, right) = (Name(name), Name(right));
    code(either(
        task,
        || trap::port_insert_right(name, right, how),
        |task| insert(task, name, right, how),
    ))
}

/// Gives a right of this task's to another one. It stays here when it is refused.
fn insert(task: &SendRight<dyn Task>, name: Name, right: Name, how: u8) -> libmach::Result<()> {
    let receive = ReceiveRight::<Untyped>::from_name(right);
    let send = match how {
        disposition::MAKE_SEND_ONCE | disposition::MOVE_SEND_ONCE => {
            let made = match how {
                disposition::MAKE_SEND_ONCE => receive.make_send_once(),
                _ => Ok(SendOnce::from_name(right)),
            };
            receive.into_name();
            return insert_once(task, name, made?, how);
        }
        disposition::MOVE_RECEIVE => {
            return match task.client().insert_receive(name, receive) {
                Ok(_) => Ok(()),
                Err(refused) => {
                    refused.rights.map(|(right,)| right.into_name());
                    Err(refused.error)
                }
            };
        }
        disposition::MAKE_SEND => {
            let made = receive.make_send();
            receive.into_name();
            made?
        }
        _ => {
            receive.into_name();
            match how {
                disposition::COPY_SEND => copied(right.0)?,
                disposition::MOVE_SEND => SendRight::from_name(right),
                _ => return Err(KernReturn::NotSupported.into()),
            }
        }
    };
    match task.client().insert_send(name, send) {
        Ok(_) => Ok(()),
        Err(refused) if how == disposition::MOVE_SEND => {
            refused.rights.map(|(right,)| right.into_name());
            Err(refused.error)
        }
        Err(refused) => Err(refused.error),
    }
}

/// The same for a right to send once.
fn insert_once(
    task: &SendRight<dyn Task>,
    name: Name,
    right: SendOnce<Untyped>,
    how: u8,
) -> libmach::Result<()> {
    match task.client().insert_send_once(name, right) {
        Ok(_) => Ok(()),
        Err(refused) => {
            if how == disposition::MOVE_SEND_ONCE {
                refused.rights.map(|(right,)| right.into_name());
            }
            Err(refused.error)
        }
    }
}

/// `mach_port_extract_right`: a right out of a task's space. `kind` says which: `MOVE_SEND`, `MOVE_SEND_ONCE` or `MOVE_RECEIVE`.
///
/// # Safety
/// `right` and `kind` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_extract_right(
    task: u32,
    name: u32,
    how: u32,
    right: *mut u32,
    kind: *mut u32,
) -> u32 {
    let Ok(how) = u8::try_from(how) else {
        return KernReturn::InvalidValue.0;
    };
    use disposition::{MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE};
    let name = Name(name);
    let taken = with(task, |task: &SendRight<dyn Task>| {
        let task = task.client();
        Ok(match how {
            MOVE_RECEIVE => (task.extract_receive(name)?.into_name(), how),
            MAKE_SEND_ONCE | MOVE_SEND_ONCE => {
                let once = task.extract_send_once(name, how)?;
                (once.into_name(), MOVE_SEND_ONCE)
            }
            _ => (task.extract_send(name, how)?.into_name(), MOVE_SEND),
        })
    });
    let moved = taken.map(|(_, kind)| kind.into());
    let taken = taken.map(|(name, _)| name.0);
    // SAFETY: the caller's promise.
    unsafe { give(moved, kind) };
    // SAFETY: the caller's promise.
    unsafe { give(taken, right) }
}

/// `mach_port_names`: all names of a task, and their types. Both arrays are the caller's to deallocate.
///
/// # Safety
/// All four may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_port_names(
    task: u32,
    names: *mut *mut u32,
    name_count: *mut u32,
    types: *mut *mut u32,
    type_count: *mut u32,
) -> u32 {
    let listed = with(task, |task: &SendRight<dyn Task>| {
        let (mut all, mut after) = (Vec::new(), Name::NULL);
        loop {
            let page = task.client().rights(after)?;
            let Some(last) = page.last() else {
                return Ok(all);
            };
            after = last.name;
            all.extend(page.iter().map(|right| (right.name.0, right.kind)));
        }
    });
    let arrays = listed.and_then(|all| {
        let (first, second): (Vec<u32>, Vec<u32>) = all.into_iter().unzip();
        Ok((array(&first)?, array(&second)?, first.len() as u32))
    });
    match arrays {
        Ok((first, second, count)) => {
            // SAFETY: the caller's promise.
            unsafe {
                names.write(first);
                types.write(second);
                name_count.write(count);
                type_count.write(count);
            }
            KernReturn::Success.0
        }
        Err(code) => code.0,
    }
}
