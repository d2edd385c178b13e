//! `vm_*` and `mach_vm_*`: what memory holds, what children get of it, and memory entries.

use abi::kern_return::KernReturn;
use abi::vm::flags;
use core::slice;
use interfaces::task::Task;
use interfaces::vm::Place;
use libmach::trap::Outcome;
use libmach::{SendRight, abi, trap};

use crate::ignore;
use crate::memory::{both, map_word};
use crate::own::{code, copied, give, named, with};

type Target = SendRight<dyn Task>;

/// A copy of a task's memory, in fresh memory of this one.
fn copy_of(task: u32, address: u64, size: u64) -> Outcome<u64> {
    if size == 0 {
        return Ok(0);
    }
    // SAFETY: anywhere: the kernel picks a range that is not in use.
    let into = unsafe { trap::vm_allocate(0, size, flags::ANYWHERE)? };
    let read = with(task, |task: &Target| {
        task.memory().read_overwrite(address, size, into)
    });
    read.map(|_| into).inspect_err(|_| {
        // SAFETY: nobody has seen it. It fails only when it is not mapped.
        ignore(unsafe { trap::vm_deallocate(into, size) });
    })
}

both! {
    /// `vm_read`: a copy of a task's memory, which the caller deallocates.
    ///
    /// # Safety
    /// `data` and `count` may be written to.
    fn vm_read, mach_vm_read(task: u32, address: u64, size: u64, data: *mut u64, count: *mut u32) {
        let read = match u32::try_from(size) {
            Ok(size) => copy_of(task, address, size.into()).map(|into| (into, size)),
            Err(_) => Err(KernReturn::InvalidArgument),
        };
        // SAFETY: the caller's promise.
        unsafe { give(read.map(|(_, size)| size), count) };
        // SAFETY: the caller's promise.
        unsafe { give(read.map(|(into, _)| into), data) }
    }

    /// `vm_write`.
    ///
    /// # Safety
    /// `count` bytes can be read at `data`, and nobody changes them meanwhile.
    fn vm_write, mach_vm_write(task: u32, address: u64, data: u64, count: u32) {
        let bytes = match count {
            0 => &[],
            // SAFETY: the caller's promise.
            _ => unsafe { slice::from_raw_parts(data as *const u8, count as usize) },
        };
        code(with(task, |task: &Target| task.write_memory(address, bytes)))
    }

    /// `vm_copy`: within a task's memory.
    ///
    /// # Safety
    /// Of the calling task's memory, nothing else uses the destination.
    fn vm_copy, mach_vm_copy(task: u32, source: u64, size: u64, destination: u64) {
        code(with(task, |task: &Target| task.memory().copy(source, size, destination)))
    }

    /// `vm_read_overwrite`: a copy of a task's memory, at an address of this one.
    ///
    /// # Safety
    /// Nothing else uses the `size` bytes at `data`; `done` may be written to.
    fn vm_read_overwrite, mach_vm_read_overwrite(
        task: u32, address: u64, size: u64, data: u64, done: *mut u64
    ) {
        let read = with(task, |task: &Target| {
            task.memory().read_overwrite(address, size, data)
        });
        // SAFETY: the caller's promise.
        unsafe { give(read, done) }
    }

    /// `vm_inherit`: what children get of a range.
    ///
    /// # Safety
    /// Safe in itself.
    fn vm_inherit, mach_vm_inherit(task: u32, address: u64, size: u64, inherit: u32) {
        code(with(task, |task: &Target| task.memory().inherit(address, size, inherit)))
    }

    /// `vm_wire`: the host does not matter.
    ///
    /// # Safety
    /// Safe in itself.
    fn vm_wire, mach_vm_wire(_host: u32, task: u32, address: u64, size: u64, access: u32) {
        code(with(task, |task: &Target| task.memory().wire(address, size, access)))
    }

    /// `vm_behavior_set`.
    ///
    /// # Safety
    /// What `VM_BEHAVIOR_FREE` and `VM_BEHAVIOR_ZERO` lose is not needed.
    fn vm_behavior_set, mach_vm_behavior_set(task: u32, address: u64, size: u64, behavior: u32) {
        code(with(task, |task: &Target| {
            task.memory().behavior_set(address, size, behavior)
        }))
    }

    /// `vm_msync`.
    ///
    /// # Safety
    /// What `VM_SYNC_INVALIDATE` and `VM_SYNC_KILLPAGES` lose is not needed.
    fn vm_msync, mach_vm_msync(task: u32, address: u64, size: u64, how: u32) {
        code(with(task, |task: &Target| task.memory().msync(address, size, how)))
    }

    /// `vm_remap`: maps memory of `source`, or a copy of it.
    ///
    /// # Safety
    /// `address`, `current` and `maximum` point to one each; what `VM_FLAGS_OVERWRITE` replaces is not in use.
    fn vm_remap, mach_vm_remap(
        task: u32, address: *mut u64, size: u64, mask: u64, how: i32, source: u32, from: u64,
        copy: i32, current: *mut u32, maximum: *mut u32, inherit: u32
    ) {
        // SAFETY: the caller's promise.
        let hint = unsafe { address.read() };
        let place = Place { address: hint, size, mask };
        let mapped = map_word(how, (copy, 0, 0, inherit)).and_then(|all| {
            with(task, |task: &Target| {
                Ok(task.memory().remap(copied(source)?, place, from, all)?)
            })
        });
        // SAFETY: the caller's promise.
        unsafe { give(mapped.map(|mapped| mapped.protection), current) };
        // SAFETY: the caller's promise.
        unsafe { give(mapped.map(|mapped| mapped.maximum), maximum) };
        // SAFETY: the caller's promise.
        unsafe { give(mapped.map(|mapped| mapped.address), address) }
    }

    /// `vm_region_64`: the first region at or above an address. No region has a name: `object` is `MACH_PORT_NULL`.
    ///
    /// # Safety
    /// `address`, `size`, `count` and `object` point to one each; `info` has room for `*count` numbers of 32 bits.
    fn vm_region_64, mach_vm_region(
        task: u32, address: *mut u64, size: *mut u64, flavor: u32, info: *mut u32, count: *mut u32,
        object: *mut u32
    ) {
        // SAFETY: the caller's promise.
        let (from, room) = unsafe { (address.read(), count.read()) };
        let found = with(task, |task: &Target| task.memory().region(from, flavor, room));
        let found = match found {
            Ok(found) => found,
            Err(code) => return code.0,
        };
        for (index, word) in found.info.iter().take(room as usize).enumerate() {
            // SAFETY: the caller's promise, and no more than there is room for.
            unsafe { info.add(index).write(*word) };
        }
        // SAFETY: the caller's promise.
        unsafe {
            address.write(found.address);
            size.write(found.size);
            count.write(found.info.len() as u32);
            object.write(0);
        }
        KernReturn::Success.0
    }
}

/// `mach_make_memory_entry_64`: of a task's own memory (`parent` is `MACH_PORT_NULL`), or a part of an entry.
///
/// # Safety
/// `size` and `entry` point to one each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_make_memory_entry_64(
    task: u32,
    size: *mut u64,
    offset: u64,
    permission: u32,
    entry: *mut u32,
    parent: u32,
) -> u32 {
    // SAFETY: the caller's promise.
    let wanted = unsafe { size.read() };
    let parent = if parent == 0 { task } else { parent };
    let made = with(task, |task: &Target| {
        let parent = copied(parent)?;
        Ok(task
            .memory()
            .make_entry(parent, wanted, offset, permission)?)
    });
    match made {
        Ok((made, right)) => {
            // SAFETY: the caller's promise.
            unsafe {
                size.write(made);
                entry.write(named(right));
            }
            KernReturn::Success.0
        }
        Err(code) => code.0,
    }
}

/// Puts an array into fresh memory of this task, for the caller to deallocate.
///
/// # Errors
/// When there is no memory.
pub(crate) fn array(items: &[u32]) -> Outcome<*mut u32> {
    let size = size_of_val(items) as u64;
    if size == 0 {
        return Ok(core::ptr::null_mut());
    }
    // SAFETY: anywhere: the kernel picks a range that is not in use.
    let address = unsafe { trap::vm_allocate(0, size, flags::ANYWHERE)? };
    let array = address as *mut u32;
    // SAFETY: fresh memory of that many numbers, aligned to a page, that nobody else knows.
    unsafe { array.copy_from_nonoverlapping(items.as_ptr(), items.len()) };
    Ok(array)
}
