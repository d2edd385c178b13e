//! Random programs of traps, judged by the model.
//!
//! `MODEL_PROGRAMS` says how many programs each test runs (default 40), `MODEL_SEED` where they begin.

use std::collections::BTreeSet;

use sim::program::{self, Outcome, Setup, Tally};
use sim::{Config, Path};

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("MODEL_SEED", 1);
    first..first + number("MODEL_PROGRAMS", 40)
}

fn setup(seed: u64, path: Path, cpus: u32, (tasks, threads): (usize, usize)) -> Setup {
    let config = Config {
        seed,
        path,
        ..Config::with_cpus(cpus)
    };
    Setup {
        config,
        tasks,
        threads,
    }
}

/// Outcomes that a call cannot have, or must not while the model judges it.
const NEVER: &[(&str, Outcome)] = &[
    // There is no such notification.
    ("Notify103", Outcome::Done),
    // Handlers refuse by letting the next one be asked, and at last the task ends.
    ("RaiseAccess", Outcome::Refused),
    ("RaiseGuard", Outcome::Refused),
    ("RaiseSyscall", Outcome::Refused),
    ("RaiseVector", Outcome::Refused),
    // Programs send these to names that they fit only: other ports would get a message that nobody made.
    ("SemaphoreDestroy", Outcome::Refused),
    ("Terminate", Outcome::Refused),
    // Whoever holds the port may list.
    ("PortsNames", Outcome::Refused),
    ("PortsRights", Outcome::Refused),
    // They come with a message, or there is none.
    ("ReceiveMemory", Outcome::Refused),
    ("ReceiveRight", Outcome::Refused),
    ("ReceiveRights", Outcome::Refused),
    // Only more stops than there are numbers for are refused, and only threads that have ended cannot be called back.
    ("TaskSuspend", Outcome::Refused),
    ("ThreadSuspend", Outcome::Refused),
    ("ThreadAbort", Outcome::Refused),
    // Nothing speaks against them.
    ("FutexStore", Outcome::Refused),
    ("TimerCreate", Outcome::Refused),
    ("HostDefaultSet", Outcome::Refused),
    ("TaskAssignment", Outcome::Refused),
    ("TaskInfo", Outcome::Refused),
    ("TaskThreads", Outcome::Refused),
    ("TaskSetName", Outcome::Refused),
    ("ThreadInfo", Outcome::Refused),
    ("ThreadAssignment", Outcome::Refused),
    ("ThreadAssignDefault", Outcome::Refused),
    // No program lowers a thread's priority for longer than a trap: who comes first would depend on it.
    ("ThreadDepressAbort", Outcome::Done),
    ("Swtch", Outcome::Refused),
    ("SwtchPri", Outcome::Refused),
    ("ThreadSelf", Outcome::Refused),
    ("TaskSelf", Outcome::Refused),
    ("HostSelf", Outcome::Refused),
];

/// How many calls a [`Tally`] tells apart.
const CALLS: usize = 116;

/// How many more programs may reach what those before have not.
const MORE: u64 = 400;

fn calls(tally: &Tally) -> BTreeSet<&String> {
    tally.keys().map(|(call, _)| call).collect()
}

/// What must come of some program, or of none, and has not or has.
fn unreached(tally: &Tally) -> Vec<(String, Outcome)> {
    let outcomes = [Outcome::Done, Outcome::Refused];
    let all = calls(tally)
        .into_iter()
        .flat_map(|call| outcomes.map(|outcome| (call.clone(), outcome)));
    all.filter(|row| tally.contains_key(row) == NEVER.contains(&(row.0.as_str(), row.1)))
        .collect()
}

/// A rule that no program touches holds for no reason: each call succeeds, and fails, at least once. `more` makes the program of
/// a further seed.
fn assert_reach(tally: &mut Tally, mut more: impl FnMut(u64, &mut Tally)) {
    let mut seeds = seeds().end..seeds().end + MORE;
    while !(unreached(tally).is_empty() && calls(tally).len() == CALLS)
        && let Some(seed) = seeds.next()
    {
        more(seed, tally);
    }
    assert_eq!(unreached(tally), []);
    assert_eq!(calls(tally).len(), CALLS, "{:?}", calls(tally));
}

// covers: P-01 P-02 P-03 P-04 P-05 P-07 P-08 P-09 P-10 P-11 P-12 P-13 P-19 P-30 P-31 P-33 M-37 F-06
#[test]
fn one_thread_follows_the_rules() {
    for seed in seeds() {
        let setup = setup(seed, Path::Fast, 1, (1, 1));
        program::check(&setup, &program::random(seed, 120));
    }
}

// covers: X-01 X-02 X-03 X-04 X-05 X-07 X-08 P-03 P-04 P-20 N-02 N-03 N-04 N-05 N-06 N-07 M-03 M-04 M-05 M-06 M-07 M-08 M-22 M-24 M-25 M-26 M-37 T-02 T-06
#[test]
fn tasks_that_share_ports_follow_the_rules() {
    for seed in seeds() {
        let setup = setup(seed, Path::Fast, 1, (3, 1));
        program::check(&setup, &program::random(seed, 150));
    }
}

// covers: X-01 X-04 X-07 X-08 M-06 M-09 M-14 M-30 M-32 M-38 P-20 P-34 P-36 T-01 T-02 T-03 T-04 T-07 T-08 T-09 T-10 T-11 T-12 F-01 H-02 K-01 K-02 K-03 K-05
#[test]
fn threads_that_wait_follow_the_rules() {
    let mut all = Tally::new();
    let run = |seed, all: &mut Tally| {
        let setup = setup(seed, Path::Fast, 1, (2, 3));
        for (row, count) in program::check(&setup, &program::random(seed, 300)).tally {
            *all.entry(row).or_default() += count;
        }
    };
    for seed in seeds() {
        run(seed, &mut all);
    }
    assert_reach(&mut all, run);
}

// covers: M-37 F-02
#[test]
fn neither_the_fast_path_nor_the_number_of_cpus_changes_what_programs_see() {
    for seed in seeds() {
        let steps = program::random(seed, 150);
        let shape = (2, 3);
        let expected = program::check(&setup(seed, Path::Fast, 1, shape), &steps).transcript;
        for (path, cpus) in [
            (Path::Slow, 1),
            (Path::Fast, 2),
            (Path::Slow, 3),
            (Path::Fast, 4),
        ] {
            let seen = program::check(&setup(seed, path, cpus, shape), &steps).transcript;
            assert_eq!(seen, expected, "seed {seed}, {path:?} path, {cpus} CPUs");
        }
    }
}
