//! `help`: what commands there are.

use alloc::format;
use alloc::string::String;

use super::{ALL, Done, Entry};
use crate::failure::Failure;
use crate::session::Session;

pub(super) const ENTRY: Entry = Entry(
    "help [COMMAND]",
    "lists the commands, or says how one is used",
);

pub(super) async fn run(arguments: &[&str], session: &Session) -> Done {
    let text = match arguments {
        [] => {
            let all: String = ALL.iter().map(line).collect();
            all + "Any other name is a program of the archive: bench, tests, ...\n"
        }
        [name] => {
            let named = |Entry(usage, _): &&Entry| usage.split(' ').next() == Some(name);
            let found = ALL.iter().find(named);
            found.map(line).ok_or_else(|| {
                Failure::Said(format!("{name}: no builtin command; help lists them"))
            })?
        }
        _ => return Err(Failure::Usage(ENTRY.0)),
    };
    Ok(session.stdout(text.as_bytes()).await?)
}

fn line(Entry(usage, about): &Entry) -> String {
    format!("{usage:42} {about}\n")
}
