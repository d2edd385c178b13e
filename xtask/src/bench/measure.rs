//! Lets the guest's bench run: as the only task, again step by step, and once in the whole system.
//!
//! Alone nothing disturbs it: all figures but one repeat to the instruction. How much is executed from
//! reset until a program runs, the whole system must say.

use super::lock;
use super::report::{Row, rows};
use super::steps::{Counts, Places, Reader};
use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use crate::run::{
    Boot, Clock, Kernel, Machine, Options, Outcome, Stream, Terminal, execute, prepare,
    prepare_alone, request,
};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, empty, stderr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Memory in MiB: there are 10,000 tasks at a time.
const MEMORY: u32 = 512;
/// Host time after which a run counts as hanging.
const LIMIT: Duration = Duration::from_secs(900);
/// Opening a pipe to write fails at once when nobody reads it (Linux, `O_NONBLOCK`).
const NONBLOCK: i32 = 0o4000;

/// Boots and measures instructions.
pub(crate) fn measure(place: &Place) -> Result<Vec<Row>> {
    let (boot, machine) = alone(place)?;
    let mut rows = rows(&boot.run_alone(&machine, LIMIT)?)?;
    rows.extend(apart(&boot)?);
    add_since_reset(place, &mut rows);
    Ok(rows)
}

/// As [`measure`], and counts what instructions do not show.
pub(super) fn measure_all(place: &Place) -> Result<Vec<Row>> {
    let (boot, machine) = alone(place)?;
    let mut rows = rows(&boot.run_alone(&machine, LIMIT)?)?;
    eprintln!("measuring: transitions, CR3 and MSR writes, copied elements");
    match step(&boot, machine) {
        Ok(counts) if counts.len() == rows.len() => {
            rows.iter_mut().zip(counts).for_each(|(row, c)| row.set(c));
        }
        Ok(counts) => {
            let (found, wanted) = (counts.len(), rows.len());
            return Err(Fault::new(format!(
                "the run in steps had {found} rows, not {wanted}"
            )));
        }
        Err(fault) => eprintln!("not measured: {fault}"),
    }
    eprintln!("measuring: large pages, and beside many names, threads, tasks");
    rows.extend(apart(&boot)?);
    eprintln!("measuring: the kernel lock");
    rows.extend(lock::measure(place)?);
    add_since_reset(place, &mut rows);
    Ok(rows)
}

/// A machine whose only task is the bench.
fn alone(place: &Place) -> Result<(Boot, Machine)> {
    let boot = prepare_alone(place, "bench", Kernel::Plain)?;
    let mut machine = boot.machine(&Options::default(), "bench")?;
    machine.clock = Clock::Instructions;
    eprintln!("measuring: instructions");
    Ok((boot, machine))
}

/// Large pages, and a call beside very many objects of each kind. It runs by itself: in steps, to zero the pages and to make the
/// objects would take too long.
fn apart(boot: &Boot) -> Result<Vec<Row>> {
    let options = Options {
        memory: MEMORY,
        ..Options::default()
    };
    let mut machine = boot.machine(&options, "bench apart=1")?;
    machine.clock = Clock::Instructions;
    rows(&boot.run_alone(&machine, LIMIT)?)
}

fn add_since_reset(place: &Place, rows: &mut Vec<Row>) {
    match since_reset(place) {
        Ok(row) => rows.extend(row),
        Err(fault) => eprintln!("not measured: boot_to_prompt: {fault}"),
    }
}

/// Runs it again, step by step.
fn step(boot: &Boot, mut machine: Machine) -> Result<Vec<Counts>> {
    let read = |name| {
        let path = boot.file(name);
        fs::read(&path).at("read", &path)
    };
    let places = Places::find(&read("kernel")?, &read("program")?)?;
    let pipe = boot.file("steps");
    // An earlier run in this folder left its own; without one there is nothing to remove.
    drop(fs::remove_file(&pipe));
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.doing("start mkfifo")?.success() {
        return Err(Fault::new("mkfifo made no pipe"));
    }
    machine.extra.extend(places.arguments(&pipe));
    let from = pipe.clone();
    let reading = thread::spawn(move || listen(&from, places));
    let ran = boot.run_alone(&machine, LIMIT);
    // An emulator that never opened the pipe leaves its reader waiting: this ends the wait.
    let last = OpenOptions::new()
        .write(true)
        .custom_flags(NONBLOCK)
        .open(&pipe);
    drop(last);
    let counts = reading
        .join()
        .map_err(|_| Fault::new("reading the steps failed"))?;
    ran?;
    counts
}

fn listen(pipe: &Path, places: Places) -> Result<Vec<Counts>> {
    let mut lines = BufReader::with_capacity(1 << 20, File::open(pipe).at("open", pipe)?);
    let mut reader = Reader::new(places);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).at("read", pipe)? > 0 {
        reader.line(&line);
        line.clear();
    }
    Ok(reader.finish())
}

/// What the whole system executes until a program that was asked for on the channel begins.
fn since_reset(place: &Place) -> Result<Vec<Row>> {
    let options = Options::default();
    let boot = prepare(place, &options)?;
    let mut machine = boot.machine(&options, "command")?;
    machine.clock = Clock::Instructions;
    let mut guest = machine.start(Terminal::Untouched)?;
    let mut output = Vec::new();
    let payload = request(&["bench".to_owned(), "boot".to_owned()])?;
    let outcome = execute(&mut guest, &payload, empty(), LIMIT, |stream, bytes| {
        if stream == Stream::Stdout {
            output.extend_from_slice(bytes);
        } else {
            // What cannot be shown does not change the figures.
            drop(std::io::Write::write_all(&mut stderr(), bytes));
        }
        Ok(())
    })?;
    if outcome != Outcome::Exited(0) {
        eprint!("{}", boot.symbolised(&guest.log_text()));
        return Err(Fault::new(format!(
            "the guest's bench ended with {outcome:?}"
        )));
    }
    rows(&String::from_utf8_lossy(&output))
}
