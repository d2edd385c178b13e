//! `test`: everything that CI runs, part by part, and one sum as the last line.

mod count;
mod fuzz;
mod guest;
mod host;
mod loader;
mod panics;
pub(crate) mod perfetto;
mod story;
mod tally;

use crate::fault::{Fault, Result};
use crate::place::Place;
use crate::setup::{Need, ensure, ensure_components};
use lexopt::{Arg, Parser, ValueExt};
use tally::Tally;

/// A part of the tests that can be named alone.
struct Part {
    name: &'static str,
    run: fn(&Place, &str, &mut Tally) -> Result<()>,
}

/// All parts, the quickest to fail first.
const PARTS: [Part; 5] = [
    Part {
        name: "host",
        run: host::host,
    },
    Part {
        name: "unsafe",
        run: host::unsafe_code,
    },
    Part {
        name: "fuzz",
        run: fuzz::fuzz,
    },
    Part {
        name: "guest",
        run: guest::guest,
    },
    Part {
        name: "story",
        run: story::story,
    },
];

/// What to run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Selection {
    part: Option<String>,
    filter: String,
}

impl Selection {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        let mut words = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(word) => words.push(word.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        let mut words = words.into_iter();
        let selection = Self {
            part: words.next(),
            filter: words.next().unwrap_or_default(),
        };
        if words.next().is_some() {
            return Err(Fault::usage("test takes a part and a filter"));
        }
        match &selection.part {
            Some(name) if PARTS.iter().all(|part| part.name != name) => Err(Fault::usage(format!(
                "no part of the tests is called {name}: they are {}",
                PARTS.each_ref().map(|part| part.name).join(", ")
            ))),
            _ => Ok(selection),
        }
    }
}

/// The whole command; its exit status. The sum is printed whatever happens.
pub(crate) fn test(place: &Place, selection: &Selection) -> Result<u8> {
    let mut tally = Tally::default();
    if let Err(fault) = set_up() {
        eprintln!("{fault}");
        tally.one("set-up", Err(fault.what().to_owned()));
    }
    for part in &PARTS {
        if selection.part.as_ref().is_none_or(|name| name == part.name) {
            eprintln!("testing: {}", part.name);
            if let Err(fault) = (part.run)(place, &selection.filter, &mut tally) {
                eprintln!("{fault}");
                tally.one(part.name, Err(fault.what().to_owned()));
            }
        }
    }
    println!("{tally}");
    Ok(tally.status())
}

/// What the tests of the tool and of the guest boot with. Where it cannot be had, the rest still runs.
fn set_up() -> Result<()> {
    ensure_components()?;
    ensure(&[
        Need::Emulator,
        Need::Disc,
        Need::Image,
        Need::Firmware,
        Need::Engine,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_filters_are_read() {
        let parse = |words: &[&str]| Selection::parse(&mut Parser::from_args(words));
        assert_eq!(parse(&[]).unwrap(), Selection::default());
        let chosen = parse(&["host", "tar"]).unwrap();
        assert_eq!(chosen.part.as_deref(), Some("host"));
        assert_eq!(chosen.filter, "tar");
        for bad in [&["hots"][..], &["host", "a", "b"], &["--fast"]] {
            assert_eq!(parse(bad).unwrap_err().status(), 2);
        }
    }
}
