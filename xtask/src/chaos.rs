//! `chaos scale`: very many of everything, beside a kernel that measures how long it keeps interrupts off.
//!
//! The guest program `scale` is the system's only task. It makes and ends objects, compares what is left with what
//! was there before, and prints a line for each story; this side boots it and gives the verdict. With one
//! processor the clock counts instructions, and so the kernel's longest stretch with interrupts off is part of the
//! verdict; with several, the emulator has no such clock. A run prints one line of JSON.

use crate::fault::{Fault, Result};
use crate::fuzz::commit;
use crate::place::Place;
use crate::run::{Clock, Kernel, Options, prepare_alone};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Instructions for which the kernel may keep interrupts off.
const LONGEST: u64 = 50_000;
/// Memory in MiB, unless something else is said.
const MEMORY: u32 = 2048;
/// Host time after which a run counts as hanging.
const LIMIT: Duration = Duration::from_secs(1200);
/// Stories that the guest tells.
const STORIES: usize = 21;

/// The campaign.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scale {
    /// How many times smaller the sizes are.
    pub(crate) divide: u64,
    /// The order in which objects end.
    pub(crate) seed: u64,
    /// The machine.
    pub(crate) options: Options,
}

/// How a campaign ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// One object of JSON.
    pub(crate) line: String,
    /// What went wrong, if anything did.
    pub(crate) fault: Option<String>,
}

/// A stretch with interrupts off.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Stretch {
    instructions: u64,
    cause: String,
}

impl Scale {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        match parser.next()? {
            Some(Arg::Value(kind)) if kind == "scale" => {}
            Some(Arg::Value(kind)) => {
                let what = format!("chaos {} is not there yet: only scale", kind.display());
                return Err(Fault::usage(what));
            }
            Some(other) => return Err(other.unexpected().into()),
            None => return Err(Fault::usage("chaos takes a campaign: scale")),
        }
        let (mut divide, mut seed) = (1, 1);
        let mut machine = vec!["--mem".to_owned(), MEMORY.to_string()];
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("divide") => divide = parser.value()?.parse()?,
                Arg::Long("seed") => seed = parser.value()?.parse()?,
                Arg::Long(flag @ ("smp" | "mem")) => {
                    machine.push(format!("--{flag}"));
                    machine.push(parser.value()?.string()?);
                }
                other => return Err(other.unexpected().into()),
            }
        }
        if divide == 0 {
            return Err(Fault::usage("--divide takes a number from 1 on"));
        }
        Ok(Self {
            divide,
            seed,
            options: Options::parse(&mut Parser::from_args(machine))?,
        })
    }

    /// That of the tests: sizes so many times smaller, on so many processors.
    pub(crate) fn smaller(divide: u64, cpus: u32) -> Result<Self> {
        let (divide, cpus) = (divide.to_string(), cpus.to_string());
        Self::parse(&mut Parser::from_args([
            "scale", "--divide", &divide, "--smp", &cpus,
        ]))
    }

    /// Boots the program, and judges.
    pub(crate) fn run(&self, place: &Place) -> Result<Verdict> {
        let boot = prepare_alone(place, "scale", Kernel::Measuring)?;
        let mode = format!("scale divide={} seed={}", self.divide, self.seed);
        let mut machine = boot.machine(&self.options, &mode)?;
        if self.counts_instructions() {
            machine.clock = Clock::Instructions;
        }
        let log = boot.run_alone(&machine, LIMIT)?;
        Ok(self.judge(&commit(place), &log))
    }

    fn counts_instructions(&self) -> bool {
        self.options.cpus == 1
    }

    fn judge(&self, commit: &str, log: &str) -> Verdict {
        let told: Vec<Map<String, Value>> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let stories: Vec<_> = told.iter().filter(|o| o.contains_key("story")).collect();
        let failed = told.iter().find_map(|o| o.get("failed")?.as_str());
        let mut stretches: Vec<_> = log.lines().filter_map(stretch).collect();
        stretches.sort();
        let longest = stretches.last().filter(|_| self.counts_instructions());
        let fault = match (failed, longest) {
            (Some(failed), _) => Some(failed.to_owned()),
            _ if stories.len() != STORIES => {
                Some(format!("{} of {STORIES} stories", stories.len()))
            }
            (None, None) if self.counts_instructions() => Some("no stretch was measured".into()),
            (None, Some(longest)) if longest.instructions > LONGEST => Some(format!(
                "interrupts were off for {} instructions: {}",
                longest.instructions, longest.cause
            )),
            _ => None,
        };
        let line = json!({
            "campaign": "scale",
            "seed": self.seed,
            "divide": self.divide,
            "cpus": self.options.cpus,
            "memory_mib": self.options.memory,
            "accelerator": "tcg",
            "commit": commit,
            "stories": stories,
            "longest_stretch": longest.map(|stretch| stretch.instructions),
            "longest_stretch_of": longest.map(|stretch| &*stretch.cause),
            "verdict": fault.as_deref().unwrap_or("held"),
        });
        Verdict {
            line: line.to_string(),
            fault,
        }
    }
}

/// The whole command; its exit status.
pub(crate) fn chaos(place: &Place, scale: &Scale) -> Result<u8> {
    let verdict = scale.run(place)?;
    println!("{}", verdict.line);
    if let Some(fault) = &verdict.fault {
        eprintln!("error: seed {}: {fault}", scale.seed);
    }
    Ok(u8::from(verdict.fault.is_some()))
}

/// `kernel: stretch INSTRUCTIONS of CAUSE`.
fn stretch(line: &str) -> Option<Stretch> {
    let (instructions, cause) = line.strip_prefix("kernel: stretch ")?.split_once(" of ")?;
    Some(Stretch {
        instructions: instructions.parse().ok()?,
        cause: cause.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Scale> {
        Scale::parse(&mut Parser::from_args(words))
    }

    #[test]
    fn a_campaign_is_read_and_bad_ones_are_refused() {
        let scale = parse(&["scale", "--divide", "10", "--seed=7", "--smp", "2"]).unwrap();
        assert_eq!((scale.divide, scale.seed), (10, 7));
        assert_eq!((scale.options.cpus, scale.options.memory), (2, MEMORY));
        for bad in [
            &[][..],
            &["kill"],
            &["scale", "--divide", "0"],
            &["scale", "--seed", "x"],
            &["scale", "more"],
        ] {
            assert_eq!(parse(bad).unwrap_err().status(), 2, "{bad:?}");
        }
    }

    fn log(stretches: &str) -> String {
        "{\"story\":\"x\",\"count\":5}\n".repeat(STORIES) + "kernel: hello\n" + stretches
    }

    #[test]
    fn only_a_campaign_that_held_is_without_fault() {
        let scale = parse(&["scale"]).unwrap();
        let fault = |log: &str| scale.judge("abc", log).fault;
        let two = "kernel: stretch 50000 of trap -31\nkernel: stretch 7 of vector 14\n";
        let verdict = scale.judge("abc", &log(two));
        assert_eq!(verdict.fault, None);
        assert!(verdict.line.contains("\"longest_stretch\":50000"));
        assert!(verdict.line.contains("\"verdict\":\"held\""));
        assert!(fault(&log("")).unwrap().contains("no stretch"));
        let long = "kernel: stretch 50001 of a step after trap -9\n";
        assert!(fault(&log(long)).unwrap().contains("trap -9"));
        assert!(
            fault(two)
                .unwrap()
                .contains(&format!("0 of {STORIES} stories"))
        );
        let failed = log(two) + "{\"failed\":\"left behind: ports 7 instead of 6\"}\n";
        assert!(fault(&failed).unwrap().contains("ports 7"));
    }

    #[test]
    fn with_several_processors_nothing_counts_instructions() {
        let scale = parse(&["scale", "--smp", "2"]).unwrap();
        let long = "kernel: stretch 9999999 of vector 14\n";
        let verdict = scale.judge("abc", &log(long));
        assert_eq!(verdict.fault, None);
        assert!(verdict.line.contains("\"longest_stretch\":null"));
    }
}
