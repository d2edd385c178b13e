//! `bench`: what operations cost, in executed guest instructions, beside the peers' figures.
//!
//! The guest program `bench` prints one JSON object a line; under a clock that counts instructions
//! its figures repeat. Deliberately absent: wall-clock time, which says nothing under an emulator.

mod peers;
mod report;

use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use crate::run::{Clock, Options, Outcome, Stream, Terminal, execute, prepare, request};
use lexopt::{Arg, Parser};
use report::{Row, regressions, rows, table};
use std::fs;
use std::io::{Write, empty, stderr, stdout};
use std::path::PathBuf;
use std::time::Duration;

/// Host time after which a measurement counts as hanging.
const LIMIT: Duration = Duration::from_secs(900);

/// How the figures are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Table,
    Json,
}

/// What becomes of the committed figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Baseline {
    Compare,
    Replace,
}

/// What to do with the figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    form: Form,
    baseline: Baseline,
}

impl Request {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        let mut request = Self {
            form: Form::Table,
            baseline: Baseline::Compare,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("json") => request.form = Form::Json,
                Arg::Long("write-baseline") => request.baseline = Baseline::Replace,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(request)
    }
}

/// The whole command; its exit status.
pub(crate) fn bench(place: &Place, request: Request) -> Result<u8> {
    let rows = measure(place)?;
    let json = encode(&rows)?;
    let path = place.other_target("bench").join("report.json");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at("make", folder)?;
    }
    fs::write(&path, &json).at("write", &path)?;
    match request.form {
        Form::Json => stdout().write_all(json.as_bytes()),
        Form::Table => stdout().write_all(table(&rows).as_bytes()),
    }
    .doing("write the figures")?;
    let baseline = baseline(place);
    if request.baseline == Baseline::Replace {
        if let Some(folder) = baseline.parent() {
            fs::create_dir_all(folder).at("make", folder)?;
        }
        fs::write(&baseline, &json).at("write", &baseline)?;
        return Ok(0);
    }
    let worse = compare(place, &rows)?;
    for line in &worse {
        eprintln!("worse: {line}");
    }
    Ok(u8::from(!worse.is_empty()))
}

/// What is worse than the committed figures; nothing when none are committed.
pub(crate) fn compare(place: &Place, rows: &[Row]) -> Result<Vec<String>> {
    let path = baseline(place);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).at("read", &path)?;
    let old: Vec<Row> = serde_json::from_str(&text).at("understand", &path)?;
    Ok(regressions(&old, rows))
}

fn baseline(place: &Place) -> PathBuf {
    place.root.join("bench/baseline.json")
}

/// Boots and measures.
pub(crate) fn measure(place: &Place) -> Result<Vec<Row>> {
    let options = Options::default();
    let boot = prepare(place, &options)?;
    let mut machine = boot.machine(&options, "command")?;
    machine.clock = Clock::Instructions;
    let mut guest = machine.start(Terminal::Untouched)?;
    let mut output = Vec::new();
    let payload = request(&["bench".to_owned()])?;
    let outcome = execute(&mut guest, &payload, empty(), LIMIT, |stream, bytes| {
        if stream == Stream::Stdout {
            output.extend_from_slice(bytes);
        } else {
            // What cannot be shown does not change the figures.
            drop(stderr().write_all(bytes));
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

fn encode(rows: &[Row]) -> Result<String> {
    let text = serde_json::to_string_pretty(rows).doing("encode the figures")?;
    Ok(text + "\n")
}
