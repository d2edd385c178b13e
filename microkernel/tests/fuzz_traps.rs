//! Hostile traps and messages from a seed, on the simulated machine.
//!
//! `FUZZ_TRAPS` says how many traps each campaign makes (default 80,000), `FUZZ_SEED` where seeds begin.
//! A failure names its seed; the same seed, path and number of CPUs give the same run.

use abi::transport::{Description, Interface};
use interfaces::host::Host;
use interfaces::interrupt::{Interrupt, InterruptRoot};
use interfaces::io::{IoRange, IoRoot};
use interfaces::memory::{Entry, MemoryRoot};
use interfaces::task::Task;
use interfaces::thread::Thread;
use interfaces::vm::Vm;
use sim::attack::{Campaign, Report};
use sim::{Config, Path};

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one campaign from boot to the end of all its tasks.
fn attack(seed: u64, path: Path, cpus: u32) -> Report {
    let config = Config {
        seed,
        path,
        ..Config::with_cpus(cpus)
    };
    let traps = number("FUZZ_TRAPS", 160_000);
    eprintln!("campaign: seed {seed}, {path:?} path, {cpus} CPUs, {traps} traps");
    let mut campaign = Campaign::boot(config);
    campaign.run(traps);
    campaign.end()
}

/// The interfaces of the kernel's objects.
const OBJECTS: [&Description; 10] = [
    <dyn Host>::DESCRIPTION,
    <dyn Task>::DESCRIPTION,
    <dyn Vm>::DESCRIPTION,
    <dyn Thread>::DESCRIPTION,
    <dyn IoRoot>::DESCRIPTION,
    <dyn IoRange>::DESCRIPTION,
    <dyn InterruptRoot>::DESCRIPTION,
    <dyn Interrupt>::DESCRIPTION,
    <dyn MemoryRoot>::DESCRIPTION,
    <dyn Entry>::DESCRIPTION,
];

/// Calls after which an attacker may hear nothing more, and which it therefore makes seldom.
const LETHAL: [&str; 4] = ["terminate", "suspend", "set_state", "abort"];

/// Each trap did something else than fail, `mach_msg` went every way, and each call of a kernel object was
/// answered.
fn assert_reach(report: &Report) {
    for (number, meanings) in fuzz::TRAPS {
        let (succeeded, failed) = report.answers.get(&number).copied().unwrap_or_default();
        // The task holds no I/O ports, no interrupts and no semaphores.
        let has_none = [
            abi::trap::INTERRUPT_ACKNOWLEDGE,
            abi::trap::IO_READ,
            abi::trap::IO_WRITE,
            abi::trap::SEMAPHORE_SIGNAL,
            abi::trap::SEMAPHORE_SIGNAL_ALL,
            abi::trap::SEMAPHORE_SIGNAL_THREAD,
            abi::trap::SEMAPHORE_TIMED_WAIT,
            abi::trap::SEMAPHORE_TIMED_WAIT_SIGNAL,
        ]
        .contains(&number);
        assert!(succeeded > 0 || has_none, "trap {number} never succeeded");
        let cannot_fail = [abi::trap::FUTEX_WAKE, abi::trap::WAIT_UNTIL].contains(&number);
        assert!(
            failed > 0 || meanings.is_empty() || cannot_fail,
            "trap {number} never failed"
        );
    }
    for (object, method) in OBJECTS
        .iter()
        .flat_map(|object| object.methods.iter().map(move |method| (object, method)))
    {
        let answered = report.calls.contains_key(&method.id);
        assert!(
            answered || LETHAL.contains(&method.name),
            "{}: {} was never answered",
            object.name,
            method.name
        );
    }
    assert!(
        report.witnessed > 100,
        "the witness made {} calls",
        report.witnessed
    );
    assert!(
        report.circles <= report.lives / 100,
        "{} tasks that nobody reaches",
        report.circles
    );
}

// covers: F-02 F-06
#[test]
fn one_cpu_survives_by_the_fast_path() {
    assert_reach(&attack(number("FUZZ_SEED", 1), Path::Fast, 1));
}

// covers: F-02 F-06
#[test]
fn one_cpu_survives_by_the_slow_path() {
    assert_reach(&attack(number("FUZZ_SEED", 1) + 1, Path::Slow, 1));
}

// covers: F-02 F-06
#[test]
fn two_cpus_survive_by_the_fast_path() {
    assert_reach(&attack(number("FUZZ_SEED", 1) + 2, Path::Fast, 2));
}

// covers: F-02 F-06
#[test]
fn two_cpus_survive_by_the_slow_path() {
    assert_reach(&attack(number("FUZZ_SEED", 1) + 3, Path::Slow, 2));
}

// covers: T-11
#[test]
fn the_same_seed_gives_the_same_attack() {
    let run = || {
        let mut campaign = Campaign::boot(Config::with_cpus(2));
        campaign.run(3000);
        campaign.end()
    };
    assert_eq!(run(), run());
}
