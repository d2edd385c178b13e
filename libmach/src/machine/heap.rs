//! The heap: a list allocator on memory that `vm_allocate` gives, grown in chunks.
//!
//! It lies in one contiguous range from [`BASE`] upwards; memory never goes back. Pages cost
//! nothing until they are touched, so the chunk is generous.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;

use crate::sync::Mutex;

/// Where the heap begins. Nothing else maps there at fixed addresses.
const BASE: u64 = 0x1000_0000_0000;
/// Bytes by which the heap grows at least.
const CHUNK: u64 = 256 * 1024;

struct Growing(Mutex<Heap>);

#[global_allocator]
static HEAP: Growing = Growing(Mutex::new(Heap::empty()));

// SAFETY: blocks come from `linked_list_allocator`, whose heap is memory that belongs to it alone
// (freshly allocated, never freed), under a lock.
unsafe impl GlobalAlloc for Growing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.0.lock();
        if let Ok(block) = heap.allocate_first_fit(layout) {
            return block.as_ptr();
        }
        if grow(&mut heap, layout).is_none() {
            return null_mut();
        }
        heap.allocate_first_fit(layout)
            .map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got it from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) }
        }
    }
}

/// Makes room for one block of `layout` at the end of the heap.
fn grow(heap: &mut Heap, layout: Layout) -> Option<()> {
    let wanted = (layout.size() as u64)
        .checked_add(layout.align() as u64)?
        .checked_add(64)?;
    let size = wanted.checked_next_multiple_of(CHUNK)?;
    let end = BASE + heap.size() as u64;
    // SAFETY: the range above the heap's end belongs to the heap; the kernel refuses it when taken.
    unsafe { crate::trap::vm_allocate(end, size, abi::vm::flags::FIXED).ok()? };
    if heap.size() == 0 {
        // SAFETY: the memory was just allocated, nothing else knows it, and it stays.
        unsafe { heap.init(BASE as *mut u8, size as usize) };
    } else {
        // SAFETY: the memory was just allocated directly behind the heap.
        unsafe { heap.extend(size as usize) };
    }
    Some(())
}
