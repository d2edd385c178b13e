//! Traps that meet nobody, and the one that gives the CPU away.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use libmach::abi::names::Name;
use libmach::abi::trap::switch_option;
use libmach::{thread, trap};

use super::{Bench, Take, WARM_UP, nothing, row};
use crate::samples::{COUNT, Row, Samples};
use crate::{Result, ensure, time};

pub(super) fn all(bench: &Bench, take: Take<'_>) -> Result<()> {
    take(bench.measure("null_trap", nothing, |()| trap::null(), |_, done| Ok(done?)))?;
    let own = trap::task_self()?;
    take(bench.measure(
        "task_self",
        nothing,
        |()| trap::task_self(),
        |_, name| ensure(name? == own, "the task's own port changed its name"),
    ))?;
    take(yields(bench))
}

/// The trap that both threads repeat.
#[inline(always)]
fn give_way() -> trap::Outcome<()> {
    trap::thread_switch(Name::NULL, switch_option::NONE, 0)
}

/// When a thread last gave the CPU away.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// From one thread's yield to the return of the other thread's: one switch.
fn yields(bench: &Bench) -> Result<Row> {
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&done);
    let other = thread::spawn(move || {
        while !seen.load(Relaxed) {
            GIVEN.store(time::start(), Relaxed);
            if give_way().is_err() {
                return;
            }
        }
    })?;
    let mut samples = Samples::with_room(COUNT);
    for round in 0..WARM_UP + COUNT {
        let own = time::start();
        GIVEN.store(own, Relaxed);
        let outcome = give_way();
        let end = time::end();
        outcome?;
        let start = GIVEN.load(Relaxed);
        // The first yields may come before the other thread runs.
        if round >= WARM_UP {
            ensure(start != own, "a yield did not give the CPU away")?;
            samples.push(bench.sample(start, end));
        }
    }
    done.store(true, Relaxed);
    other.join();
    row("yield", samples)
}
