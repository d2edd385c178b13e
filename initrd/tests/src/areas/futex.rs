//! Futexes and threads of one task.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use libmach::abi::kern_return::KernReturn;
use libmach::sync::Mutex;
use libmach::{ms, thread, time, trap};

use super::cases;
use crate::case::{Check, World, equal};

cases! { "futex":
    "another value ends the wait at once" => other_value,
    "a wait ends at its deadline" => deadline,
    "a wake without waiters wakes nobody" => nobody,
    "a waiting thread is woken" => woken,
    "a lock lets one thread in at a time" => lock,
}

fn other_value(_: &World) -> Check {
    let word = AtomicU32::new(1);
    let ended = trap::futex_wait(&word, 0, u64::MAX);
    equal("wait", ended, Err(KernReturn::Failure))
}

fn deadline(_: &World) -> Check {
    let word = AtomicU32::new(0);
    let ended = trap::futex_wait(&word, 0, time::deadline(ms(3)));
    equal("wait", ended, Err(KernReturn::OperationTimedOut))
}

fn nobody(_: &World) -> Check {
    let word = AtomicU32::new(0);
    equal("woken", trap::futex_wake(&word, u32::MAX)?, 0)
}

fn woken(_: &World) -> Check {
    let words = Arc::new([const { AtomicU32::new(0) }; 2]);
    let theirs = Arc::clone(&words);
    let other = thread::spawn(move || {
        while theirs[0].load(Ordering::Acquire) == 0 {
            // Whatever ends the wait, the word decides.
            trap::futex_wait(&theirs[0], 0, u64::MAX).unwrap_or_default();
        }
        theirs[1].store(7, Ordering::Release);
    })?;
    words[0].store(1, Ordering::Release);
    trap::futex_wake(&words[0], 1)?;
    other.join();
    equal("the other's word", words[1].load(Ordering::Acquire), 7)
}

fn lock(_: &World) -> Check {
    const THREADS: u64 = 4;
    const TURNS: u64 = 500;
    let count = Arc::new(Mutex::new(0_u64));
    let mut others = Vec::new();
    for _ in 0..THREADS {
        let count = Arc::clone(&count);
        others.push(thread::spawn(move || {
            for turn in 0..TURNS {
                let mut count = count.lock();
                let before = *count;
                if turn % 50 == 0 {
                    // A switch inside the lock, where a second holder would show.
                    trap::thread_switch(libmach::abi::names::Name::NULL, 0, 0).unwrap_or_default();
                }
                *count = before + 1;
            }
        })?);
    }
    others.into_iter().for_each(thread::Join::join);
    equal("count", *count.lock(), THREADS * TURNS)
}
