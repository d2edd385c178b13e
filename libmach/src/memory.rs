//! Memory that came out of line, or that the task allocated: owned, whole pages, unmapped on drop.
//! A [`View`] is a memory entry that others may hold too, so that it is only copied from.

use core::fmt;
use core::ops::{Deref, DerefMut};

use abi::PAGE_SIZE;
use abi::names::Name;
use abi::transport::{Interface, Result};
use abi::vm::{inherit, map_flags, protection};
use interfaces::memory::Entry;
use interfaces::task::Task;
use interfaces::vm::Vm;

use crate::blocking::Blocking;
use crate::rights::SendRight;

use crate::{ignore, trap};

/// A region of this task's address space that nobody else uses.
pub struct Memory {
    address: u64,
    size: usize,
}

impl Memory {
    /// No bytes.
    pub const EMPTY: Self = Self {
        address: 0,
        size: 0,
    };

    /// Fresh zeroed memory of `size` bytes, rounded up to pages when it is unmapped.
    ///
    /// # Errors
    /// When the task has no room or no pages left.
    pub fn new(size: usize) -> Result<Self> {
        if size == 0 {
            return Ok(Self { address: 0, size });
        }
        // SAFETY: anywhere: the kernel picks a range that is not in use.
        let address = unsafe { trap::vm_allocate(0, size as u64, abi::vm::flags::ANYWHERE)? };
        Ok(Self { address, size })
    }

    /// Takes ownership of `size` bytes at `address`.
    ///
    /// # Safety
    /// The pages that hold the range are mapped for reading and writing, are not shared with
    /// another task, and nothing else in this one uses or unmaps them.
    pub(crate) const unsafe fn from_raw(address: u64, size: usize) -> Self {
        Self { address, size }
    }

    /// Gives ownership up: address and size.
    pub(crate) const fn into_raw(self) -> (u64, usize) {
        let raw = (self.address, self.size);
        core::mem::forget(self);
        raw
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: the range belongs to this value, is mapped, and any byte is a `u8`.
        unsafe { core::slice::from_raw_parts(self.address as *const u8, self.size) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.size == 0 {
            return &mut [];
        }
        // SAFETY: as for `deref`, and `&mut self` is the only way to it.
        unsafe { core::slice::from_raw_parts_mut(self.address as *mut u8, self.size) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.size > 0 {
            let start = self.address / PAGE_SIZE * PAGE_SIZE;
            let end = (self.address + self.size as u64).next_multiple_of(PAGE_SIZE);
            // SAFETY: the pages belong to this value (`from_raw`), which ends here. It fails only
            // when they are not mapped, which is what was wanted.
            ignore(unsafe { trap::vm_deallocate(start, end - start) });
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:#x}, {} bytes)", self.address, self.size)
    }
}

/// The memory of a task whose port is held.
impl SendRight<dyn Task> {
    /// The memory calls of the task's port.
    pub fn memory(&self) -> <dyn Vm as Interface>::Client<Blocking<&Self>> {
        <dyn Vm>::client(Blocking::new(self))
    }

    /// Copies bytes of the task's memory.
    ///
    /// # Errors
    /// [`InvalidAddress`](abi::kern_return::KernReturn::InvalidAddress) where nothing is mapped,
    /// [`ProtectionFailure`](abi::kern_return::KernReturn::ProtectionFailure) where it may not be read.
    pub fn read_memory(&self, address: u64, to: &mut [u8]) -> Result<()> {
        let into = to.as_mut_ptr() as u64;
        // The kernel writes to what this call alone may write, and any bytes are `u8`s.
        self.memory()
            .read_overwrite(address, to.len() as u64, into)
            .map(|_| ())
    }

    /// Copies bytes into the task's memory.
    ///
    /// # Errors
    /// [`InvalidAddress`](abi::kern_return::KernReturn::InvalidAddress) where nothing is mapped,
    /// [`ProtectionFailure`](abi::kern_return::KernReturn::ProtectionFailure) where it may not be written,
    /// [`ResourceShortage`](abi::kern_return::KernReturn::ResourceShortage) for more than 1 MiB.
    pub fn write_memory(&self, address: u64, bytes: &[u8]) -> Result<()> {
        self.memory().write(address, bytes)
    }
}

/// A memory entry mapped for reading.
///
/// Somebody else may write to the memory at any time: no reference into it is ever made, and bytes
/// are copied out one by one.
#[derive(Debug)]
pub struct View {
    address: u64,
    size: u64,
}

impl View {
    /// Maps all of `entry`.
    ///
    /// # Errors
    /// When the entry may not be read, or the task has no room.
    pub fn new(entry: &SendRight<dyn Entry>) -> Result<Self> {
        let (size, _) = entry.client().bounds()?;
        let flags = map_flags::ANYWHERE
            | u64::from(protection::READ) << map_flags::CURRENT_SHIFT
            | u64::from(protection::READ) << map_flags::MAXIMUM_SHIFT
            | u64::from(inherit::NONE) << map_flags::INHERIT_SHIFT;
        let name: Name = entry.name();
        // SAFETY: anywhere: the kernel picks a range that is not in use.
        let address = unsafe { trap::vm_map(name, 0, size, 0, flags)? };
        Ok(Self { address, size })
    }

    /// Bytes of the entry.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Copies the bytes from `offset` on to `to`; says whether they all lie in the entry. Otherwise
    /// `to` is unchanged.
    pub fn read(&self, offset: u64, to: &mut [u8]) -> bool {
        let end = offset.checked_add(to.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return false;
        }
        for (address, byte) in (self.address + offset..).zip(to) {
            // SAFETY: (1) the address lies in the mapping, which lives as long as `self`. (2) A
            // volatile read: the byte may change under it. (3) Any byte is a `u8`.
            *byte = unsafe { (address as *const u8).read_volatile() };
        }
        true
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the range belongs to this value, which ends here. It fails only when it is not
        // mapped, which is what was wanted.
        ignore(unsafe { trap::vm_deallocate(self.address, self.size) });
    }
}
