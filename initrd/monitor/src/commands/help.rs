//! `help`: what commands there are.

use alloc::format;
use alloc::string::String;

use super::{ALL, Done, Entry, none};
use crate::session::Session;

pub(super) const ENTRY: Entry = Entry("help", "lists the commands");

pub(super) async fn run(arguments: &[&str], session: &Session) -> Done {
    none(arguments, &ENTRY)?;
    let mut text = String::new();
    for Entry(usage, about) in ALL {
        text.push_str(&format!("{usage:42} {about}\n"));
    }
    text.push_str("Any other name is a program of the archive: bench, tests, ...\n");
    Ok(session.stdout(text.as_bytes()).await?)
}
