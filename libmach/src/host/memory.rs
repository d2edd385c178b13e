//! Pages: the host's allocator stands in for `vm_allocate`.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::flags;

/// What was allocated: address and bytes.
static REGIONS: Mutex<BTreeMap<u64, usize>> = Mutex::new(BTreeMap::new());

fn regions() -> std::sync::MutexGuard<'static, BTreeMap<u64, usize>> {
    REGIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, PAGE_SIZE as usize).ok()
}

pub(super) fn allocate(_hint: u64, size: u64, flag: u64) -> Result<u64, KernReturn> {
    if flag != flags::ANYWHERE {
        return Err(KernReturn::NotSupported);
    }
    if size == 0 {
        return Ok(0);
    }
    let size = size
        .checked_next_multiple_of(PAGE_SIZE)
        .ok_or(KernReturn::InvalidArgument)?;
    let size = usize::try_from(size).map_err(|_| KernReturn::InvalidArgument)?;
    let layout = layout(size).ok_or(KernReturn::NoSpace)?;
    // SAFETY: the size is not zero.
    let address = unsafe { alloc_zeroed(layout) } as u64;
    if address == 0 {
        return Err(KernReturn::ResourceShortage);
    }
    regions().insert(address, size);
    Ok(address)
}

/// Frees a region that [`allocate`] made; of anything else it says that it is not mapped.
///
/// # Safety
/// Nothing uses the region any more.
pub(super) unsafe fn deallocate(address: u64, size: u64) -> Result<u64, KernReturn> {
    let mut regions = regions();
    match regions.get(&address) {
        Some(found) if *found as u64 == size.next_multiple_of(PAGE_SIZE) => {}
        _ => return Err(KernReturn::InvalidAddress),
    }
    let Some((size, layout)) = regions
        .remove(&address)
        .and_then(|size| Some((size, layout(size)?)))
    else {
        return Err(KernReturn::InvalidAddress);
    };
    debug_assert!(size > 0);
    // SAFETY: (1) the region came from `alloc_zeroed` with this layout and was not freed: it was in
    // the map. (2) The caller promised that nothing uses it.
    unsafe { dealloc(address as *mut u8, layout) };
    Ok(0)
}

/// A copy of memory that a message lends.
///
/// # Safety
/// The range is readable.
pub(super) unsafe fn read(address: u64, size: u64) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(address as *const u8, size as usize) }.to_vec()
}

/// A fresh region with this content, for a receiver.
pub(super) fn deliver(content: &[u8]) -> u64 {
    let Ok(address) = allocate(0, content.len() as u64, flags::ANYWHERE) else {
        return 0;
    };
    if !content.is_empty() {
        // SAFETY: the region was just allocated with at least this size, and nobody else knows it.
        unsafe {
            (address as *mut u8).copy_from_nonoverlapping(content.as_ptr(), content.len());
        }
    }
    address
}
