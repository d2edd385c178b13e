//! Futexes and threads of one task.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use interfaces::task::Task;
use libmach::abi::kern_return::KernReturn;
use libmach::abi::trace::wait;
use libmach::abi::vm::protection;
use libmach::sync::Mutex;
use libmach::{SendRight, ms, thread, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::child::Child;
use crate::raw::{self, Words};

cases! { "futex":
    "another value ends the wait at once" => other_value,
    "a wait ends at its deadline" => deadline,
    "a wake without waiters wakes nobody" => nobody,
    "a waiting thread is woken" => woken,
    "who waits is moved to another word" => moved,
    "a lock lets one thread in at a time" => lock,
    "a word in memory that two tasks share is one word" => between_tasks,
    "a word is the same at each address of its memory" => two_addresses,
    "a word in a private copy is another one" => private,
}

fn other_value(_: &World) -> Check {
    let word = AtomicU32::new(1);
    let ended = trap::futex_wait(&word, 0, u64::MAX);
    equal("wait", ended, Err(KernReturn::Failure))
}

// covers: K-05
fn moved(_: &World) -> Check {
    let words = Arc::new([const { AtomicU32::new(0) }; 3]);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let theirs = Arc::clone(&words);
            thread::spawn(move || {
                if trap::futex_wait(&theirs[0], 0, u64::MAX).is_ok() {
                    theirs[2].fetch_add(1, Ordering::AcqRel);
                }
            })
        })
        .collect::<Result<_, _>>()?;
    let other = trap::futex_requeue((&words[0], 1), 3, &words[1], 0);
    equal("with another value", other, Err(KernReturn::Failure))?;
    // Each comes to the first word some time, and is moved then; nobody wakes meanwhile.
    let (end, mut count) = (time::deadline(ms(10_000)), 0);
    while count < 3 {
        count += trap::futex_requeue((&words[0], 0), 0, &words[1], u32::MAX)?.1;
        check!(time::now() < end, "{count} threads came");
        time::sleep(ms(1));
    }
    equal("woken", trap::futex_wake(&words[0], u32::MAX)?, 0)?;
    equal("went on", words[2].load(Ordering::Acquire), 0)?;
    equal("woken then", trap::futex_wake(&words[1], u32::MAX)?, 3)?;
    for waiter in waiters {
        waiter.join();
    }
    equal("went on then", words[2].load(Ordering::Acquire), 3)
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

/// Waits for a word of the page, or of what lies at an address.
extern "C" fn waits(page: &Words, address: u64) {
    let word = match address {
        0 => page.half(0),
        _ => raw::words(address).half(0),
    };
    let ended = trap::futex_wait(word, 0, u64::MAX);
    page.set(1, 1 + u64::from(ended.is_err()));
}

// covers: K-05
fn between_tasks(_: &World) -> Check {
    let child = Child::new(waits, 0)?;
    child.run()?;
    child.until_it_waits(wait::FUTEX)?;
    equal("woken", trap::futex_wake(child.page.half(0), u32::MAX)?, 1)?;
    child.until(1, 1)
}

// covers: K-05
fn two_addresses(_: &World) -> Check {
    const BOTH: u32 = protection::READ | protection::WRITE;
    let child = Child::new(waits, 0)?;
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let entry = own.client().make_entry(child.page.address(), 4096, BOTH)?;
    let other = raw::map(entry.name(), 4096)?;
    check!(other != child.page.address(), "it lies where it lay");
    child.run()?;
    child.until_it_waits(wait::FUTEX)?;
    raw::words(other).set(0, 1);
    equal("the word", child.page.get(0), 1)?;
    equal(
        "woken",
        trap::futex_wake(raw::words(other).half(0), u32::MAX)?,
        1,
    )?;
    child.until(1, 1)?;
    Ok(raw::deallocate(other, 4096)?)
}

// covers: K-05
fn private(_: &World) -> Check {
    let memory = raw::allocate(4096)?;
    raw::words(memory).set(0, 0);
    let child = Child::new(waits, memory)?;
    child.run()?;
    child.until_it_waits(wait::FUTEX)?;
    // Written here, the pages part, if they had not already.
    raw::words(memory).set(8, 1);
    let word = raw::words(memory).half(0);
    equal("woken", trap::futex_wake(word, u32::MAX)?, 0)?;
    child.until_it_waits(wait::FUTEX)?;
    child.thread.client().abort()?;
    child.until(1, 2)?;
    Ok(raw::deallocate(memory, 4096)?)
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
