//! Tests on the booted system: programs that print TAP, with one and with two processors.

use super::count::Tap;
use super::tally::Tally;
use crate::bench;
use crate::chaos::Scale;
use crate::fault::Result;
use crate::place::Place;
use crate::run::{
    Boot, FastPath, Machine, Options, Outcome, Stream, Terminal, execute, prepare, request,
};
use crate::setup::other_compiler;
use std::io::{Write, empty, stderr};
use std::time::Duration;

/// The commands to run, each in a system of its own.
const PROGRAMS: [&[&str]; 1] = [&["tests"]];

/// The campaign that runs too, on a kernel of its own.
const SCALE: &str = "chaos scale";

/// Numbers of processors to run them with.
const CPUS: [u32; 2] = [1, 2];

/// Host time after which a system that still runs counts as hanging.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// Guest time after which a system that still runs tells what all threads do, and ends. Less than [`LIMIT`], which
/// is for systems that cannot even do that.
const WATCHDOG: u32 = 240;

/// Every program on every machine, and the figures beside the committed ones.
pub(super) fn guest(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    let boot = prepare(place, &Options::default())?;
    for fast_path in [FastPath::On, FastPath::Off] {
        for cpus in CPUS {
            for program in PROGRAMS {
                one(&boot, (cpus, fast_path), program, filter, tally)?;
            }
        }
    }
    if SCALE.contains(filter) {
        for cpus in CPUS {
            scale(place, cpus, tally)?;
        }
    }
    if filter.is_empty() {
        match other_compiler(place)? {
            Some(reason) => tally.skip("bench beside the committed figures", &reason),
            None => {
                let worse = bench::compare(place, &bench::measure(place)?)?;
                tally.one("bench", none(&worse));
            }
        }
    }
    Ok(())
}

/// Sizes of the campaign divided by ten.
fn scale(place: &Place, cpus: u32, tally: &mut Tally) -> Result<()> {
    let name = format!("{SCALE} with {cpus} CPU");
    eprintln!("testing: {name}");
    let verdict = Scale::smaller(10, cpus)?.run(place)?;
    eprintln!("{}", verdict.line);
    tally.one(&name, verdict.fault.map_or(Ok(()), Err));
    Ok(())
}

fn none(faults: &[String]) -> std::result::Result<(), String> {
    match faults {
        [] => Ok(()),
        faults => Err(faults.join("; ")),
    }
}

fn one(
    boot: &Boot,
    (cpus, fast_path): (u32, FastPath),
    program: &[&str],
    filter: &str,
    tally: &mut Tally,
) -> Result<()> {
    let path = match fast_path {
        FastPath::On => "",
        FastPath::Off => ", no fast path",
    };
    let name = format!("guest with {cpus} CPU{path}: {}", program.join(" "));
    let options = Options {
        cpus,
        fast_path,
        watchdog: Some(WATCHDOG),
        ..Options::default()
    };
    let mut words: Vec<&str> = program.to_vec();
    words.extend((!filter.is_empty()).then_some(filter));
    let (outcome, output) = command(boot, &options, &name, &words)?;
    let mut tap = Tap::default();
    output.lines().for_each(|line| tap.line(line));
    let (count, skipped) = tap.finish();
    for (case, reason) in skipped {
        tally.skip(&format!("{name}: {case}"), &reason);
    }
    // Failed cases may make the program end with a status of its own.
    let explained = matches!(outcome, Outcome::Exited(0))
        || matches!(outcome, Outcome::Exited(_)) && count.failed > 0;
    if !explained {
        tally.one(&name, Err(format!("{outcome:?}")));
    }
    tally.add(&name, count);
    Ok(())
}

/// Boots, runs one command, and shows what it says. A bad end shows the kernel log too.
pub(super) fn command(
    boot: &Boot,
    options: &Options,
    name: &str,
    words: &[&str],
) -> Result<(Outcome, String)> {
    command_on(boot, &boot.machine(options, "command")?, name, words)
}

/// The same on a machine that is known.
pub(super) fn command_on(
    boot: &Boot,
    machine: &Machine,
    name: &str,
    words: &[&str],
) -> Result<(Outcome, String)> {
    eprintln!("testing: {name}");
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let mut guest = machine.start(Terminal::Untouched)?;
    let mut output = Vec::new();
    let payload = request(&words)?;
    let outcome = execute(&mut guest, &payload, empty(), LIMIT, |stream, bytes| {
        if stream == Stream::Stdout {
            output.extend_from_slice(bytes);
        }
        // What cannot be shown is still counted.
        drop(stderr().write_all(bytes));
        Ok(())
    })?;
    if !matches!(outcome, Outcome::Exited(_)) {
        eprint!("{}", boot.symbolised(&guest.log_text()));
        eprint!("{}", boot.symbolised(guest.registers()));
    }
    Ok((outcome, String::from_utf8_lossy(&output).into_owned()))
}
