//! The kernel's stand-in under `cargo test`: ports and messages between threads of one process.
//!
//! Tasks are port spaces, each with its threads ([`Task::spawn`]); a test's own thread gets a space
//! of its own when it first traps. Everything above the traps (rights, stubs, servers) runs
//! unchanged. One lock, one condition variable: right before fast.
//!
//! Faithful: names with generations, user references, coalescing of send rights, send, send-once,
//! receive and dead names, sets, queue limits, labels, reply slot, moved rights, notifications
//! (send-once, no-senders, dead-name, port-destroyed), peeking, timers, memory out of line (copied), death
//! of a task at any moment. Absent: kernel objects, scheduling, page protection, other thread's
//! aborts, limits; such a trap answers `NotSupported`.

mod copy;
mod memory;
mod message;
mod names;
mod ports;
mod task;
mod world;

pub use names::Names;
pub use task::{Parcel, Task, context, give};
pub(crate) use task::{exit, spawn_thread};

use core::sync::atomic::AtomicU32;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use abi::kern_return::KernReturn;
use abi::trap as number;

use crate::trap::Registers;
use world::World;

static WORLD: Mutex<World> = Mutex::new(World::new());
static CHANGED: Condvar = Condvar::new();

/// The one lock. A test that panicked while it held it does not concern the others.
fn world() -> MutexGuard<'static, World> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for any change, or until `until` (absolute ns).
fn wait(guard: MutexGuard<'static, World>, until: u64) -> MutexGuard<'static, World> {
    // Bounded, so that a missed wake-up shows as slowness and not as a hang.
    let limit = Duration::from_nanos(until.saturating_sub(now())).min(Duration::from_secs(1));
    match CHANGED.wait_timeout(guard, limit) {
        Ok((guard, _)) => guard,
        Err(poisoned) => poisoned.into_inner().0,
    }
}

fn now() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The calling thread's message buffer.
pub(crate) fn buffer() -> *mut u8 {
    task::buffer()
}

/// Where the calling thread keeps its receive right for answers.
pub(crate) fn reply_port() -> &'static std::thread::LocalKey<core::cell::Cell<abi::names::Name>> {
    &task::REPLY
}

/// See [`crate::trap::mach_msg`].
///
/// # Safety
/// As there.
pub(crate) unsafe fn mach_msg(registers: Registers) -> (u32, Registers) {
    message::mach_msg(&registers)
}

/// See [`crate::trap::raw`].
///
/// # Safety
/// As there.
pub(crate) unsafe fn trap(trap: i64, arguments: [u64; 6]) -> (u64, u64) {
    let [a, b, c, ..] = arguments;
    let result = match trap {
        number::NULL => Ok(0),
        number::CLOCK => Ok(now()),
        number::WAIT_UNTIL => {
            std::thread::sleep(Duration::from_nanos(a.saturating_sub(now())));
            Ok(0)
        }
        number::THREAD_SWITCH | number::SWTCH | number::SWTCH_PRI => {
            std::thread::yield_now();
            Ok(0)
        }
        number::FUTEX_WAIT => {
            // SAFETY: `crate::trap::futex_wait` passes the address of an `AtomicU32` that it
            // borrows; whoever uses `raw` promised as much.
            let word = unsafe { AtomicU32::from_ptr(a as *mut u32) };
            futex_wait(word, b as u32, c)
        }
        // Who wakes without need looks at the word again.
        number::FUTEX_REQUEUE => {
            let _world = world();
            CHANGED.notify_all();
            Ok(0)
        }
        number::FUTEX_WAKE => {
            let _world = world();
            CHANGED.notify_all();
            Ok(b)
        }
        number::VM_ALLOCATE => memory::allocate(a, b, c),
        // SAFETY: the caller of the trap promised that nothing uses the range any more.
        number::VM_DEALLOCATE => unsafe { memory::deallocate(a, b) },
        _ => {
            let result = ports::trap(&mut task::enter(), trap, arguments);
            CHANGED.notify_all();
            result
        }
    };
    match result {
        Ok(value) => (0, value),
        Err(code) => (u64::from(code.0), 0),
    }
}

fn futex_wait(word: &AtomicU32, expected: u32, deadline: u64) -> Result<u64, KernReturn> {
    let guard = world();
    if word.load(core::sync::atomic::Ordering::SeqCst) != expected {
        return Err(KernReturn::Failure);
    }
    drop(wait(guard, deadline));
    if now() >= deadline {
        Err(KernReturn::OperationTimedOut)
    } else {
        Ok(0)
    }
}

/// What a program's host build does when run: says why it does nothing.
pub fn refuse_main<E>(_main: fn(crate::Context) -> Result<(), E>) -> std::process::ExitCode {
    std::eprintln!("error: this program runs on MelloOS\ntry: cargo xtask run");
    std::process::ExitCode::from(2)
}
