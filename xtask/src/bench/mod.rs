//! `bench`: what operations cost, in executed guest instructions, beside the peers' figures.
//!
//! The guest program `bench` prints one JSON object a line; under a clock that counts instructions
//! its figures repeat. [`measure`](mod@measure) lets it run, [`steps`] counts what instructions do not show,
//! [`report`] and [`picture`](mod@picture) show the figures beside the [`peers`]'. Deliberately absent: wall-clock
//! time, which says nothing under an emulator.

mod lock;
mod measure;
mod peers;
mod picture;
mod report;
mod steps;

use crate::fault::{Doing, Result};
use crate::place::Place;
use lexopt::{Arg, Parser};
use picture::picture;
use report::{Row, regressions, table};

pub(crate) use measure::measure;
use measure::measure_all;
use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

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
    let rows = measure_all(place)?;
    let json = encode(&rows)?;
    let folder = place.other_target("bench");
    fs::create_dir_all(&folder).at("make", &folder)?;
    for (name, content) in [("report.json", &json), ("report.svg", &picture(&rows))] {
        let path = folder.join(name);
        fs::write(&path, content).at("write", &path)?;
        eprintln!("written: {}", path.display());
    }
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
        let kept: Vec<Row> = rows.into_iter().filter(repeats).collect();
        fs::write(&baseline, encode(&kept)?).at("write", &baseline)?;
        return Ok(0);
    }
    let worse = compare(place, &rows)?;
    for line in &worse {
        eprintln!("worse: {line}");
    }
    Ok(u8::from(!worse.is_empty()))
}

/// Whether two runs give the same figure: a boot waits for devices, whose time is the host's, and when the emulator changes
/// CPUs may depend on it too.
fn repeats(row: &Row) -> bool {
    row.samples > 1
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

fn encode(rows: &[Row]) -> Result<String> {
    let text = serde_json::to_string_pretty(rows).doing("encode the figures")?;
    Ok(text + "\n")
}
