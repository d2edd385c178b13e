//! Several CPUs. With one, there is nothing to say.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use interfaces::echo::Echo;
use interfaces::host::Host;
use libmach::abi::PAGE_SIZE;
use libmach::abi::names::Name;
use libmach::{SendRight, ms, thread, time, trap};

use super::cases;
use crate::case::{Check, Verdict, World, check, equal};
use crate::raw;

cases! { "cpus":
    "threads run on every CPU at once" => every_cpu,
    "memory comes and goes while another thread runs" => shared_memory,
    "what one thread writes to memory that another one replaces goes nowhere else" => replaced,
    "calls are answered on both sides of a CPU's border" => calls,
    "an unmapping interrupts CPUs that run its task, and no others" => shootdowns,
}

/// Pages that are mapped and unmapped at once, and how often.
const PAGES: u64 = 200;
const TURNS: u64 = 50;
/// Steps of such an unmapping at the most.
const STEPS: u64 = 10;

/// How many CPUs run; skips when it is one.
fn several() -> Check<u32> {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    match host.client().info()?.cpus {
        0 | 1 => Err(Verdict::Skipped("one CPU".into())),
        cpus => Ok(cpus),
    }
}

/// Runs `turn` in `count` threads until it says that it is enough or ten seconds are over.
fn together(count: u32, turn: impl Fn() -> bool + Send + Sync + 'static) -> Check {
    let turn = Arc::new(turn);
    let end = time::deadline(ms(10_000));
    let mut threads = Vec::new();
    for _ in 0..count {
        let turn = Arc::clone(&turn);
        threads.push(thread::spawn(move || {
            while !turn() && time::now() < end {
                core::hint::spin_loop();
            }
        })?);
    }
    threads.into_iter().for_each(thread::Join::join);
    Ok(())
}

fn every_cpu(_: &World) -> Check {
    let cpus = several()?.min(64);
    let seen = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&seen);
    together(cpus, move || {
        theirs.fetch_or(1 << (raw::cpu() % 64), Ordering::Relaxed);
        theirs.load(Ordering::Relaxed).count_ones() >= cpus
    })?;
    equal(
        "CPUs that ran user code",
        seen.load(Ordering::Relaxed).count_ones(),
        cpus,
    )
}

fn shared_memory(_: &World) -> Check {
    several()?;
    let word = Arc::new([const { AtomicU32::new(0) }; 2]);
    let theirs = Arc::clone(&word);
    // One maps and unmaps, so that translations come and go under both, the other counts.
    let other = thread::spawn(move || {
        while theirs[0].load(Ordering::Relaxed) == 0 {
            theirs[1].fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let end = time::deadline(ms(10_000));
    while word[1].load(Ordering::Relaxed) == 0 && time::now() < end {
        time::sleep(ms(1));
    }
    let mut outcome = Ok(());
    for turn in 0..200_u32 {
        outcome = raw::allocate(4096).and_then(|address| {
            raw::poke(address, 4096, turn as u8);
            raw::deallocate(address, 4096)
        });
        if outcome.is_err() {
            break;
        }
    }
    word[0].store(1, Ordering::Relaxed);
    other.join();
    outcome?;
    check!(
        word[1].load(Ordering::Relaxed) > 0,
        "the other thread never ran"
    );
    Ok(())
}

/// Pages that are written to and replaced at once, and how often.
const REPLACED: u64 = 8;
const REPLACEMENTS: u64 = 300;

/// Pages that were replaced are somebody's soon: the fresh ones behind the same addresses, and those of another range.
fn replaced(_: &World) -> Check {
    several()?;
    let size = REPLACED * PAGE_SIZE;
    let address = raw::allocate(size)?;
    let words = Arc::new([const { AtomicU64::new(0) }; 2]);
    let theirs = Arc::clone(&words);
    let writer = thread::spawn(move || {
        while theirs[0].load(Ordering::Relaxed) == 0 {
            for page in 0..REPLACED {
                raw::poke(address + page * PAGE_SIZE, 8, 0xff);
            }
            theirs[1].fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let outcome = replace(address, size, &words[1]);
    words[0].store(1, Ordering::Relaxed);
    writer.join();
    raw::deallocate(address, size)?;
    outcome
}

/// Replaces memory, and looks whether new memory is what it was made, while `rounds` counts what the writer does.
fn replace(address: u64, size: u64, rounds: &AtomicU64) -> Check {
    for _ in 0..REPLACEMENTS {
        let before = rounds.load(Ordering::Relaxed);
        while rounds.load(Ordering::Relaxed) == before {
            core::hint::spin_loop();
        }
        raw::map_over(Name::NULL, address, size)?;
        let other = raw::allocate(size)?;
        for page in (other..other + size).step_by(PAGE_SIZE as usize) {
            raw::poke(page + 8, 1, 1);
        }
        for page in (other..other + size).step_by(PAGE_SIZE as usize) {
            let found = u64::from_le_bytes(core::array::from_fn(|n| raw::byte(page + n as u64)));
            equal("the first word of another page", found, 0)?;
        }
        raw::deallocate(other, size)?;
    }
    Ok(())
}

fn calls(world: &World) -> Check {
    let cpus = several()?;
    let echo: SendRight<dyn Echo> = world.context.send_right("echo")?;
    let answers = Arc::new([const { AtomicU32::new(0) }; 2]);
    let theirs = Arc::clone(&answers);
    let right = echo.duplicate()?;
    together(cpus, move || {
        let good = right.client().echo(9) == Ok(9);
        theirs[usize::from(good)].fetch_add(1, Ordering::Relaxed);
        theirs[1].load(Ordering::Relaxed) > 2000
    })?;
    equal("bad answers", answers[0].load(Ordering::Relaxed), 0)?;
    check!(answers[1].load(Ordering::Relaxed) > 0, "no answer came");
    Ok(())
}

/// Maps, touches and unmaps many pages again and again; how many CPUs were interrupted to forget some.
fn unmap_many() -> Check<u64> {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let before = host.client().statistics()?.shootdowns;
    for _ in 0..TURNS {
        let size = PAGES * PAGE_SIZE;
        let address = raw::allocate(size)?;
        for page in 0..PAGES {
            raw::poke(address + page * PAGE_SIZE, 1, 1);
        }
        raw::deallocate(address, size)?;
    }
    Ok(host.client().statistics()?.shootdowns - before)
}

// covers: F-12
fn shootdowns(_: &World) -> Check {
    let cpus = u64::from(several()?);
    equal("interrupts with one thread", unmap_many()?, 0)?;
    // Another thread of the task, so that other CPUs run its address space too.
    let word = Arc::new([const { AtomicU32::new(0) }; 2]);
    let theirs = Arc::clone(&word);
    let other = thread::spawn(move || {
        while theirs[0].load(Ordering::Relaxed) == 0 {
            theirs[1].fetch_add(1, Ordering::Relaxed);
        }
    })?;
    while word[1].load(Ordering::Relaxed) == 0 {
        time::sleep(ms(1));
    }
    let asked = unmap_many();
    word[0].store(1, Ordering::Relaxed);
    other.join();
    let asked = asked?;
    let most = TURNS * STEPS * (cpus - 1);
    check!(asked > 0, "the other CPU was not asked");
    // One for each page would be twenty times as many.
    check!(asked <= most, "{asked} interrupts, at most {most} expected");
    Ok(())
}
