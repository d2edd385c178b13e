//! Random programs of traps, run on the kernel and judged by the model.
//!
//! A program is a list of steps, each a thread and a seed; `generate` makes a trap of them. After each
//! step every thread that must come back comes back; every few steps all names, counts and attributes
//! are compared. A failing program is made shorter before it is shown ([`minimal`]).

mod asks;
mod bodies;
mod buffer;
mod calls;
mod clock;
mod control;
mod device;
mod entries;
mod futex;
mod generate;
mod held;
mod host;
mod last;
mod lasting;
mod machine;
mod objects;
mod pager;
mod ports;
mod state;
mod tally;
mod task_vm;
mod tasks;
mod time;
mod timer;
mod turns;
mod vm;
mod vm_calls;
mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use generate::Patience;
pub use tally::{Outcome, Tally};
pub use world::{Setup, Theme, World};

use crate::rng::Rng;
use crate::surface::Surface;

/// One trap of a thread.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Which thread, modulo how many there are.
    pub thread: usize,
    /// What it does.
    pub seed: u64,
}

/// What all threads saw, in order, without the names that the kernel chose.
pub type Transcript = Vec<String>;

/// What came of a program that followed the rules.
#[derive(Clone, Default, Debug)]
pub struct Run {
    /// What all threads saw.
    pub transcript: Transcript,
    /// What came of the calls.
    pub tally: Tally,
    /// Calls, and the codes that they answered.
    pub codes: BTreeSet<(String, String)>,
    /// What it got done of the kernel's surface.
    pub surface: Surface,
}

/// Why a program failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The broken rule or the panic's message.
    pub why: String,
    /// What happened before.
    pub history: Vec<String>,
}

/// A program of a seed.
pub fn random(seed: u64, length: usize) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    (0..length)
        .map(|_| Step {
            thread: rng.below(64),
            seed: rng.word(),
        })
        .collect()
}

/// Runs a program from a fresh boot to the end.
///
/// # Errors
/// [`Failure`]: the kernel broke a rule, or panicked.
pub fn run(setup: &Setup, program: &[Step]) -> Result<Run, Failure> {
    let mut world = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        world.insert(World::boot(setup)).run(program)
    }));
    let (history, run) = world
        .map(|world| (world.history, world.outcome))
        .unwrap_or_default();
    let why = match outcome {
        Ok(Ok(())) => return Ok(run),
        Ok(Err(why)) => why,
        Err(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => format!("panic: {text}"),
            (None, Some(text)) => format!("panic: {text}"),
            (None, None) => "panic".into(),
        },
    };
    Err(Failure { why, history })
}

/// Takes steps out of a failing program for as long as it fails.
pub fn minimal(setup: &Setup, mut program: Vec<Step>) -> Vec<Step> {
    let mut chunk = program.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < program.len() {
            let mut shorter = program.clone();
            shorter.drain(at..(at + chunk).min(program.len()));
            if run(setup, &shorter).is_err() {
                program = shorter;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    program
}

/// Runs a program; when it fails, shows the shortest program that fails.
///
/// # Panics
/// With the rule that was broken and the traps that led there.
pub fn check(setup: &Setup, program: &[Step]) -> Run {
    let first = match run(setup, program) {
        Ok(run) => return run,
        Err(failure) => failure,
    };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let short = minimal(setup, program.to_vec());
    let failure = run(setup, &short).err().unwrap_or(first);
    std::panic::set_hook(hook);
    let mut text = format!("{}\n{setup:?}\n", failure.why);
    for line in &failure.history {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "  {line}");
    }
    panic!("{text}");
}
