//! `shutdown`: turns the machine off.

use super::{Done, Entry, none};
use crate::shell::Shell;

pub(super) const ENTRY: Entry = Entry("shutdown", "turns the machine off (also Ctrl-D)");

pub(super) fn run(shell: &Shell, arguments: &[&str]) -> Done {
    none(arguments, &ENTRY)?;
    Ok(shell.shut_down()?)
}
