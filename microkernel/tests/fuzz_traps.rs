//! Hostile traps and messages from a seed, on the simulated machine.
//!
//! `FUZZ_TRAPS` says how many traps each campaign makes (default 240,000), `FUZZ_SEED` where seeds begin.
//! A failure names its seed; the same seed, path and number of CPUs give the same run.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use interfaces::KERNEL;
use microkernel::machine::Frame;
use microkernel::trap::Trap;
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
    let traps = number("FUZZ_TRAPS", 240_000);
    eprintln!("campaign: seed {seed}, {path:?} path, {cpus} CPUs, {traps} traps");
    let mut campaign = Campaign::boot(config);
    campaign.run(traps);
    campaign.end()
}

/// Calls after which an attacker may hear nothing more, and which it therefore makes seldom.
const LETHAL: [&str; 4] = ["terminate", "suspend", "set_state", "abort"];

/// Each trap did something else than fail, and each call of a kernel object was answered, in one of the campaigns.
fn assert_reach(report: &Report) {
    for (number, meanings) in fuzz::TRAPS {
        let (succeeded, failed) = report.answers.get(&number).copied().unwrap_or_default();
        // No thread of the task's own waits on a semaphore that it can name: the model's programs see to it.
        let has_none = number == abi::trap::SEMAPHORE_SIGNAL_THREAD;
        assert!(succeeded > 0 || has_none, "trap {number} never succeeded");
        let cannot_fail = [
            abi::trap::FUTEX_WAKE,
            abi::trap::WAIT_UNTIL,
            abi::trap::SWTCH,
            abi::trap::SWTCH_PRI,
        ]
        .contains(&number);
        assert!(
            failed > 0 || meanings.is_empty() || cannot_fail,
            "trap {number} never failed"
        );
    }
    for (object, method) in KERNEL
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
    // Attackers call each other, and find the reply slot full.
    let slots = report.answers[&abi::trap::REPLY_SLOT_TAKE].0;
    assert!(slots > 100, "{slots} reply rights were taken");
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
fn the_kernel_survives_on_either_path_with_one_and_two_cpus() {
    let seed = number("FUZZ_SEED", 1);
    let machines = [
        (Path::Fast, 1),
        (Path::Slow, 1),
        (Path::Fast, 2),
        (Path::Slow, 2),
    ];
    let mut all = Report::default();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (seed..)
            .zip(machines)
            .map(|(seed, (path, cpus))| scope.spawn(move || attack(seed, path, cpus)))
            .collect();
        for run in runs {
            all.add(&run.join().unwrap());
        }
    });
    assert_reach(&all);
}

/// What the kernel takes for a trap is in the generator's table, and nothing else is.
// covers: F-03
#[test]
fn every_trap_has_its_row() {
    for number in -1000..1000 {
        let frame = Frame {
            rax: number as u64,
            ..Frame::default()
        };
        let known = !matches!(Trap::decode(&frame), Trap::Unknown | Trap::Refused);
        let has_row = fuzz::TRAPS.iter().any(|(row, _)| *row == number);
        // These end the caller; the generator tries them among the numbers that are none.
        let ends = [abi::trap::TASK_EXIT, abi::trap::THREAD_EXIT].contains(&number);
        // Messages are decoded elsewhere.
        let known = known || number == abi::trap::MACH_MSG && has_row;
        assert_eq!(has_row, known && !ends, "trap {number}");
    }
}

#[test]
fn the_same_seed_gives_the_same_attack() {
    let run = || {
        let mut campaign = Campaign::boot(Config::with_cpus(2));
        campaign.run(3000);
        campaign.end()
    };
    assert_eq!(run(), run());
}
