//! Figures: reading them from the guest, showing them, comparing them.

use super::peers::{SYSTEMS, figures};
use super::steps::Counts;
use crate::fault::{Doing, Fault, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A median may grow by this many parts in 100 before it is a regression.
const TOLERANCE: u64 = 2;

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    name: String,
    unit: String,
    pub(super) min: u64,
    pub(super) median: u64,
    pub(super) max: u64,
    pub(super) samples: u64,
    pub(super) transitions: Option<u64>,
    pub(super) cr3_writes: Option<u64>,
    /// The guest does not know of it.
    #[serde(default)]
    pub(super) msr_writes: Option<u64>,
    pub(super) copied: Option<u64>,
}

impl Row {
    /// The operation.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A figure that was found once.
    pub(super) fn single(name: String, unit: &str, value: u64) -> Self {
        Self {
            name,
            unit: unit.to_owned(),
            min: value,
            median: value,
            max: value,
            samples: 1,
            transitions: None,
            cr3_writes: None,
            msr_writes: None,
            copied: None,
        }
    }

    /// Takes what a run in steps counted.
    pub(super) fn set(&mut self, counts: Counts) {
        self.transitions = Some(counts.transitions);
        self.cr3_writes = Some(counts.cr3_writes);
        self.msr_writes = Some(counts.msr_writes);
        self.copied = Some(counts.copied);
    }
}

/// The rows that the guest printed, one JSON object a line. Other lines are for people.
pub(super) fn rows(output: &str) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut names = BTreeSet::new();
    succeeded(output)?;
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let row: Row =
            serde_json::from_str(line).doing(format_args!("understand the guest's {line:?}"))?;
        if !(row.min <= row.median && row.median <= row.max && row.samples > 0) {
            return Err(Fault::new(format!("the guest's {line:?} makes no sense")));
        }
        if !names.insert(row.name.clone()) {
            return Err(Fault::new(format!("{} was measured twice", row.name)));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Fault::new("the guest's bench printed no figure"));
    }
    Ok(rows)
}

/// Whether the guest's bench says nowhere that it failed.
pub(super) fn succeeded(output: &str) -> Result<()> {
    match output
        .lines()
        .find_map(|line| line.strip_prefix("failed: "))
    {
        Some(why) => Err(Fault::new(format!("the guest's bench failed: {why}"))),
        None => Ok(()),
    }
}

/// The figures beside the peers', with what theirs is as a multiple of ours.
pub(super) fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    let mut line = |cells: [String; 11]| {
        let [name, rest @ ..] = cells;
        let row = rest.iter().fold(format!("{name:<24}"), |mut row, cell| {
            row.push_str(&format!("{cell:>15}"));
            row
        });
        out.push_str(row.trim_end());
        out.push('\n');
    };
    let heads = [
        "operation",
        "median",
        "min",
        "max",
        "transitions",
        "CR3 writes",
        "MSR writes",
        "copied",
    ];
    let mut cells = [const { String::new() }; 11];
    for (cell, head) in cells.iter_mut().zip(heads.iter().chain(&SYSTEMS)) {
        (*head).clone_into(cell);
    }
    line(cells);
    let count = |value: Option<u64>| value.map_or_else(|| "-".into(), |n| n.to_string());
    for row in rows {
        let [mach, sel4, linux] = figures(&row.name).map(|peer| beside(peer, row.median));
        line([
            row.name.clone(),
            row.median.to_string(),
            row.min.to_string(),
            row.max.to_string(),
            count(row.transitions),
            count(row.cr3_writes),
            count(row.msr_writes),
            count(row.copied),
            mach,
            sel4,
            linux,
        ]);
    }
    out.push_str("instructions; (×N): the peer's as a multiple of ours\n");
    out
}

fn beside(peer: Option<u64>, own: u64) -> String {
    match peer {
        None => "-".into(),
        Some(peer) => {
            // In hundredths, rounded.
            let ratio = (peer * 100 + own / 2) / own.max(1);
            format!("{peer} (×{}.{:02})", ratio / 100, ratio % 100)
        }
    }
}

/// What is worse in `new` than in `old`, or gone from it.
pub(super) fn regressions(old: &[Row], new: &[Row]) -> Vec<String> {
    let mut worse = Vec::new();
    for before in old {
        match new.iter().find(|row| row.name == before.name) {
            None => worse.push(format!("{} is no longer measured", before.name)),
            Some(now) if now.median * 100 > before.median * (100 + TOLERANCE) => {
                worse.push(format!(
                    "{}: {} {}, was {}",
                    now.name, now.median, now.unit, before.median
                ));
            }
            Some(now) => worse.extend(costlier(before, now)),
        }
    }
    worse
}

/// What happens more often than before, of what costs more on hardware than its instructions say. Nothing is
/// tolerated, where both were counted.
fn costlier(before: &Row, now: &Row) -> Option<String> {
    let counts = [
        ("transitions", before.transitions, now.transitions),
        ("CR3 writes", before.cr3_writes, now.cr3_writes),
        ("MSR writes", before.msr_writes, now.msr_writes),
    ];
    let more = counts.into_iter().find_map(|(what, was, is)| {
        let (was, is) = was.zip(is)?;
        (is > was).then_some((what, was, is))
    });
    more.map(|(what, was, is)| format!("{}: {is} {what}, was {was}", now.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"name":"rpc_empty","unit":"instructions","min":300,"median":400,"max":500,"samples":1000,"transitions":2,"cr3_writes":2,"copied":0}"#;

    fn with_median(median: u64) -> Vec<Row> {
        let mut rows = rows(LINE).unwrap();
        rows[0].median = median;
        rows
    }

    #[test]
    fn rows_are_read_among_other_lines() {
        let rows = rows(&format!("warming up\n{LINE}\n")).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].median, rows[0].transitions), (400, Some(2)));
    }

    #[test]
    fn figures_that_make_no_sense_are_refused() {
        for bad in [
            "",
            "{\"name\":1}",
            &LINE.replace("300", "450"),
            &LINE.replace("1000", "0"),
            &format!("{LINE}\n{LINE}"),
        ] {
            assert!(rows(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bench_that_failed_has_no_figures() {
        let fault = rows(&format!("{LINE}\nfailed: the reply is wrong\n")).unwrap_err();
        assert!(fault.to_string().contains("the reply is wrong"), "{fault}");
    }

    #[test]
    fn the_table_shows_the_peers() {
        let text = table(&with_median(400));
        assert!(text.contains("1501 (×3.75)"), "{text}");
        assert!(text.contains("395 (×0.99)"), "{text}");
    }

    #[test]
    fn two_parts_in_a_hundred_are_tolerated() {
        let old = with_median(400);
        assert!(regressions(&old, &with_median(408)).is_empty());
        assert_eq!(regressions(&old, &with_median(409)).len(), 1);
        assert!(regressions(&old, &with_median(1)).is_empty());
        assert_eq!(regressions(&old, &[]).len(), 1);
    }

    #[test]
    fn another_switch_is_not_tolerated() {
        let old = with_median(400);
        let mut new = with_median(300);
        new[0].msr_writes = Some(1);
        // Nobody counted them before.
        assert!(regressions(&old, &new).is_empty());
        new[0].cr3_writes = Some(3);
        assert_eq!(regressions(&old, &new), ["rpc_empty: 3 CR3 writes, was 2"]);
    }
}
