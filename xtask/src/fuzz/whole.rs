//! `fuzz campaign`: very many hostile traps and random programs on the simulated machine, and a part in the guest.
//!
//! The host's part is the example `campaign` of the crate `sim`, which makes runs of a bounded length. Each run is a
//! line of JSON with its seed and count; `fuzz campaign` with these numbers makes that run alone. The last line tells
//! all of them together.

use super::{Campaign, commit};
use crate::fault::{Fault, Result};
use crate::place::Place;
use crate::process;
use crate::run::{Options, prepare};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Map, Value, json};
use std::process::Command;
use std::time::Instant;

/// The most steps of a part.
const MOST: u64 = 100_000_000_000;

/// A whole campaign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Whole {
    /// Hostile traps on the simulated machine.
    traps: u64,
    /// Steps that the model judges.
    model: u64,
    /// Hostile traps in the guest, by number of processors.
    guest: u64,
    seed: u64,
}

/// What all runs of a campaign came to.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    runs: u64,
    traps: u64,
    model: u64,
    guest: u64,
    pub(crate) failed: u64,
}

impl Whole {
    /// CI's share, on the simulated machine alone: eight runs of traps, which is each number of processors with and
    /// without the fast path, and a tenth of the model's steps.
    pub(crate) const CI: Self = Self {
        traps: 2_000_000,
        model: 1_000_000,
        guest: 0,
        seed: 1,
    };

    /// Reads the rest of the command line.
    pub(super) fn parse(parser: &mut Parser) -> Result<Self> {
        let mut whole = Self {
            traps: 10_000_000,
            model: 1_000_000,
            guest: 200_000,
            seed: 1,
        };
        while let Some(argument) = parser.next()? {
            let (number, most) = match argument {
                Arg::Long("traps") => (&mut whole.traps, MOST),
                Arg::Long("model") => (&mut whole.model, MOST),
                Arg::Long("guest") => (&mut whole.guest, super::MOST),
                Arg::Long("seed") => (&mut whole.seed, (1 << 44) - 1),
                other => return Err(other.unexpected().into()),
            };
            *number = parser.value()?.parse()?;
            if *number > most {
                return Err(Fault::usage(format!("a number above {most}")));
            }
        }
        if whole.traps + whole.model + whole.guest == 0 {
            return Err(Fault::usage("nothing to do"));
        }
        Ok(whole)
    }

    /// The whole command; its exit status.
    pub(super) fn run(&self, place: &Place) -> Result<u8> {
        let begin = Instant::now();
        let commit = commit(place);
        let sum = self.runs(place, |mut report| {
            report.insert("commit".into(), commit.clone().into());
            println!("{}", Value::Object(report));
        })?;
        let verdict = match sum.failed {
            0 => "held".to_owned(),
            failed => format!("{failed} runs failed"),
        };
        let whole = json!({
            "campaign": "whole",
            "commit": commit,
            "seed": self.seed,
            "runs": sum.runs,
            "traps": sum.traps,
            "model": sum.model,
            "guest": sum.guest,
            "seconds": begin.elapsed().as_secs(),
            "verdict": verdict,
        });
        println!("{whole}");
        Ok(u8::from(sum.failed > 0))
    }

    /// All runs, each of which is told.
    pub(crate) fn runs(
        &self,
        place: &Place,
        mut tell: impl FnMut(Map<String, Value>),
    ) -> Result<Sum> {
        let mut sum = Sum::default();
        let mut take = |report: Map<String, Value>| {
            sum.add(&report);
            tell(report);
        };
        for (kind, count) in [("traps", self.traps), ("model", self.model)] {
            if count > 0 {
                self.host(place, (kind, count), &mut take)?;
            }
        }
        if self.guest > 0 {
            self.guest(place, &mut take)?;
        }
        Ok(sum)
    }

    /// The runs on the simulated machine.
    fn host(
        &self,
        place: &Place,
        (kind, count): (&str, u64),
        tell: &mut impl FnMut(Map<String, Value>),
    ) -> Result<()> {
        let target = place.other_target("campaign");
        let mut build = process::cargo(place);
        build
            .args(["build", "-q", "-p", "sim", "--example", "campaign"])
            .args(["--profile", "campaign", "--target-dir"])
            .arg(&target);
        process::run(&mut build, "cargo build")?;
        let mut runs = Command::new(target.join("campaign/examples/campaign"));
        runs.args([kind, &count.to_string(), &self.seed.to_string()]);
        let (mut failed, mut torn) = (0, 0);
        let done = process::each_line(&mut runs, |line| {
            match serde_json::from_str::<Map<String, Value>>(line) {
                Ok(report) => {
                    failed += u64::from(!held(&report));
                    tell(report);
                }
                Err(_) => torn += 1,
            }
        })?;
        // It says so itself when a run fails; any other end is the tool's own.
        if torn > 0 || done != (failed == 0) {
            return Err(Fault::new(format!("the campaign of {kind} broke off")));
        }
        Ok(())
    }

    /// The part in the guest.
    fn guest(&self, place: &Place, tell: &mut impl FnMut(Map<String, Value>)) -> Result<()> {
        for cpus in [1, 2] {
            let campaign = Campaign {
                count: self.guest,
                seed: self.seed,
                options: Options {
                    cpus,
                    ..Options::default()
                },
            };
            let boot = prepare(place, &campaign.options)?;
            let (_, verdict) = campaign.run(place, &boot)?;
            let mut report: Map<String, Value> =
                serde_json::from_str(&verdict.line).unwrap_or_default();
            report.insert("campaign".into(), "guest".into());
            tell(report);
        }
        Ok(())
    }
}

impl Sum {
    fn add(&mut self, report: &Map<String, Value>) {
        let count = report.get("count").and_then(Value::as_u64).unwrap_or(0);
        let steps = report.get("steps").and_then(Value::as_u64);
        self.runs += 1;
        match report.get("campaign").and_then(Value::as_str) {
            Some("traps") => self.traps += count,
            Some("model") => self.model += steps.unwrap_or(0),
            _ => self.guest += count,
        }
        self.failed += u64::from(!held(report));
    }
}

/// Whether a run's report says so.
pub(crate) fn held(report: &Map<String, Value>) -> bool {
    report.get("verdict").and_then(Value::as_str) == Some("held")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::Request;

    fn parse(words: &[&str]) -> Result<Request> {
        Request::parse(&mut Parser::from_args(words))
    }

    #[test]
    fn whole_campaigns_are_read_and_bad_ones_refused() {
        let words = [
            "campaign",
            "--traps",
            "5",
            "--model=6",
            "--guest",
            "0",
            "--seed",
            "7",
        ];
        let whole = Whole {
            traps: 5,
            model: 6,
            guest: 0,
            seed: 7,
        };
        assert_eq!(parse(&words).unwrap(), Request::Whole(whole));
        for bad in [
            &["campaign", "--traps"][..],
            &["campaign", "--traps", "x"],
            &["campaign", "--guest", "10000001"],
            &["campaign", "--smp", "2"],
            &["campaign", "--traps", "0", "--model", "0", "--guest", "0"],
        ] {
            assert_eq!(parse(bad).unwrap_err().status(), 2, "{bad:?}");
        }
    }

    #[test]
    fn a_campaign_with_a_run_that_failed_did_not_hold() {
        let mut sum = Sum::default();
        for line in [
            r#"{"campaign":"traps","count":5,"steps":4,"verdict":"held"}"#,
            r#"{"campaign":"model","count":5,"steps":7,"verdict":"held"}"#,
            r#"{"campaign":"guest","count":9,"verdict":"Panicked"}"#,
            "{}",
        ] {
            sum.add(&serde_json::from_str(line).unwrap());
        }
        assert_eq!((sum.runs, sum.traps, sum.model, sum.guest), (4, 5, 7, 9));
        assert_eq!(sum.failed, 2);
    }
}
