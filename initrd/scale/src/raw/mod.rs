//! What has no safe form: the code of the threads that wait, and memory by its address.
#![allow(unsafe_code, reason = "the operations are the point")]

mod waiters;

use core::sync::atomic::AtomicU32;

use interfaces::task::Task;
use interfaces::vm::Place;
use libmach::abi::PAGE_SIZE;
use libmach::abi::message::Descriptor;
use libmach::abi::names::Name;
use libmach::abi::vm::{flags, inherit, map_flags, protection};
use libmach::{SendRight, trap};

use crate::Result;

pub(crate) use waiters::{asker, at_semaphore, reader, sender, sleeper, waiter, watcher};

/// Memory to read and write, for `vm_map`.
const FRESH: u64 = fresh(inherit::COPY);

const fn fresh(inheritance: u32) -> u64 {
    let rights = (protection::READ | protection::WRITE) as u64;
    rights << map_flags::CURRENT_SHIFT
        | rights << map_flags::MAXIMUM_SHIFT
        | (inheritance as u64) << map_flags::INHERIT_SHIFT
}

/// Pages of this task, given back at the end.
#[derive(Debug)]
pub(crate) struct Pages {
    address: u64,
    count: u64,
}

impl Pages {
    /// Fresh zeroed pages, none of them resident yet.
    pub(crate) fn new(count: u64) -> Result<Self> {
        // SAFETY: anywhere: the kernel picks a range that is not in use.
        let address = unsafe { trap::vm_allocate(0, count * PAGE_SIZE, flags::ANYWHERE)? };
        Ok(Self { address, count })
    }

    /// The same, which tasks that inherit them share.
    pub(crate) fn shared(count: u64) -> Result<Self> {
        const FLAGS: u64 = map_flags::ANYWHERE | fresh(inherit::SHARE);
        // SAFETY: as in `new`.
        let address = unsafe { trap::vm_map(Name::NULL, 0, count * PAGE_SIZE, 0, FLAGS)? };
        Ok(Self { address, count })
    }

    /// Those of a memory entry or memory object, to be read.
    pub(crate) fn of(entry: Name, count: u64) -> Result<Self> {
        const READ: u64 = protection::READ as u64;
        let flags = map_flags::ANYWHERE
            | READ << map_flags::CURRENT_SHIFT
            | READ << map_flags::MAXIMUM_SHIFT;
        // SAFETY: anywhere: the kernel picks a range that is not in use.
        let address = unsafe { trap::vm_map(entry, 0, count * PAGE_SIZE, 0, flags)? };
        Ok(Self { address, count })
    }

    /// The same by large pages, whose number of small ones is a multiple of theirs. They are resident.
    pub(crate) fn large(count: u64) -> Result<Self> {
        const FLAGS: u64 = flags::ANYWHERE | flags::SUPERPAGE_SIZE_2MB;
        // SAFETY: as in `new`.
        let address = unsafe { trap::vm_allocate(0, count * PAGE_SIZE, FLAGS)? };
        Ok(Self { address, count })
    }

    /// Those that a message brought, with the descriptor that it was received with.
    pub(crate) fn brought(found: &Descriptor) -> Self {
        Self {
            address: found.address,
            count: found.size.div_ceil(PAGE_SIZE).max(1),
        }
    }

    /// Fresh zeroed pages from a multiple of so many bytes on.
    pub(crate) fn aligned(count: u64, bytes: u64) -> Result<Self> {
        let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
        let place = Place {
            address: 0,
            size: count * PAGE_SIZE,
            mask: bytes - 1,
        };
        let address = own
            .memory()
            .map_anonymous(place, map_flags::ANYWHERE | FRESH)?;
        Ok(Self { address, count })
    }

    /// Fresh zeroed pages in the place of some of these, all but `edge` at either end.
    pub(crate) fn replace(&self, edge: u64) -> Result<()> {
        let (address, size) = (self.page(edge), (self.count - 2 * edge) * PAGE_SIZE);
        let flags = map_flags::OVERWRITE | FRESH;
        // SAFETY: as in `read`: nothing is assumed of what the pages hold.
        unsafe { trap::vm_map(Name::NULL, address, size, 0, flags)? };
        Ok(())
    }

    /// Where a page begins.
    pub(crate) fn page(&self, index: u64) -> u64 {
        self.address + index % self.count * PAGE_SIZE
    }

    /// A word of 32 bits, by its number.
    pub(crate) fn read_u32(&self, index: u64) -> u32 {
        // SAFETY: as in `read`: `word` lies inside, and any bits are a number.
        unsafe { self.word(index).read_volatile() }
    }

    /// Writes it.
    pub(crate) fn write_u32(&self, index: u64, value: u32) {
        // SAFETY: as in `write`.
        unsafe { self.word(index).write_volatile(value) }
    }

    /// Wakes up to `count` threads that wait for a word; how many it were.
    pub(crate) fn wake(&self, index: u64, count: u32) -> Result<u64> {
        // SAFETY: as in `read`: `word` lies inside, aligned, and is accessed in whole.
        let word = unsafe { AtomicU32::from_ptr(self.word(index)) };
        Ok(trap::futex_wake(word, count)?)
    }

    /// Has up to `count` threads that wait for a word, which is 0, wait for another one; how many it were.
    pub(crate) fn requeue(&self, index: u64, other: u64, count: u32) -> Result<u64> {
        // SAFETY: as in `wake`, of both words.
        let word = |index| unsafe { AtomicU32::from_ptr(self.word(index)) };
        let (_, moved) = trap::futex_requeue((word(index), 0), 0, word(other), count)?;
        Ok(moved.into())
    }

    /// The address of a word of 32 bits.
    pub(crate) fn place(&self, index: u64) -> u64 {
        self.word(index) as u64
    }

    fn word(&self, index: u64) -> *mut u32 {
        let size = self.count * PAGE_SIZE;
        (self.address + index * size_of::<u32>() as u64 % size) as *mut u32
    }

    /// The word at the beginning of a page.
    pub(crate) fn read(&self, page: u64) -> u64 {
        // SAFETY: (1) the page is this value's, mapped and aligned. (2) The kernel or another thread may write it.
        unsafe { (self.page(page) as *const u64).read_volatile() }
    }

    /// Writes it.
    pub(crate) fn write(&self, page: u64, value: u64) {
        // SAFETY: as in `read`; no reference into the pages is ever made.
        unsafe { (self.page(page) as *mut u64).write_volatile(value) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the pages are this value's, and nobody keeps an address of them that is used later.
        let gone = unsafe { trap::vm_deallocate(self.address, self.count * PAGE_SIZE) };
        debug_assert!(gone.is_ok(), "pages are gone already");
    }
}
