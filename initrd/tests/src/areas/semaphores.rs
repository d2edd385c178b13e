//! Semaphores, by their traps and by their port, within a task and between two.

use interfaces::semaphore::Semaphore;
use interfaces::task::Task;
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::names::Name;
use libmach::abi::semaphore::policy;
use libmach::abi::trace::wait;
use libmach::abi::trap as number;
use libmach::{Error, SendRight, ms, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::child::Child;
use crate::raw::{self, Words};

cases! { "semaphores":
    "signals are counted, and a wait takes one" => counted,
    "a wait ends at its deadline, or is none" => timed,
    "another task waits and is let go" => between_tasks,
    "one thread is let go out of its turn" => one_thread,
    "by priority, the highest that waits is let go" => by_priority,
    "a signal and a wait in one pass the turn to and fro" => ping_pong,
    "who waits when a semaphore is destroyed is told" => destroyed,
    "what is no semaphore is refused" => refused,
}

fn new(value: u32) -> Check<SendRight<dyn Semaphore>> {
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    Ok(own.client().semaphore_create(0, value)?)
}

const fn n(name: Name) -> u64 {
    name.0 as u64
}

/// A trap on one semaphore.
fn on(number: i64, semaphore: &SendRight<dyn Semaphore>) -> K {
    raw::semaphore(number, [n(semaphore.name()), 0, 0])
}

/// A wait that ends at once.
fn poll(semaphore: &SendRight<dyn Semaphore>) -> K {
    let arguments = [n(semaphore.name()), 0, 0];
    raw::semaphore(number::SEMAPHORE_TIMED_WAIT, arguments)
}

// covers: K-03
fn counted(_: &World) -> Check {
    let semaphore = new(1)?;
    equal(
        "a wait that was paid for",
        on(number::SEMAPHORE_WAIT, &semaphore),
        K::Success,
    )?;
    equal("the next one", poll(&semaphore), K::OperationTimedOut)?;
    equal(
        "signal",
        on(number::SEMAPHORE_SIGNAL, &semaphore),
        K::Success,
    )?;
    semaphore.client().signal()?;
    for _ in 0..2 {
        equal(
            "a wait after a signal",
            on(number::SEMAPHORE_WAIT, &semaphore),
            K::Success,
        )?;
    }
    equal(
        "signal all",
        on(number::SEMAPHORE_SIGNAL_ALL, &semaphore),
        K::Success,
    )?;
    equal(
        "a wait after all for nobody",
        poll(&semaphore),
        K::OperationTimedOut,
    )
}

// covers: K-03
fn timed(_: &World) -> Check {
    let semaphore = new(0)?;
    let until = time::deadline(ms(3));
    let arguments = [n(semaphore.name()), until, 0];
    let ended = raw::semaphore(number::SEMAPHORE_TIMED_WAIT, arguments);
    equal("wait", ended, K::OperationTimedOut)?;
    check!(time::now() >= until, "it ended before its time");
    Ok(())
}

/// Waits under a name and writes down how each wait ended.
extern "C" fn waits(page: &Words, name: u64) {
    for turn in 1.. {
        let code = raw::semaphore(number::SEMAPHORE_WAIT, [name, 0, 0]);
        page.set(0, code.0.into());
        page.set(1, turn);
        if code != K::Success {
            return;
        }
    }
}

/// A child that waits for a semaphore of this task's.
fn waiter(semaphore: &SendRight<dyn Semaphore>) -> Check<Child> {
    // The name that a fresh task gives first is the same in each.
    let probe = Child::new(waits, 0)?;
    let name = probe.give(semaphore.duplicate()?)?;
    drop(probe);
    let child = Child::new(waits, n(name))?;
    equal("name", child.give(semaphore.duplicate()?)?, name)?;
    child.run()?;
    child.until_it_waits(wait::SEMAPHORE)?;
    Ok(child)
}

// covers: K-03
fn between_tasks(_: &World) -> Check {
    let semaphore = new(0)?;
    let child = waiter(&semaphore)?;
    equal(
        "signal",
        on(number::SEMAPHORE_SIGNAL, &semaphore),
        K::Success,
    )?;
    child.until(1, 1)?;
    child.until_it_waits(wait::SEMAPHORE)?;
    semaphore.client().signal_all()?;
    child.until(1, 2)?;
    child.until_it_waits(wait::SEMAPHORE)?;
    // Its task's end takes the waiter away: the next signal is for the next wait.
    child.task.client().terminate()?;
    child.until_gone()?;
    semaphore.client().signal()?;
    equal(
        "a wait of this task",
        on(number::SEMAPHORE_WAIT, &semaphore),
        K::Success,
    )
}

// covers: K-03
fn one_thread(_: &World) -> Check {
    let semaphore = new(0)?;
    let [first, second] = [waiter(&semaphore)?, waiter(&semaphore)?];
    let signal = [n(semaphore.name()), n(second.thread.name()), 0];
    let code = raw::semaphore(number::SEMAPHORE_SIGNAL_THREAD, signal);
    equal("signal of the second", code, K::Success)?;
    second.until(1, 1)?;
    equal("turns of the first", first.page.get(1), 0)?;
    first.until_it_waits(wait::SEMAPHORE)?;
    let own = SendRight::from_name(trap::thread_self()?);
    let refused = semaphore.client().signal_thread(own);
    let code = refused.map_err(Error::from);
    equal(
        "signal of who does not wait",
        code,
        Err(Error::Code(K::NotWaiting)),
    )
}

// covers: K-03
fn by_priority(_: &World) -> Check {
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let semaphore = own.client().semaphore_create(policy::FIXED_PRIORITY, 0)?;
    let [low, high] = [waiter(&semaphore)?, waiter(&semaphore)?];
    low.thread.client().set_priority(20, 1)?;
    high.thread.client().set_priority(25, 1)?;
    // Who comes back waits behind nobody: it goes again.
    for turn in 1..=2 {
        semaphore.client().signal()?;
        high.until(1, turn)?;
        high.until_it_waits(wait::SEMAPHORE)?;
        equal("turns of the other one", low.page.get(1), 0)?;
    }
    low.thread.client().set_priority(26, 1)?;
    semaphore.client().signal()?;
    low.until(1, 1)?;
    equal("turns of the first one", high.page.get(1), 2)
}

/// Takes its turns: word 0 counts them, words 1 and 2 are what it calls the two semaphores.
extern "C" fn takes_turns(page: &Words, turns: u64) {
    let [own, other] = [page.get(1), page.get(2)];
    let mut code = raw::semaphore(number::SEMAPHORE_WAIT, [own, 0, 0]);
    for _ in 0..turns {
        if code != K::Success {
            return;
        }
        page.set(0, page.get(0) + 1);
        code = raw::semaphore(number::SEMAPHORE_WAIT_SIGNAL, [own, other, 0]);
    }
}

// covers: K-03
fn ping_pong(_: &World) -> Check {
    const TURNS: u64 = 100;
    let [ping, pong] = [new(0)?, new(0)?];
    let child = Child::new(takes_turns, TURNS)?;
    child.page.set(1, n(child.give(ping.duplicate()?)?));
    child.page.set(2, n(child.give(pong.duplicate()?)?));
    child.run()?;
    child.until_it_waits(wait::SEMAPHORE)?;
    for turn in 1..=TURNS {
        let both = [n(pong.name()), n(ping.name()), time::deadline(ms(10_000))];
        let code = raw::semaphore(number::SEMAPHORE_TIMED_WAIT_SIGNAL, both);
        equal("wait for the other's signal", code, K::Success)?;
        equal("turns", child.page.get(0), turn)?;
    }
    Ok(())
}

// covers: K-03
fn destroyed(_: &World) -> Check {
    let semaphore = new(0)?;
    let child = waiter(&semaphore)?;
    semaphore.client().destroy()?;
    child.until_gone()?;
    equal(
        "how the wait ended",
        child.page.get(0),
        K::Terminated.0.into(),
    )?;
    let code = on(number::SEMAPHORE_SIGNAL, &semaphore);
    check!(code != K::Success, "a destroyed semaphore is signalled");
    Ok(())
}

// covers: K-03
fn refused(_: &World) -> Check {
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let invalid = Some(Error::Code(K::InvalidArgument));
    equal("policy", own.client().semaphore_create(2, 0).err(), invalid)?;
    equal(
        "value",
        own.client().semaphore_create(0, 1 << 31).err(),
        invalid,
    )?;
    for number in [
        number::SEMAPHORE_WAIT,
        number::SEMAPHORE_SIGNAL,
        number::SEMAPHORE_SIGNAL_ALL,
        number::SEMAPHORE_TIMED_WAIT,
    ] {
        for name in [0, n(own.name()), u64::from(u32::MAX)] {
            let code = raw::semaphore(number, [name, 0, 0]);
            check!(code != K::Success, "trap {number} on {name:#x} succeeds");
        }
    }
    Ok(())
}
