//! `vm_*` and `mach_vm_*`: where memory is, and what may be done with it. Both have 64-bit addresses and are the same.

use abi::kern_return::KernReturn;
use abi::vm::{flags, map_flags};
use interfaces::task::Task;
use interfaces::vm::Place;
use libmach::trap::Outcome;
use libmach::{SendRight, abi, trap};

use crate::own::{code, copied, either, give, with};

/// Flags of `vm_map` that there are.
const MAP_FLAGS: u64 = map_flags::ANYWHERE | map_flags::OVERWRITE;

/// Exports a function under its two names.
macro_rules! both {
    ($($(#[$doc:meta])* fn $name:ident, $mach:ident($($argument:ident: $type:ty),*) $body:block)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments, reason = "Mach's own signature")]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> u32 $body

        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments, reason = "Mach's own signature")]
        pub unsafe extern "C" fn $mach($($argument: $type),*) -> u32 {
            // SAFETY: the same function.
            unsafe { $name($($argument),*) }
        }
    )*};
}
pub(crate) use both;

both! {
    /// `vm_allocate`: fresh zeroed memory.
    ///
    /// # Safety
    /// `address` points to one; at a fixed one, nothing is in use there.
    fn vm_allocate, mach_vm_allocate(task: u32, address: *mut u64, size: u64, how: i32) {
        let how = i64::from(how).cast_unsigned();
        // SAFETY: the caller's promise.
        let hint = if how & flags::ANYWHERE != 0 { 0 } else { unsafe { address.read() } };
        let allocated = either(
            task,
            // SAFETY: the kernel replaces nothing.
            || unsafe { trap::vm_allocate(hint, size, how) },
            |task| task.client().vm_allocate(hint, size, how),
        );
        // SAFETY: the caller's promise.
        unsafe { give(allocated, address) }
    }

    /// `vm_deallocate`.
    ///
    /// # Safety
    /// Nothing uses the range any more.
    fn vm_deallocate, mach_vm_deallocate(task: u32, address: u64, size: u64) {
        code(either(
            task,
            // SAFETY: the caller's promise.
            || unsafe { trap::vm_deallocate(address, size) },
            |task| task.client().vm_deallocate(address, size),
        ))
    }

    /// `vm_protect`.
    ///
    /// # Safety
    /// Nothing uses the range in a way that the new protection forbids.
    fn vm_protect, mach_vm_protect(
        task: u32, address: u64, size: u64, set_maximum: i32, protection: u32
    ) {
        let which = u32::from(set_maximum != 0);
        code(either(
            task,
            // SAFETY: the caller's promise.
            || unsafe { trap::vm_protect(address, size, which.into(), protection) },
            |task| task.client().vm_protect(address, size, which, protection),
        ))
    }

    /// `vm_map`: maps a memory entry, or anonymous memory.
    ///
    /// # Safety
    /// `address` points to one; what `VM_FLAGS_OVERWRITE` replaces is not in use.
    fn vm_map, mach_vm_map(
        task: u32, address: *mut u64, size: u64, mask: u64, how: i32, object: u32, offset: u64,
        copy: i32, protection: u32, maximum: u32, inherit: u32
    ) {
        let rights = (copy, protection, maximum, inherit);
        // SAFETY: the caller's promise.
        let hint = unsafe { address.read() };
        let place = Place { address: hint, size, mask };
        let mapped = map_word(how, rights).and_then(|all| {
            with(task, |task: &SendRight<dyn Task>| match object {
                0 => task.memory().map_anonymous(place, all),
                _ => Ok(task.memory().map(copied(object)?, place, offset, all)?),
            })
        });
        // SAFETY: the caller's promise.
        unsafe { give(mapped, address) }
    }
}

/// Flags and rights as the kernel has them, in one word.
pub(crate) fn map_word(
    how: i32,
    (copy, protection, maximum, inherit): (i32, u32, u32, u32),
) -> Outcome<u64> {
    let how = i64::from(how).cast_unsigned();
    let large = how & flags::SUPERPAGE_MASK;
    if how & !(MAP_FLAGS | flags::SUPERPAGE_MASK) != 0 {
        return Err(KernReturn::NotSupported);
    }
    if protection > abi::vm::protection::ALL
        || maximum > abi::vm::protection::ALL
        || inherit > abi::vm::inherit::NONE
    {
        return Err(KernReturn::InvalidArgument);
    }
    let copy = if copy != 0 { map_flags::COPY } else { 0 };
    Ok(how & MAP_FLAGS
        | copy
        | (large / flags::SUPERPAGE_SIZE_ANY) << map_flags::SUPERPAGE_SHIFT
        | u64::from(protection) << map_flags::CURRENT_SHIFT
        | u64::from(maximum) << map_flags::MAXIMUM_SHIFT
        | u64::from(inherit) << map_flags::INHERIT_SHIFT)
}
