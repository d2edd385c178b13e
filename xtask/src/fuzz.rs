//! `fuzz traps`: hostile traps from unprivileged tasks of the booted system, from a seed. `fuzz campaign`: these and
//! very many more on the simulated machine ([`whole`]).
//!
//! The guest program `fuzz` attacks and judges; this side boots it, shows what it says, and adds to its
//! verdict what only the host knows. A run prints one line of JSON; the same seed attacks the same way.

mod whole;

pub(crate) use whole::{Whole, held};

use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use crate::process;
use crate::run::{Boot, Options, Outcome, Stream, Terminal, execute, prepare, request};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Map, Value};
use std::io::{Write, empty, stderr};
use std::process::Command;
use std::time::Duration;

/// Host time that a campaign may take beside its steps.
const START: Duration = Duration::from_secs(120);
/// Steps that any machine does in a second of host time; far more are done where lives are long.
const SLOWEST: u64 = 500;
/// The most steps of one campaign.
const MOST: u64 = 10_000_000;
/// Exit status when the kernel panicked.
const PANICKED: u8 = 126;

/// What to fuzz.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// Traps in the guest.
    Traps(Campaign),
    /// Everything.
    Whole(Whole),
}

impl Request {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        match parser.next()? {
            Some(Arg::Value(kind)) if kind == "traps" => Ok(Self::Traps(Campaign::parse(parser)?)),
            Some(Arg::Value(kind)) if kind == "campaign" => Ok(Self::Whole(Whole::parse(parser)?)),
            Some(Arg::Value(kind)) => {
                let what = format!(
                    "fuzz {} is not there: only traps and campaign",
                    kind.display()
                );
                Err(Fault::usage(what))
            }
            Some(other) => Err(other.unexpected().into()),
            None => Err(Fault::usage("fuzz takes what to fuzz: traps or campaign")),
        }
    }
}

/// A campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Campaign {
    /// How many steps.
    pub(crate) count: u64,
    /// Where they come from.
    pub(crate) seed: u64,
    /// The machine to attack.
    pub(crate) options: Options,
}

impl Campaign {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        let (mut count, mut seed) = (200_000, 1);
        let mut machine = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("count") => count = parser.value()?.parse()?,
                Arg::Long("seed") => seed = parser.value()?.parse()?,
                Arg::Long("no-fast-path") => machine.push("--no-fast-path".to_owned()),
                Arg::Long(flag @ ("smp" | "mem" | "timeout")) => {
                    machine.push(format!("--{flag}"));
                    machine.push(parser.value()?.string()?);
                }
                other => return Err(other.unexpected().into()),
            }
        }
        if !(1..=MOST).contains(&count) {
            let what = format!("--count takes a number from 1 to {MOST}");
            return Err(Fault::usage(what));
        }
        // The guest makes each life's seed of this one and a number below 2^20.
        if seed >= 1 << 44 {
            return Err(Fault::usage("--seed takes a number below 2^44"));
        }
        Ok(Self {
            count,
            seed,
            options: Options::parse(&mut Parser::from_args(machine))?,
        })
    }

    /// Boots the system and attacks it; what came of it, and the verdict in words: `Ok` when it held.
    pub(crate) fn run(&self, place: &Place, boot: &Boot) -> Result<(Outcome, Verdict)> {
        let words = [
            "fuzz".to_owned(),
            "--count".to_owned(),
            self.count.to_string(),
            "--seed".to_owned(),
            self.seed.to_string(),
        ];
        let mut guest = boot
            .machine(&self.options, "command")?
            .start(Terminal::Untouched)?;
        let mut output = Vec::new();
        let limit = self.limit();
        let outcome = execute(
            &mut guest,
            &request(&words)?,
            empty(),
            limit,
            |from, bytes| {
                match from {
                    Stream::Stdout => output.extend_from_slice(bytes),
                    Stream::Stderr | Stream::Console => drop(stderr().write_all(bytes)),
                }
                Ok(())
            },
        )?;
        if !matches!(outcome, Outcome::Exited(_)) {
            eprint!("{}", boot.symbolised(&guest.log_text()));
            eprint!("{}", boot.symbolised(guest.registers()));
        }
        let report = report(&String::from_utf8_lossy(&output)).unwrap_or_default();
        Ok((outcome, self.judge(place, outcome, report)))
    }

    fn limit(&self) -> Duration {
        let steps = Duration::from_secs(self.count / SLOWEST);
        self.options.timeout.unwrap_or(START + steps)
    }

    /// Puts together what guest and host know.
    fn judge(&self, place: &Place, outcome: Outcome, mut report: Map<String, Value>) -> Verdict {
        let said = report.get("verdict").and_then(Value::as_str);
        let fault = match (outcome, said) {
            (Outcome::Exited(0), Some("held")) => None,
            (Outcome::Exited(_), Some(what)) => Some(what.to_owned()),
            (outcome, _) => Some(format!("{outcome:?}")),
        };
        report.insert("seed".into(), self.seed.into());
        report.insert("count".into(), self.count.into());
        report.insert("cpus".into(), self.options.cpus.into());
        report.insert("accelerator".into(), "tcg".into());
        report.insert("commit".into(), commit(place).into());
        report.insert(
            "verdict".into(),
            fault.clone().unwrap_or("held".into()).into(),
        );
        Verdict {
            line: Value::Object(report).to_string(),
            fault,
        }
    }
}

/// How a campaign ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// One object of JSON.
    pub(crate) line: String,
    /// What went wrong, if anything did.
    pub(crate) fault: Option<String>,
}

/// The whole command; its exit status.
pub(crate) fn fuzz(place: &Place, request: &Request) -> Result<u8> {
    match request {
        Request::Traps(campaign) => traps(place, campaign),
        Request::Whole(whole) => whole.run(place),
    }
}

fn traps(place: &Place, campaign: &Campaign) -> Result<u8> {
    let boot = prepare(place, &campaign.options)?;
    let (outcome, verdict) = campaign.run(place, &boot)?;
    println!("{}", verdict.line);
    Ok(match (outcome, verdict.fault) {
        (_, None) => 0,
        (Outcome::Panicked, Some(_)) => PANICKED,
        (_, Some(fault)) => {
            eprintln!("error: seed {}: {fault}", campaign.seed);
            1
        }
    })
}

/// The last line of what the guest printed that is a report.
fn report(output: &str) -> Option<Map<String, Value>> {
    output.lines().rev().find_map(|line| {
        let object: Map<String, Value> = serde_json::from_str(line.trim()).ok()?;
        object.contains_key("campaign").then_some(object)
    })
}

/// The commit that is checked out, or `unknown` where nothing tells.
pub(crate) fn commit(place: &Place) -> String {
    let mut git = Command::new("git");
    git.current_dir(&place.root)
        .args(["describe", "--always", "--dirty"]);
    let said = process::output(&mut git).doing("ask for the commit");
    said.map_or("unknown".into(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Campaign> {
        match Request::parse(&mut Parser::from_args(words))? {
            Request::Traps(campaign) => Ok(campaign),
            Request::Whole(whole) => panic!("{whole:?}"),
        }
    }

    #[test]
    fn campaigns_are_read_and_bad_ones_refused() {
        let campaign = parse(&["traps", "--count", "1000", "--seed=7", "--smp", "2"]).unwrap();
        assert_eq!((campaign.count, campaign.seed), (1000, 7));
        assert_eq!(campaign.options.cpus, 2);
        for bad in [
            &[][..],
            &["files"],
            &["traps", "--count", "0"],
            &["traps", "--count", "10000001"],
            &["traps", "--seed", "x"],
            &["traps", "--smp", "0"],
            &["traps", "more"],
        ] {
            assert_eq!(parse(bad).unwrap_err().status(), 2, "{bad:?}");
        }
    }

    #[test]
    fn only_a_campaign_that_held_is_without_fault() {
        let campaign = parse(&["traps", "--seed", "9"]).unwrap();
        let place = Place::of(std::path::Path::new("."));
        let judge = |outcome, output: &str| {
            let report = report(output).unwrap_or_default();
            campaign.judge(&place, outcome, report)
        };
        let held = "noise\n{\"campaign\":\"traps\",\"verdict\":\"held\",\"steps\":5}\n";
        assert_eq!(judge(Outcome::Exited(0), held).fault, None);
        assert!(judge(Outcome::Exited(0), held).line.contains("\"seed\":9"));
        assert!(judge(Outcome::Exited(1), held).fault.is_some());
        assert!(
            judge(Outcome::Panicked, "")
                .fault
                .unwrap()
                .contains("Panicked")
        );
        assert!(judge(Outcome::Exited(0), "").fault.is_some(), "no report");
    }
}
