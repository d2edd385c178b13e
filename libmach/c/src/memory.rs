//! `vm_*` and `mach_vm_*` on the calling task. Both have 64-bit addresses and are the same.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::vm::{flags, map_flags};
use libmach::{abi, trap};

use crate::own::{code, give, own};

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

both! {
    /// `vm_allocate`: fresh zeroed memory.
    ///
    /// # Safety
    /// `address` points to one; at a fixed one, nothing is in use there.
    fn vm_allocate, mach_vm_allocate(task: u32, address: *mut u64, size: u64, how: i32) {
        let how = i64::from(how).cast_unsigned();
        let allocated = own(task).and_then(|()| {
            // SAFETY: the caller's promise.
            let hint = if how & flags::ANYWHERE != 0 { 0 } else { unsafe { address.read() } };
            // SAFETY: the kernel replaces nothing.
            unsafe { trap::vm_allocate(hint, size, how) }
        });
        // SAFETY: the caller's promise.
        unsafe { give(allocated, address) }
    }

    /// `vm_deallocate`.
    ///
    /// # Safety
    /// Nothing uses the range any more.
    fn vm_deallocate, mach_vm_deallocate(task: u32, address: u64, size: u64) {
        code(own(task).and_then(|()| {
            // SAFETY: the caller's promise.
            unsafe { trap::vm_deallocate(address, size) }
        }))
    }

    /// `vm_protect`.
    ///
    /// # Safety
    /// Nothing uses the range in a way that the new protection forbids.
    fn vm_protect, mach_vm_protect(
        task: u32, address: u64, size: u64, set_maximum: i32, protection: u32
    ) {
        code(own(task).and_then(|()| {
            // SAFETY: the caller's promise.
            unsafe { trap::vm_protect(address, size, u64::from(set_maximum != 0), protection) }
        }))
    }

    /// `vm_map`: maps a memory entry, or anonymous memory. There are no masks: `mask` is 0.
    ///
    /// # Safety
    /// `address` points to one; what `VM_FLAGS_OVERWRITE` replaces is not in use.
    fn vm_map, mach_vm_map(
        task: u32, address: *mut u64, size: u64, mask: u64, how: i32, object: u32, offset: u64,
        copy: i32, protection: u32, maximum: u32, inherit: u32
    ) {
        let how = i64::from(how).cast_unsigned();
        let mapped = own(task).and_then(|()| {
            if mask != 0 || how & !MAP_FLAGS != 0 {
                return Err(KernReturn::NotSupported);
            }
            if protection > abi::vm::protection::ALL || maximum > abi::vm::protection::ALL
                || inherit > abi::vm::inherit::NONE
            {
                return Err(KernReturn::InvalidArgument);
            }
            let copy = if copy != 0 { map_flags::COPY } else { 0 };
            let all = how | copy
                | u64::from(protection) << map_flags::CURRENT_SHIFT
                | u64::from(maximum) << map_flags::MAXIMUM_SHIFT
                | u64::from(inherit) << map_flags::INHERIT_SHIFT;
            // SAFETY: the caller's promise.
            let hint = unsafe { address.read() };
            // SAFETY: the caller's promise.
            unsafe { trap::vm_map(Name(object), hint, size, offset, all) }
        });
        // SAFETY: the caller's promise.
        unsafe { give(mapped, address) }
    }
}
