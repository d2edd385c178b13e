//! Stories of use: the whole system as a person meets it.

use super::guest::command;
use super::tally::Tally;
use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use crate::run::{Entry, Options, Outcome, prepare};
use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// All stories.
pub(super) fn story(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    let boot = prepare(place, &Options::default())?;
    for entry in [Entry::Direct, Entry::Bios, Entry::Uefi] {
        let name = format!("boot to a command, {entry:?}");
        if name.contains(filter) {
            let options = Options {
                entry,
                ..Options::default()
            };
            let (outcome, output) = command(&boot, &options, &name, &["help"])?;
            tally.one(&name, helped(outcome, &output));
        }
    }
    let name = "a new server boots";
    if name.contains(filter) {
        eprintln!("testing: {name}");
        tally.one(name, new_server(place).map_err(|fault| fault.to_string()));
    }
    Ok(())
}

/// Whether `help` came from the system that was booted.
fn helped(outcome: Outcome, output: &str) -> std::result::Result<(), String> {
    match outcome {
        Outcome::Exited(0) if output.contains("svc") => Ok(()),
        Outcome::Exited(0) => Err("help says nothing of svc".to_owned()),
        other => Err(format!("{other:?}")),
    }
}

/// The server that the story makes.
const SERVER: &str = "foo-bar";

/// `new server` in a copy of the tree, nothing edited by hand: its test passes, and the booted system lists and
/// starts it.
fn new_server(place: &Place) -> Result<()> {
    let copy = place.output().join("story-tree");
    if copy.exists() {
        fs::remove_dir_all(&copy).at("remove", &copy)?;
    }
    copy_tree(&place.root, &copy)?;
    let tool = |words: &[&str], input: &str| {
        let own = env::current_exe().doing("find this tool")?;
        let mut program = Command::new(own);
        finish("xtask", program.args(words), input, (place, &copy))
    };
    tool(&["new", "server", SERVER], "")?;
    let mut test = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.args(["test", "--quiet", "--package", SERVER]);
    let tests = finish("cargo test", &mut test, "", (place, &copy))?;
    expect(&tests, |line| line.starts_with("test result: ok. 1 passed"))?;
    let listed = tool(&["run", "--", "svc"], "")?;
    expect(&listed, |line| {
        line.contains(SERVER) && line.contains("idle")
    })?;
    let orders = format!("svc start {SERVER}\nsvc\nsvc\nsvc\nshutdown\n");
    let started = tool(&["run", "--timeout", "120"], &orders)?;
    expect(&started, |line| {
        line.contains(SERVER) && line.contains("running")
    })
}

/// Runs a program in the copy, with build results of the copy's own; its standard output.
fn finish(
    name: &str,
    program: &mut Command,
    input: &str,
    (place, copy): (&Place, &Path),
) -> Result<String> {
    let mut child = program
        .current_dir(copy)
        .env("CARGO_MANIFEST_DIR", copy.join("xtask"))
        .env("CARGO_TARGET_DIR", place.other_target("story"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .doing(format_args!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).doing("give orders")?;
    }
    let output = child
        .wait_with_output()
        .doing(format_args!("wait for {name}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Fault::new(format!("{name} ended with {}", output.status)))
}

fn expect(output: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
    if output.lines().any(wanted) {
        return Ok(());
    }
    Err(Fault::new(format!("a line is missing in: {output}")))
}

/// Copies all files but what is built and what git keeps for itself.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at("make", to)?;
    for entry in fs::read_dir(from).at("read", from)? {
        let entry = entry.at("read", from)?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == "target" || name == ".git" {
            continue;
        }
        let target = to.join(&name);
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::copy(&path, &target).at("copy", &path)?;
        }
    }
    Ok(())
}
