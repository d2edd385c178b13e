//! Tests on the booted system: programs that print TAP, with one and with two processors.

use super::count::Tap;
use super::tally::Tally;
use crate::fault::Result;
use crate::place::Place;
use crate::run::{Boot, Options, Outcome, Stream, Terminal, execute, prepare, request};
use std::io::{Write, empty, stderr};
use std::time::Duration;

/// Why the guest cannot be tested yet, if it cannot. One constant switches these parts on.
const LACKING: Option<&str> = Some("the kernel does not boot yet");

/// The commands to run, each in a system of its own.
const PROGRAMS: [&[&str]; 1] = [&["tests"]];

/// Numbers of processors to run them with.
const CPUS: [u32; 2] = [1, 2];

/// Host time after which a system that still runs counts as hanging.
const LIMIT: Duration = Duration::from_secs(300);

/// Every program on every machine.
pub(super) fn guest(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    if let Some(reason) = LACKING {
        tally.skip("guest", reason);
        return Ok(());
    }
    let boot = prepare(place, &Options::default())?;
    for cpus in CPUS {
        for program in PROGRAMS {
            one(&boot, cpus, program, filter, tally)?;
        }
    }
    Ok(())
}

fn one(boot: &Boot, cpus: u32, program: &[&str], filter: &str, tally: &mut Tally) -> Result<()> {
    let name = format!("guest with {cpus} CPU: {}", program.join(" "));
    eprintln!("testing: {name}");
    let mut words: Vec<String> = program.iter().map(ToString::to_string).collect();
    if !filter.is_empty() {
        words.push(filter.to_owned());
    }
    let options = Options {
        cpus,
        ..Options::default()
    };
    let mut guest = boot
        .machine(&options, "command")?
        .start(Terminal::Untouched)?;
    let mut output = Vec::new();
    let outcome = execute(
        &mut guest,
        &request(&words)?,
        empty(),
        LIMIT,
        |stream, bytes| {
            if stream == Stream::Stdout {
                output.extend_from_slice(bytes);
            }
            // What cannot be shown is still counted.
            drop(stderr().write_all(bytes));
            Ok(())
        },
    )?;
    let mut tap = Tap::default();
    String::from_utf8_lossy(&output)
        .lines()
        .for_each(|line| tap.line(line));
    let (count, skipped) = tap.finish();
    for (case, reason) in skipped {
        tally.skip(&format!("{name}: {case}"), &reason);
    }
    // Failed cases may make the program end with a status of its own.
    let explained = matches!(outcome, Outcome::Exited(0))
        || matches!(outcome, Outcome::Exited(_)) && count.failed > 0;
    if !explained {
        eprint!("{}", boot.symbolised(&guest.log_text()));
        tally.one(&name, Err(format!("{outcome:?}")));
    }
    tally.add(&name, count);
    Ok(())
}

/// Stories of use: the whole system as a person meets it.
pub(super) fn story(_: &Place, _: &str, tally: &mut Tally) -> Result<()> {
    if let Some(reason) = LACKING {
        tally.skip("story", reason);
        return Ok(());
    }
    tally.skip("story", "no story is written yet");
    Ok(())
}
