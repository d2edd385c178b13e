//! A part of a campaign: `campaign KIND COUNT SEED`, with KIND `traps` or `model`.
//!
//! COUNT steps are made in runs of a bounded length on as many host threads as there are processors. The seed of run n
//! is SEED + n, and says all about it: how many CPUs the machine has, and whether messages may take the fast path. Each
//! run prints one line of JSON; the exit status is 1 when one of them failed. `cargo xtask fuzz campaign` starts this.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sim::attack::Campaign;
use sim::program::{self, Setup, Theme};
use sim::{Config, Path, Rng};

/// Traps of one run.
const TRAPS: u64 = 250_000;
/// Steps of the model that one run makes at least.
const STEPS: u64 = 25_000;
/// Steps of one program.
const LENGTH: usize = 150;

/// What came of a run: its steps, what they were made on, and why it failed if it did.
struct Outcome {
    steps: u64,
    machine: String,
    fault: Option<String>,
}

/// A kind of run, of `steps` steps from a seed.
type Kind = fn(seed: u64, steps: u64) -> Outcome;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize| words.get(n).and_then(|word| word.parse::<u64>().ok());
    let (Some(kind), Some(count), Some(seed)) = (words.first(), number(1), number(2)) else {
        eprintln!("usage: campaign traps|model COUNT SEED");
        return ExitCode::from(2);
    };
    let (run, length): (Kind, u64) = match kind.as_str() {
        "traps" => (attack, TRAPS),
        "model" => (compare, STEPS),
        _ => return ExitCode::from(2),
    };
    // Panics are verdicts here.
    std::panic::set_hook(Box::new(|_| {}));
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let left = count.saturating_sub(n.saturating_mul(length));
            if left == 0 {
                return;
            }
            let (seed, steps) = (seed + n, left.min(length));
            let outcome = run(seed, steps);
            failed.fetch_or(outcome.fault.is_some(), Ordering::Relaxed);
            println!("{}", line(kind, (seed, steps), &outcome));
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    ExitCode::from(u8::from(failed.into_inner()))
}

fn line(kind: &str, (seed, count): (u64, u64), outcome: &Outcome) -> String {
    let Outcome { steps, machine, .. } = outcome;
    let verdict = outcome.fault.as_deref().unwrap_or("held");
    let verdict: String = verdict.chars().flat_map(char::escape_default).collect();
    let verdict = verdict.replace("\\'", "'");
    format!(
        "{{\"campaign\":\"{kind}\",\"seed\":{seed},\"count\":{count},\"steps\":{steps},{machine},\
         \"verdict\":\"{verdict}\"}}"
    )
}

/// The machine of a seed.
fn config(seed: u64) -> Config {
    let path = match seed / 4 % 2 {
        0 => Path::Fast,
        _ => Path::Slow,
    };
    Config {
        seed,
        path,
        ..Config::with_cpus(seed as u32 % 4 + 1)
    }
}

fn describe(config: &Config) -> String {
    let path = format!("{:?}", config.path).to_lowercase();
    format!("\"cpus\":{},\"path\":\"{path}\"", config.size.cpus)
}

/// Hostile traps beside a witness.
fn attack(seed: u64, steps: u64) -> Outcome {
    let config = config(seed);
    let report = catch_unwind(AssertUnwindSafe(|| {
        let mut campaign = Campaign::boot(config);
        campaign.run(steps);
        campaign.end()
    }));
    let machine = describe(&config);
    match report {
        Ok(report) => Outcome {
            steps: report.answers.values().map(|(done, not)| done + not).sum(),
            machine: format!(
                "{machine},\"lives\":{},\"witnessed\":{}",
                report.lives, report.witnessed
            ),
            fault: None,
        },
        Err(panic) => Outcome {
            steps: 0,
            machine,
            fault: Some(text(&*panic)),
        },
    }
}

/// Random programs, each on the machine of the seed and on one with one CPU and the fast path, judged by the model.
fn compare(seed: u64, steps: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    let config = config(seed);
    let mut made = 0;
    let mut fault = None;
    while made < steps && fault.is_none() {
        let program = program::random(rng.word(), LENGTH);
        let theme = match rng.below(10) {
            0 => Theme::Pager,
            1 | 2 => Theme::Memory,
            _ => Theme::Everything,
        };
        let (tasks, threads) = [(1, 1), (3, 1), (2, 3), (3, 3)][rng.below(4)];
        let mut seen = Vec::new();
        for config in [config, Config::default()] {
            let setup = Setup {
                theme,
                config: Config { seed, ..config },
                tasks,
                threads,
            };
            match catch_unwind(AssertUnwindSafe(|| program::check(&setup, &program))) {
                Ok(run) => {
                    made += run.transcript.len() as u64;
                    seen.push(run.transcript);
                }
                Err(panic) => fault = Some(text(&*panic)),
            }
        }
        if let [one, other] = &*seen
            && one != other
        {
            let differs = one.iter().zip(other).find(|(one, other)| one != other);
            fault = Some(format!(
                "the two machines show different things: {differs:?}"
            ));
        }
    }
    Outcome {
        steps: made,
        machine: describe(&config),
        fault,
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "panic".to_owned(),
    }
}
