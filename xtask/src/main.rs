//! `cargo xtask`: the one tool that sets up, builds, boots, tests and measures.
//!
//! One module per command; this file only assembles them. A failure is printed as `error: what` and,
//! where there is something to do, `try: command`.
#![forbid(unsafe_code)]

mod bench;
mod chaos;
mod fault;
mod fuzz;
mod gdb;
mod guest;
mod mutants;
mod packages;
mod place;
mod process;
mod run;
mod rust_text;
mod scaffold;
#[cfg(test)]
mod scratch;
mod setup;
mod test;
mod tidy;
mod trace;

use fault::{Fault, Result};
use lexopt::{Arg, Parser, ValueExt};
use place::Place;
use std::io::{Write, stdout};
use std::process::ExitCode;

const HELP: &str = include_str!("help.txt");

fn main() -> ExitCode {
    match dispatch(Parser::from_env()) {
        Ok(status) => ExitCode::from(status),
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::from(fault.status())
        }
    }
}

fn dispatch(mut parser: Parser) -> Result<u8> {
    let command = match parser.next()? {
        Some(Arg::Value(word)) => word.string()?,
        Some(Arg::Long("help") | Arg::Short('h')) => return help(),
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(Fault::usage("no command")),
    };
    if asks_for_help(&parser) {
        return help();
    }
    let place = Place::find()?;
    match command.as_str() {
        "help" => help(),
        "run" => run::run(&place, &run::Options::parse(&mut parser)?),
        "test" => test::test(&place, &test::Selection::parse(&mut parser)?),
        "doctor" => {
            nothing_more(&mut parser)?;
            setup::doctor().map(|complete| u8::from(!complete))
        }
        "tidy" => match parser.next()? {
            None => tidy::tidy(&place),
            Some(Arg::Long("coverage")) => tidy::coverage(&place),
            Some(other) => Err(other.unexpected().into()),
        },
        "new" => scaffold::new(&place, &scaffold::Request::parse(&mut parser)?),
        "bench" => bench::bench(&place, bench::Request::parse(&mut parser)?),
        "fuzz" => fuzz::fuzz(&place, &fuzz::Request::parse(&mut parser)?),
        "gdb" => gdb::gdb(&place, &run::Options::parse(&mut parser)?),
        "image" => {
            nothing_more(&mut parser)?;
            run::write_image(&place)
        }
        "doc" => {
            nothing_more(&mut parser)?;
            doc(&place)
        }
        "trace" => trace::trace(&place, trace::Request::parse(&mut parser)?),
        "chaos" => chaos::chaos(&place, &chaos::Scale::parse(&mut parser)?),
        "mutants" => mutants::mutants(&place, &mutants::Request::parse(&mut parser)?),
        other => Err(Fault::usage(format!("no command is called {other}"))),
    }
}

fn help() -> Result<u8> {
    // A reader that closes early, like `head`, has what it wanted.
    drop(stdout().write_all(HELP.as_bytes()));
    Ok(0)
}

/// API documentation of everything that the host can compile.
fn doc(place: &Place) -> Result<u8> {
    let mut command = process::cargo(place);
    command.args(["doc", "--workspace", "--no-deps"]);
    for (name, _) in [guest::KERNEL, guest::BOOT] {
        command.args(["--exclude", name]);
    }
    process::run(&mut command, "cargo doc")?;
    println!("{}", place.other_target("doc").display());
    Ok(0)
}

/// Whether `--help` stands before a `--`, behind which words belong to a guest's command.
fn asks_for_help(parser: &Parser) -> bool {
    let mut rest = parser.clone();
    let Ok(words) = rest.raw_args() else {
        return false;
    };
    words
        .take_while(|word| word != "--")
        .any(|word| word == "--help" || word == "-h")
}

/// Refuses further arguments.
fn nothing_more(parser: &mut Parser) -> Result<()> {
    match parser.next()? {
        None => Ok(()),
        Some(argument) => Err(argument.unexpected().into()),
    }
}
