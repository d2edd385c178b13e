//! `reboot`: starts the machine again.

use super::{Done, Entry, none};
use crate::shell::Shell;

pub(super) const ENTRY: Entry = Entry("reboot", "starts the machine again");

pub(super) fn run(shell: &Shell, arguments: &[&str]) -> Done {
    none(arguments, &ENTRY)?;
    Ok(shell.reboot()?)
}
