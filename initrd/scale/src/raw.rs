//! What has no safe form: the code of the threads that wait, and memory by its address.
//!
//! Threads that wait for a message or for a word do nothing else, so that very many of them have room.
#![allow(unsafe_code, reason = "the operations are the point")]

use core::sync::atomic::AtomicU32;

use interfaces::task::Task;
use interfaces::vm::Place;
use libmach::abi::message::Descriptor;
use libmach::abi::names::Name;
use libmach::abi::vm::{flags, inherit, map_flags, protection};
use libmach::abi::{PAGE_SIZE, thread_state::ThreadState};
use libmach::{SendRight, trap};

use crate::Result;

/// Memory to read and write, for `vm_map`.
const FRESH: u64 = {
    let rights = (protection::READ | protection::WRITE) as u64;
    rights << map_flags::CURRENT_SHIFT
        | rights << map_flags::MAXIMUM_SHIFT
        | (inherit::COPY as u64) << map_flags::INHERIT_SHIFT
};

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

    /// Those of a memory entry, to be read.
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

/// A new thread's registers: it writes to the page at `stack`, waits for a message on `port`, adds 1 to the word at
/// `done` if one came, and ends.
#[cfg(target_os = "none")]
pub(crate) fn waiter(port: Name, stack: u64, done: u64) -> ThreadState {
    ThreadState {
        rip: wait as *const () as u64,
        rsp: stack + PAGE_SIZE,
        rdx: port.0.into(),
        rbx: done,
        rflags: libmach::abi::thread_state::FIXED_FLAGS,
        ..ThreadState::default()
    }
}

#[cfg(target_os = "none")]
#[unsafe(naked)]
extern "C" fn wait() -> ! {
    core::arch::naked_asm!(
        "push rdx",
        "mov eax, {mach_msg}",
        "cdqe",
        "mov edi, {receive}",
        "xor esi, esi",
        "xor r10d, r10d",
        "syscall",
        "test eax, eax",
        "jnz 2f",
        "lock inc qword ptr [rbx]",
        "2:",
        "mov eax, {thread_exit}",
        "cdqe",
        "syscall",
        "ud2",
        mach_msg = const libmach::abi::trap::MACH_MSG as i32,
        receive = const libmach::abi::registers::options::RECEIVE,
        thread_exit = const libmach::abi::trap::THREAD_EXIT as i32,
    )
}

/// A new thread's registers: it waits for a wake of a word that is 0, adds 1 to the word at `done`, and ends.
#[cfg(target_os = "none")]
pub(crate) fn sleeper(word: u64, done: u64) -> ThreadState {
    ThreadState {
        rip: sleep as *const () as u64,
        rdi: word,
        rbx: done,
        rflags: libmach::abi::thread_state::FIXED_FLAGS,
        ..ThreadState::default()
    }
}

#[cfg(target_os = "none")]
#[unsafe(naked)]
extern "C" fn sleep() -> ! {
    core::arch::naked_asm!(
        "mov eax, {futex_wait}",
        "cdqe",
        "xor esi, esi",
        "mov rdx, -1",
        "syscall",
        "lock inc qword ptr [rbx]",
        "mov eax, {thread_exit}",
        "cdqe",
        "syscall",
        "ud2",
        futex_wait = const libmach::abi::trap::FUTEX_WAIT as i32,
        thread_exit = const libmach::abi::trap::THREAD_EXIT as i32,
    )
}

/// A new thread's registers: it waits for a semaphore, adds 1 to the word at `done` if that let it go, else to the one a
/// page behind, and ends.
#[cfg(target_os = "none")]
pub(crate) fn at_semaphore(semaphore: Name, done: u64) -> ThreadState {
    ThreadState {
        rip: wait_semaphore as *const () as u64,
        rdi: semaphore.0.into(),
        rbx: done,
        rflags: libmach::abi::thread_state::FIXED_FLAGS,
        ..ThreadState::default()
    }
}

#[cfg(target_os = "none")]
#[unsafe(naked)]
extern "C" fn wait_semaphore() -> ! {
    core::arch::naked_asm!(
        "mov eax, {semaphore_wait}",
        "cdqe",
        "syscall",
        "test eax, eax",
        "jz 2f",
        "add rbx, {page}",
        "2:",
        "lock inc qword ptr [rbx]",
        "mov eax, {thread_exit}",
        "cdqe",
        "syscall",
        "ud2",
        semaphore_wait = const libmach::abi::trap::SEMAPHORE_WAIT as i32,
        page = const PAGE_SIZE,
        thread_exit = const libmach::abi::trap::THREAD_EXIT as i32,
    )
}

/// The host has no such threads.
#[cfg(not(target_os = "none"))]
pub(crate) fn waiter(_: Name, _: u64, _: u64) -> ThreadState {
    ThreadState::default()
}

/// Nor these.
#[cfg(not(target_os = "none"))]
pub(crate) fn at_semaphore(_: Name, _: u64) -> ThreadState {
    ThreadState::default()
}

/// Nor these.
#[cfg(not(target_os = "none"))]
pub(crate) fn sleeper(_: u64, _: u64) -> ThreadState {
    ThreadState::default()
}
