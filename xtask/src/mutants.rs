//! `mutants`: versions of the kernel with one bug each, which the tests must catch.
//!
//! A bug is a place in a source file and what stands there instead (`microkernel/mutants.toml`). It is put into a copy
//! of the tree, so that nobody's work is touched. Tests named for it pass without it and fail with it, else it survives: a
//! behaviour that nothing shows. What hangs is caught too. A run prints one line of JSON.

use crate::fault::{Doing, Fault, Result};
use crate::fuzz::commit;
use crate::place::{Place, copy_tree};
use lexopt::{Arg, Parser, ValueExt};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where the bugs are listed.
const LIST: &str = "microkernel/mutants.toml";
/// Seconds after which tests hang, their build not counted.
const LIMIT: &str = "600";

/// A version with a bug.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    file: String,
    find: String,
    replace: String,
    /// Arguments of `cargo test`.
    tests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

impl Mutant {
    fn all(place: &Place) -> Result<Vec<Self>> {
        let path = place.root.join(LIST);
        let text = fs::read_to_string(&path).at("read", &path)?;
        let list: List = toml::from_str(&text).at("read", &path)?;
        Ok(list.mutant)
    }

    /// The file with the bug.
    fn apply(&self, original: &str) -> Result<String> {
        match original.matches(&self.find).count() {
            1 => Ok(original.replacen(&self.find, &self.replace, 1)),
            count => {
                let (name, file) = (&self.name, &self.file);
                Err(Fault::new(format!(
                    "{name}: {count} places in {file}, not one"
                )))
            }
        }
    }
}

/// How tests ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Passed,
    Failed,
    NotBuilt,
}

/// Which bugs to try: those whose names hold a text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Request {
    filter: String,
}

impl Request {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        let mut request = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(word) if request.filter.is_empty() => request.filter = word.string()?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(request)
    }
}

/// The whole command; its exit status: 1 when one survived.
pub(crate) fn mutants(place: &Place, request: &Request) -> Result<u8> {
    let mut chosen = Mutant::all(place)?;
    chosen.retain(|mutant| mutant.name.contains(&request.filter));
    let copy = Copy::of(place)?;
    // What fails anyway catches nothing.
    let distinct: BTreeSet<_> = chosen.iter().map(|mutant| &mutant.tests).collect();
    for tests in distinct {
        eprintln!("without a bug: cargo test {}", tests.join(" "));
        if copy.test(tests)? != Ending::Passed {
            return Err(Fault::new("the tests fail without a bug").attempt("cargo xtask test host"));
        }
    }
    let mut survivors = Vec::new();
    for mutant in &chosen {
        let caught = copy.catches(mutant)?;
        let said = if caught { "caught" } else { "survived" };
        eprintln!("{said}: {}", mutant.name);
        survivors.extend((!caught).then_some(&mutant.name));
    }
    let line = json!({
        "campaign": "mutants",
        "commit": commit(place),
        "mutants": chosen.len(),
        "caught": chosen.len() - survivors.len(),
        "survivors": survivors,
    });
    println!("{line}");
    Ok(u8::from(!survivors.is_empty()))
}

/// The copy of the tree.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn of(place: &Place) -> Result<Self> {
        let root = place.output().join("mutants-tree");
        if root.exists() {
            fs::remove_dir_all(&root).at("remove", &root)?;
        }
        copy_tree(&place.root, &root)?;
        let target = place.other_target("mutants");
        Ok(Self { root, target })
    }

    /// Whether a bug's tests catch it.
    fn catches(&self, mutant: &Mutant) -> Result<bool> {
        let path = self.root.join(&mutant.file);
        let original = fs::read_to_string(&path).at("read", &path)?;
        fs::write(&path, mutant.apply(&original)?).at("write", &path)?;
        let ending = self.test(&mutant.tests);
        fs::write(&path, original).at("write", &path)?;
        match ending? {
            Ending::Failed => Ok(true),
            Ending::Passed => Ok(false),
            Ending::NotBuilt => Err(Fault::new(format!("{}: it does not build", mutant.name))),
        }
    }

    fn test(&self, tests: &[String]) -> Result<Ending> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(&cargo);
        build.args(["test", "--quiet", "--no-run"]).args(tests);
        if !self.succeeds(&mut build)? {
            return Ok(Ending::NotBuilt);
        }
        let mut bounded = Command::new("timeout");
        bounded.arg(LIMIT).arg(&cargo).args(["test", "--quiet"]);
        match self.succeeds(bounded.args(tests))? {
            true => Ok(Ending::Passed),
            false => Ok(Ending::Failed),
        }
    }

    /// Runs it in the copy. What it says of a bug is of no interest.
    fn succeeds(&self, command: &mut Command) -> Result<bool> {
        command.current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target);
        command.env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().doing("start the tests")?;
        Ok(status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_its_place_and_changes_it() {
        let place = Place::find().unwrap();
        let all = Mutant::all(&place).unwrap();
        assert!(all.len() >= 20, "{}", all.len());
        for mutant in all {
            let original = fs::read_to_string(place.root.join(&mutant.file)).unwrap();
            assert_ne!(
                mutant.apply(&original).unwrap(),
                original,
                "{}",
                mutant.name
            );
            assert_eq!(mutant.tests.first().map(String::as_str), Some("-p"));
        }
    }

    #[test]
    fn a_place_that_is_gone_or_not_the_only_one_is_told() {
        let mutant = Mutant {
            name: "one".into(),
            file: "x.rs".into(),
            find: "a".into(),
            replace: "b".into(),
            tests: Vec::new(),
        };
        assert_eq!(mutant.apply("cat").unwrap(), "cbt");
        for text in ["", "aa"] {
            let fault = mutant.apply(text).unwrap_err().to_string();
            assert!(fault.contains("one: "), "{fault}");
        }
    }

    #[test]
    fn one_filter_is_read() {
        let parse = |words: &[&str]| Request::parse(&mut Parser::from_args(words));
        assert_eq!(parse(&[]).unwrap().filter, "");
        assert_eq!(parse(&["arena"]).unwrap().filter, "arena");
        for bad in [&["a", "b"][..], &["--all"]] {
            assert_eq!(parse(bad).unwrap_err().status(), 2);
        }
    }
}
