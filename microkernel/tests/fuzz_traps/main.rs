//! Hostile traps and messages from a seed, on the simulated machine.
//!
//! `FUZZ_TRAPS` says how many traps each campaign makes (default 80,000), `FUZZ_SEED` where seeds begin.
//! A failure names its seed; the same seed, path and number of CPUs give the same run.

mod campaign;
mod witness;

use campaign::{Campaign, Report};
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
    let traps = number("FUZZ_TRAPS", 80_000);
    eprintln!("campaign: seed {seed}, {path:?} path, {cpus} CPUs, {traps} traps");
    let mut campaign = Campaign::boot(config);
    campaign.run(traps);
    campaign.end()
}

/// Each trap did something else than fail, and `mach_msg` went every way.
fn assert_reach(report: &Report) {
    for (number, meanings) in fuzz::TRAPS {
        let (succeeded, failed) = report.answers.get(&number).copied().unwrap_or_default();
        // The task holds no I/O ports and no interrupts.
        let needs_device = [
            abi::trap::INTERRUPT_ACKNOWLEDGE,
            abi::trap::IO_READ,
            abi::trap::IO_WRITE,
        ]
        .contains(&number);
        assert!(
            succeeded > 0 || needs_device,
            "trap {number} never succeeded"
        );
        let cannot_fail = [abi::trap::FUTEX_WAKE, abi::trap::WAIT_UNTIL].contains(&number);
        assert!(
            failed > 0 || meanings.is_empty() || cannot_fail,
            "trap {number} never failed"
        );
    }
    assert!(
        report.witnessed > 100,
        "the witness made {} calls",
        report.witnessed
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
