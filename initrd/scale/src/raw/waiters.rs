//! The code of threads that wait and do nothing else, so that very many of them have room.
//!
//! Each is made with the registers that one of these functions answers. It counts what it went on with by words that it
//! shares with whoever made it, and ends.

use libmach::abi::PAGE_SIZE;
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::{self, Shape, options};
use libmach::abi::thread_state::{FIXED_FLAGS, ThreadState};

/// A new thread's registers: it writes to the page at `stack`, waits for a message on `port` until `deadline` at the latest,
/// adds 1 to the word at `done` if one came, and ends.
pub(crate) fn waiter(port: Name, deadline: u64, stack: u64, done: u64) -> ThreadState {
    ThreadState {
        rdi: (options::RECEIVE | options::RECEIVE_TIMEOUT).into(),
        r10: deadline,
        rsp: stack + PAGE_SIZE,
        rdx: port.0.into(),
        ..begins(code::wait as *const (), done)
    }
}

/// The same for one that sends to `port`.
pub(crate) fn sender(port: Name, deadline: u64, stack: u64, done: u64) -> ThreadState {
    let options = options::SEND | options::SEND_TIMEOUT;
    ThreadState {
        rdi: registers::send_word(options, disposition::MAKE_SEND, 0, Shape::SHORT),
        rsi: port.0.into(),
        rdx: 1,
        ..waiter(port, deadline, stack, done)
    }
}

/// A new thread's registers: it waits for a wake of a word that is 0, until `deadline` at the latest, adds 1 to the word at
/// `done`, and ends.
pub(crate) fn sleeper(word: u64, deadline: u64, done: u64) -> ThreadState {
    ThreadState {
        rdi: word,
        rdx: deadline,
        ..begins(code::sleep as *const (), done)
    }
}

/// A new thread's registers: it waits for a semaphore until `deadline` at the latest, adds 1 to the word at `done` if that let
/// it go, else to the one a page behind, and ends.
pub(crate) fn at_semaphore(semaphore: Name, deadline: u64, done: u64) -> ThreadState {
    ThreadState {
        rsi: deadline,
        rdi: semaphore.0.into(),
        ..begins(code::wait_semaphore as *const (), done)
    }
}

/// A new thread's registers: it reads a word, adds 1 to the one at `done`, and ends.
pub(crate) fn reader(word: u64, done: u64) -> ThreadState {
    ThreadState {
        rdi: word,
        ..begins(code::read as *const (), done)
    }
}

/// A new thread's registers: it has the kernel read a word, adds 1 to the one at `done` if there is no such memory, and
/// ends.
pub(crate) fn asker(word: u64, done: u64) -> ThreadState {
    ThreadState {
        rdi: word,
        ..begins(code::ask as *const (), done)
    }
}

/// A new thread's registers: it asks to hear on `notes` when `port` has room, waits for what it hears, adds 1 to the word
/// at `done` if there is room, to the one a page behind if the port has ended, and ends.
pub(crate) fn watcher(port: Name, notes: Name, done: u64) -> ThreadState {
    ThreadState {
        rdi: port.0.into(),
        rbp: notes.0.into(),
        ..begins(code::watch as *const (), done)
    }
}

/// The registers of all: where it begins, and what it counts by.
fn begins(code: *const (), done: u64) -> ThreadState {
    ThreadState {
        rip: code as u64,
        rbx: done,
        rflags: FIXED_FLAGS,
        ..ThreadState::default()
    }
}

/// What they execute.
#[cfg(target_os = "none")]
mod code {
    use libmach::abi::kern_return::KernReturn;
    use libmach::abi::registers::options;
    use libmach::abi::{PAGE_SIZE, notify, trap};

    /// A function of these instructions and the end of the thread, and the constants in them.
    macro_rules! code {
        ($name:ident: $($line:literal,)* ; $($key:ident = const $value:expr,)*) => {
            #[unsafe(naked)]
            pub(super) extern "C" fn $name() -> ! {
                core::arch::naked_asm!(
                    $($line,)*
                    "mov eax, {thread_exit}",
                    "cdqe",
                    "syscall",
                    "ud2",
                    $($key = const $value,)*
                    thread_exit = const trap::THREAD_EXIT as i32,
                )
            }
        };
    }

    code! {
        wait:
            "push rdx",
            "mov eax, {mach_msg}",
            "cdqe",
            "syscall",
            "test eax, eax",
            "jnz 2f",
            "lock inc qword ptr [rbx]",
            "2:",
            ;
            mach_msg = const trap::MACH_MSG as i32,
    }

    code! {
        sleep:
            "mov eax, {futex_wait}",
            "cdqe",
            "xor esi, esi",
            "syscall",
            "lock inc qword ptr [rbx]",
            ;
            futex_wait = const trap::FUTEX_WAIT as i32,
    }

    code! {
        wait_semaphore:
            "mov eax, {semaphore_wait}",
            "cdqe",
            "syscall",
            "test eax, eax",
            "jz 2f",
            "add rbx, {page}",
            "2:",
            "lock inc qword ptr [rbx]",
            ;
            semaphore_wait = const trap::SEMAPHORE_TIMED_WAIT as i32,
            page = const PAGE_SIZE,
    }

    code! {
        read:
            "mov eax, dword ptr [rdi]",
            "lock inc qword ptr [rbx]",
            ;
    }

    code! {
        ask:
            "mov eax, {futex_wait}",
            "cdqe",
            "xor esi, esi",
            "mov rdx, -1",
            "syscall",
            "cmp eax, {memory_error}",
            "jne 2f",
            "lock inc qword ptr [rbx]",
            "2:",
            ;
            futex_wait = const trap::FUTEX_WAIT as i32,
            memory_error = const KernReturn::MemoryError.0,
    }

    code! {
        watch:
            "mov eax, {request}",
            "cdqe",
            "mov esi, {send_possible}",
            "mov edx, 1",
            "mov r10, rbp",
            "syscall",
            "test eax, eax",
            "jnz 4f",
            "mov rdx, rbp",
            "mov eax, {mach_msg}",
            "cdqe",
            "mov edi, {receive}",
            "xor esi, esi",
            "xor r10d, r10d",
            "syscall",
            "test eax, eax",
            "jnz 4f",
            "cmp edx, {send_possible}",
            "je 3f",
            "cmp edx, {dead_name}",
            "jne 4f",
            "add rbx, {page}",
            "3:",
            "lock inc qword ptr [rbx]",
            "4:",
            ;
            request = const trap::PORT_REQUEST_NOTIFICATION as i32,
            send_possible = const notify::SEND_POSSIBLE,
            dead_name = const notify::DEAD_NAME,
            mach_msg = const trap::MACH_MSG as i32,
            receive = const options::RECEIVE,
            page = const PAGE_SIZE,
    }
}

/// The host has no such threads.
#[cfg(not(target_os = "none"))]
mod code {
    pub(super) const fn nothing() {}

    pub(super) use self::{
        nothing as wait, nothing as sleep, nothing as wait_semaphore, nothing as read,
        nothing as ask, nothing as watch,
    };
}
