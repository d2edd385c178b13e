//! Fuzzing for a bounded time: hostile traps in the guest, the engine on each host target.
//!
//! The kept corpus and mutations of it are ordinary tests of the package `targets`, which need no engine.

use super::tally::Tally;
use crate::fault::{Doing, Result};
use crate::fuzz::Campaign;
use crate::place::Place;
use crate::process;
use crate::run::{Options, prepare};
use crate::setup::has_tool;
use std::fs;
use std::process::Command;

/// Numbers of processors, and how many hostile traps each machine gets.
const CAMPAIGNS: [(u32, u64); 2] = [(1, 100_000), (2, 100_000)];
/// Where the campaigns' steps come from.
const SEED: u64 = 1;
/// Seconds that the engine gets for each target.
const SECONDS: u32 = 10;

/// The whole part.
pub(super) fn fuzz(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    engine(place, filter, tally)?;
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

/// Runs every target of `fuzz/fuzz_targets` under the engine.
fn engine(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    if !has_tool(&mut cargo_fuzz(place, &["--version"])) {
        tally.skip(
            "fuzz engine",
            "no nightly toolchain with cargo-fuzz (cargo install cargo-fuzz); the kept corpus ran",
        );
        return Ok(());
    }
    for target in targets(place)? {
        if !target.contains(filter) {
            continue;
        }
        let limit = format!("-max_total_time={SECONDS}");
        let mut command = cargo_fuzz(place, &["run", &target, "--features", "engine"]);
        command.arg("--target-dir").arg(place.other_target("fuzz"));
        // What the engine finds new stays out of the kept corpus, whose folder is only read.
        let found = place.other_target("fuzz").join("corpus").join(&target);
        fs::create_dir_all(&found).at("make", &found)?;
        let kept = place.root.join("fuzz/corpus").join(&target);
        command.arg(found).arg(kept).args(["--", &limit]);
        let verdict = match process::run(&mut command, "it") {
            Ok(()) => Ok(()),
            Err(fault) => Err(fault.what().to_owned()),
        };
        tally.one(&format!("fuzz {target}"), verdict);
    }
    Ok(())
}

fn cargo_fuzz(place: &Place, arguments: &[&str]) -> Command {
    let mut command = process::cargo_of(place, "nightly");
    command.arg("fuzz").args(arguments);
    // Coverage counters and link-time optimisation of the workspace do not go together.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    command
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
