//! Fuzzing for a bounded time: the engine on each host target, hostile traps and random programs on the simulated
//! machine, hostile traps in the guest.
//!
//! The kept corpus and mutations of it are ordinary tests of the package `targets`, which need no engine.

use super::host::verdict;
use super::tally::Tally;
use crate::fault::{Doing, Result};
use crate::fuzz::{Campaign, Whole, held};
use crate::place::Place;
use crate::process;
use crate::run::{Options, prepare};
use crate::setup::{Need, ensure, other_compiler};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Numbers of processors, and how many hostile traps each machine gets.
const CAMPAIGNS: [(u32, u64); 2] = [(1, 100_000), (2, 100_000)];
/// Where the campaigns' steps come from.
const SEED: u64 = 1;
/// Seconds that the engine gets for each target.
const SECONDS: u32 = 6;

/// What the targets are compiled for.
const HOST: &str = "x86_64-unknown-linux-gnu";
/// What makes a program count which of its edges run, for the engine.
const COUNTERS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The whole part.
pub(super) fn fuzz(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    engine(place, filter, tally)?;
    if "campaign".contains(filter) {
        campaign(place, tally)?;
    }
    if !"traps".contains(filter) {
        return Ok(());
    }
    let boot = prepare(place, &Options::default())?;
    for (cpus, count) in CAMPAIGNS {
        let name = format!("fuzz traps with {cpus} CPU");
        eprintln!("testing: {name}");
        let options = Options {
            cpus,
            ..Options::default()
        };
        let campaign = Campaign {
            count,
            seed: SEED,
            options,
        };
        let (_, verdict) = campaign.run(place, &boot)?;
        eprintln!("{}", verdict.line);
        tally.one(&name, verdict.fault.map_or(Ok(()), Err));
    }
    Ok(())
}

/// A share of what `cargo xtask fuzz campaign` does, which finds what the tests' few programs do not.
fn campaign(place: &Place, tally: &mut Tally) -> Result<()> {
    let name = "fuzz campaign on the simulated machine";
    eprintln!("testing: {name}");
    let sum = Whole::CI.runs(place, |report| {
        if !held(&report) {
            eprintln!("{}", Value::Object(report));
        }
    })?;
    let verdict = match sum.failed {
        0 => Ok(()),
        failed => Err(format!("{failed} runs failed")),
    };
    tally.one(name, verdict);
    Ok(())
}

/// Runs every target of `fuzz/fuzz_targets` under the engine, libFuzzer, which needs no other compiler: the
/// pinned one counts coverage too. Deliberately absent: sanitizers, which only a nightly compiler knows; what
/// the targets call is safe code but for the arenas, which Miri checks.
fn engine(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    let mut names = targets(place)?;
    names.retain(|name| name.contains(filter));
    if names.is_empty() {
        return Ok(());
    }
    ensure(&[Need::Engine])?;
    if filter.is_empty() {
        lint(place, tally)?;
    }
    process::run(&mut instrumented(place), "building the fuzz targets")?;
    for name in names {
        eprintln!("testing: fuzz {name}");
        let mut command = engine_on(place, &name)?;
        let output = command.output().doing("start the engine")?;
        // Much that helps to understand a finding, and nothing else.
        let verdict = if output.status.success() {
            Ok(())
        } else {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            Err(output.status.to_string())
        };
        tally.one(&format!("fuzz {name}"), verdict);
    }
    Ok(())
}

/// The targets exist only with the engine, so the lints of all other crates do not see them.
fn lint(place: &Place, tally: &mut Tally) -> Result<()> {
    const NAME: &str = "clippy on the fuzz targets";
    if let Some(reason) = other_compiler(place)? {
        tally.skip(NAME, &reason);
        return Ok(());
    }
    let mut clippy = process::cargo(place);
    clippy.args(["clippy", "--package", "targets", "--bins"]);
    clippy.args(["--features", "engine", "--", "-D", "warnings"]);
    tally.one(NAME, verdict(&mut clippy));
    Ok(())
}

/// The build of all targets with coverage counters. A target is named even though it is the host's, so that
/// the counters are not in build scripts.
fn instrumented(place: &Place) -> Command {
    let mut command = process::cargo(place);
    command.args(["build", "--release", "--package", "targets", "--bins"]);
    command.args(["--features", "engine", "--target", HOST]);
    command.arg("--target-dir").arg(place.other_target("fuzz"));
    command.env("CARGO_ENCODED_RUSTFLAGS", COUNTERS.join("\x1f"));
    command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    // Coverage counters and link-time optimisation do not go together.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    command
}

/// The engine on one target, for a bounded time. Its findings stay beside the build.
fn engine_on(place: &Place, name: &str) -> Result<Command> {
    let folder = place.other_target("fuzz");
    // What the engine finds new stays out of the kept corpus, whose folder is only read.
    let found = folder.join("corpus").join(name);
    fs::create_dir_all(&found).at("make", &found)?;
    let mut command = Command::new(folder.join(HOST).join("release").join(name));
    command.arg(format!("-max_total_time={SECONDS}"));
    command.args(["-verbosity=0", "-timeout=20"]);
    let prefix = folder.join(format!("{name}-"));
    command.arg(format!("-artifact_prefix={}", prefix.display()));
    command
        .arg(found)
        .arg(place.root.join("fuzz/corpus").join(name));
    Ok(command)
}

/// The targets' names, in order.
fn targets(place: &Place) -> Result<Vec<String>> {
    let folder = place.root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).at("list", &folder)? {
        let path = entry.at("list", &folder)?.path();
        names.extend(path.file_stem().map(|stem| stem.display().to_string()));
    }
    names.sort();
    Ok(names)
}
