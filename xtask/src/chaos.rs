//! `chaos scale`: very many of everything, beside a kernel that measures how long it keeps interrupts off.
//!
//! The guest program `scale` is the system's only task. It makes and ends objects, compares what is left with what
//! was there before, and prints a line for each story; this side boots it and gives the verdict. With one
//! processor the clock counts instructions, and so the kernel's longest stretch with interrupts off, which it tells
//! behind each line, is part of the verdict; with several, the emulator has no such clock. A run prints one line of
//! JSON, and a table of the stretches beside it.

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
const STORIES: usize = 31;

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
    /// The stories and their longest stretches with interrupts off, for people; empty where nothing counts instructions.
    table: String,
    /// What went wrong, if anything did.
    pub(crate) fault: Option<String>,
}

/// A stretch with interrupts off.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Stretch {
    instructions: u64,
    cause: String,
}

/// A line of the program's, and the longest of the stretches that the kernel told behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Part {
    told: Map<String, Value>,
    longest: Option<Stretch>,
}

impl Part {
    /// The parts of a log. Other lines are nobody's.
    fn all(log: &str) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for line in log.lines() {
            if let Ok(told) = serde_json::from_str(line) {
                let longest = None;
                parts.push(Self { told, longest });
            } else if let Some(part) = parts.last_mut() {
                part.longest = stretch(line).max(part.longest.take());
            }
        }
        parts
    }

    fn is_story(&self) -> bool {
        self.told.contains_key("story")
    }

    /// A story's name, or what else the line is about.
    fn name(&self) -> String {
        let text = |key: &str| self.told.get(key).and_then(Value::as_str);
        match (text("story"), text("before")) {
            (Some(story), _) => story.to_owned(),
            (None, Some(what)) => format!("before {what}"),
            (None, None) => "what failed".to_owned(),
        }
    }

    /// What the program said, and the stretch.
    fn json(&self) -> Value {
        let mut object = self.told.clone();
        if let Some(stretch) = &self.longest {
            let number = json!(stretch.instructions);
            object.insert("longest_stretch".into(), number);
            object.insert("longest_stretch_of".into(), json!(stretch.cause));
        }
        Value::Object(object)
    }

    /// In words, when interrupts were off for longer than they may be.
    fn too_long(&self) -> Option<String> {
        let stretch = self.longest.as_ref()?;
        let (name, length, cause) = (self.name(), stretch.instructions, &stretch.cause);
        (length > LONGEST)
            .then(|| format!("{name}: {length} instructions without interrupts: {cause}"))
    }

    /// A row of the table; empty without a figure.
    fn row(&self) -> String {
        let Some(stretch) = &self.longest else {
            return String::new();
        };
        let (name, length, cause) = (self.name(), stretch.instructions, &stretch.cause);
        format!("{name:<24} {length:>7}  {cause}\n")
    }
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
        let mut parts = Part::all(log);
        if !self.counts_instructions() {
            parts.iter_mut().for_each(|part| part.longest = None);
        }
        let stories: Vec<_> = parts.iter().filter(|part| part.is_story()).collect();
        let longest = parts.iter().filter_map(|part| part.longest.as_ref()).max();
        let fault = self.fault(&parts, &stories);
        let line = json!({
            "campaign": "scale",
            "seed": self.seed,
            "divide": self.divide,
            "cpus": self.options.cpus,
            "memory_mib": self.options.memory,
            "accelerator": "tcg",
            "commit": commit,
            "stories": stories.iter().map(|story| story.json()).collect::<Vec<_>>(),
            "longest_stretch": longest.map(|stretch| stretch.instructions),
            "longest_stretch_of": longest.map(|stretch| &*stretch.cause),
            "verdict": fault.as_deref().unwrap_or("held"),
        });
        Verdict {
            line: line.to_string(),
            table: parts.iter().map(Part::row).collect(),
            fault,
        }
    }

    fn fault(&self, parts: &[Part], stories: &[&Part]) -> Option<String> {
        let failed = |part: &Part| Some(part.told.get("failed")?.as_str()?.to_owned());
        if let Some(failed) = parts.iter().find_map(failed) {
            return Some(failed);
        }
        if stories.len() != STORIES {
            return Some(format!("{} of {STORIES} stories", stories.len()));
        }
        if !self.counts_instructions() {
            return None;
        }
        if let Some(story) = stories.iter().find(|story| story.longest.is_none()) {
            return Some(format!("{}: no stretch was measured", story.name()));
        }
        parts.iter().find_map(Part::too_long)
    }
}

/// The whole command; its exit status.
pub(crate) fn chaos(place: &Place, scale: &Scale) -> Result<u8> {
    let verdict = scale.run(place)?;
    println!("{}", verdict.line);
    eprint!("{}", verdict.table);
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

    /// That of a campaign whose stories have 7 instructions each, but for the last.
    fn log(last: &str) -> String {
        let story = |n| format!("{{\"story\":\"story {n}\",\"count\":5}}\n");
        let others: String = (1..STORIES)
            .map(|n| story(n) + "kernel: stretch 7 of trap -31\n")
            .collect();
        "{\"before\":\"the first\"}\nkernel: stretch 9 of vector 14\n".to_owned()
            + &others
            + "kernel: hello\n"
            + &story(STORIES)
            + last
    }

    #[test]
    fn only_a_campaign_that_held_is_without_fault() {
        let scale = parse(&["scale"]).unwrap();
        let fault = |log: &str| scale.judge("abc", log).fault;
        let two = "kernel: stretch 7 of vector 14\nkernel: stretch 50000 of trap -31\n";
        let verdict = scale.judge("abc", &log(two));
        assert_eq!(verdict.fault, None);
        assert!(verdict.line.contains("\"longest_stretch\":50000"));
        assert!(verdict.line.contains("\"verdict\":\"held\""));
        let none = format!("story {STORIES}: no stretch");
        assert!(fault(&log("")).unwrap().contains(&none));
        let long = "kernel: stretch 50001 of a step after trap -9\n";
        assert!(fault(&log(long)).unwrap().contains("trap -9"));
        let early = log(two).replace("stretch 9 of", "stretch 50001 of");
        assert!(fault(&early).unwrap().contains("before the first: 50001"));
        assert!(
            fault(two)
                .unwrap()
                .contains(&format!("0 of {STORIES} stories"))
        );
        let failed = log(two) + "{\"failed\":\"left behind: ports 7 instead of 6\"}\n";
        assert!(fault(&failed).unwrap().contains("ports 7"));
    }

    #[test]
    fn each_story_has_the_longest_of_the_stretches_behind_its_line() {
        let scale = parse(&["scale"]).unwrap();
        let two = "kernel: stretch 12 of message 3400\nkernel: stretch 8 of vector 14\n";
        let verdict = scale.judge("abc", &log(two));
        let rows: Vec<_> = verdict.table.lines().collect();
        assert_eq!(rows.len(), 1 + STORIES);
        let words = |row: usize| rows[row].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(0), "before the first 9 vector 14");
        assert_eq!(words(1), "story 1 7 trap -31");
        assert_eq!(words(STORIES), format!("story {STORIES} 12 message 3400"));
        let line: Value = serde_json::from_str(&verdict.line).unwrap();
        let last = &line["stories"][STORIES - 1];
        assert_eq!(last["longest_stretch"], 12);
        assert_eq!(last["longest_stretch_of"], "message 3400");
        assert_eq!(last["count"], 5);
    }

    #[test]
    fn with_several_processors_nothing_counts_instructions() {
        let scale = parse(&["scale", "--smp", "2"]).unwrap();
        let long = "kernel: stretch 9999999 of vector 14\n";
        let verdict = scale.judge("abc", &log(long));
        assert_eq!(verdict.fault, None);
        assert_eq!(verdict.table, "");
        assert!(verdict.line.contains("\"longest_stretch\":null"));
    }
}
