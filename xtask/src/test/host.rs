//! Tests that need no guest: structure, formatting, lints, unit tests, Miri, loom, fuzzing.

use super::count::Libtest;
use super::tally::Tally;
use crate::fault::{Doing, Result};
use crate::guest::{BOOT, KERNEL, cargo_guest, name_c_library, name_packages, units};
use crate::place::Place;
use crate::process;
use crate::setup::{miri, miri_remedy, other_compiler};
use crate::tidy;
use std::fs;
use std::process::Command;

/// Packages whose binary compiles for the guest only, and their folders.
const GUEST_ONLY: [(&str, &str); 2] = [KERNEL, BOOT];

/// What is checked by Miri, and which tests of it: the `unsafe` that runs on the host too, and the walk through page
/// tables, over simulated memory.
const MIRI: [(&str, &str); 2] = [("arena", ""), ("microkernel-x86_64", "tables::")];

/// The kernel's test programs that take both paths by themselves.
const BOTH_PATHS: [&str; 2] = ["fuzz_traps", "model"];

/// What is checked by loom.
const LOOM: &str = "ksync";

/// Structure, formatting, lints and unit tests.
pub(super) fn host(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    if filter.is_empty() {
        checks(place, tally)?;
    }
    let mut command = process::cargo(place);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    exclude_guest_only(&mut command);
    command.args(["--", filter]);
    libtest("unit tests", &mut command, tally)?;
    let mut command = process::cargo(place);
    command.env("SIM_PATH", "slow");
    command.args(["test", "--package", "microkernel", "--no-fail-fast"]);
    for name in stories(place)? {
        command.args(["--test", &name]);
    }
    command.args(["--", filter]);
    libtest(
        "the kernel's stories without the fast path",
        &mut command,
        tally,
    )?;
    let mut command = process::cargo(place);
    command.args(["test", "--no-fail-fast", "--lib"]);
    if add_libraries(place, &mut command) == 0 {
        return Ok(());
    }
    command.args(["--", filter]);
    libtest("unit tests of the machine's libraries", &mut command, tally)
}

/// The kernel's test programs that say nothing of the path that messages take.
fn stories(place: &Place) -> Result<Vec<String>> {
    let folder = place.root.join("microkernel/tests");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).at("read", &folder)? {
        let path = entry.at("read", &folder)?.path();
        let is_program =
            path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists();
        let name = path
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned());
        names.extend(name.filter(|name| is_program && !BOTH_PATHS.contains(&name.as_str())));
    }
    names.sort();
    Ok(names)
}

/// Adds the packages whose binary only the guest can run, but whose library is pure. Says how many.
fn add_libraries(place: &Place, command: &mut Command) -> usize {
    let mut count = 0;
    for (name, folder) in GUEST_ONLY {
        if place.root.join(folder).join("src/lib.rs").exists() {
            command.args(["--package", name]);
            count += 1;
        }
    }
    count
}

fn checks(place: &Place, tally: &mut Tally) -> Result<()> {
    let findings = tidy::findings(place)?;
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    let tidy = match findings.len() {
        0 => Ok(()),
        count => Err(format!("{count} findings")),
    };
    tally.one("tidy", tidy);
    let mut format = process::cargo(place);
    format.args(["fmt", "--all", "--check"]);
    tally.one("fmt", verdict(&mut format));
    match other_compiler(place)? {
        Some(reason) => tally.skip("clippy", &reason),
        None => lints(place, tally)?,
    }
    Ok(())
}

fn lints(place: &Place, tally: &mut Tally) -> Result<()> {
    let mut clippy = process::cargo(place);
    clippy.args(["clippy", "--workspace", "--all-targets"]);
    exclude_guest_only(&mut clippy);
    clippy.args(["--", "-D", "warnings"]);
    tally.one("clippy on the host", verdict(&mut clippy));
    let mut clippy = process::cargo(place);
    clippy.args(["clippy", "--lib", "--profile", "test"]);
    if add_libraries(place, &mut clippy) > 0 {
        clippy.args(["--", "-D", "warnings"]);
        tally.one("clippy on the machine's libraries", verdict(&mut clippy));
    }
    let lock = place.lock_build()?;
    let mut clippy = cargo_guest(place, "clippy")?;
    name_packages(place, &units(place)?, &mut clippy)?;
    clippy.args(["--bins", "--", "-D", "warnings"]);
    tally.one("clippy for the guest", verdict(&mut clippy));
    // The kernels that measure: their features do not exclude each other.
    let mut clippy = cargo_guest(place, "clippy")?;
    clippy.args(["--package", KERNEL.0, "--all-features", "--bins"]);
    clippy.args(["--", "-D", "warnings"]);
    tally.one("clippy on kernels that measure", verdict(&mut clippy));
    let mut clippy = cargo_guest(place, "clippy")?;
    name_c_library(place, &mut clippy)?;
    clippy.args(["--lib", "--", "-D", "warnings"]);
    tally.one("clippy on Mach's library for C", verdict(&mut clippy));
    drop(lock);
    Ok(())
}

pub(super) fn verdict(command: &mut Command) -> std::result::Result<(), String> {
    match process::run(command, "it") {
        Ok(()) => Ok(()),
        Err(fault) => Err(fault.what().to_owned()),
    }
}

fn exclude_guest_only(command: &mut Command) {
    for (name, _) in GUEST_ONLY {
        command.args(["--exclude", name]);
    }
}

/// Runs test programs and counts their cases; an end without success that no case explains, like a
/// build failure, counts as one.
fn libtest(name: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    let mut libtest = Libtest::default();
    let well = process::watch(command, |line| libtest.line(line))?;
    let count = libtest.finish();
    if !well && count.failed == 0 {
        tally.one(name, Err("it did not build, or ended early".into()));
    }
    tally.add(name, count);
    Ok(())
}

/// Miri on the growable arenas and page tables, loom on the locks.
pub(super) fn unsafe_code(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    match miri(place) {
        Some(miri) => {
            for (package, tests) in MIRI {
                let mut command = miri();
                command.args(["test", "--package", package, "--lib", "--target-dir"]);
                command.arg(place.other_target("miri"));
                command.args(["--", if filter.is_empty() { tests } else { filter }]);
                // A region lives as long as the kernel: nothing gives it back.
                command.env("MIRIFLAGS", "-Zmiri-ignore-leaks");
                libtest(&format!("miri on {package}"), &mut command, tally)?;
            }
        }
        None => tally.skip("miri", &format!("not there (try: {})", miri_remedy())),
    }
    loom(place, filter, tally)
}

fn loom(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    let path = place.root.join("microkernel").join(LOOM).join("Cargo.toml");
    let text = fs::read_to_string(&path).at("read", &path)?;
    if !text.contains("loom") {
        tally.skip("loom", "ksync has no loom tests yet");
        return Ok(());
    }
    let mut command = process::cargo(place);
    command.env("RUSTFLAGS", "--cfg loom");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(["test", "--release", "--package", LOOM, "--target-dir"]);
    command.arg(place.other_target("loom"));
    command.args(["--", filter]);
    libtest("loom on ksync", &mut command, tally)
}
