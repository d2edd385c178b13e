//! `gdb`: the debugger on the kernel, which stands still before its first instruction.
//!
//! The debugger starts the emulator behind a pipe of its own and ends it when it ends. This tool
//! becomes the debugger, so that Ctrl-C is the debugger's.

use crate::fault::{Fault, Result};
use crate::place::Place;
use crate::run::{Options, prepare};
use crate::setup::require_program;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The whole command. It returns only when the debugger cannot be started.
pub(crate) fn gdb(place: &Place, options: &Options) -> Result<u8> {
    let program = require_program("gdb", "gdb")?;
    let boot = prepare(place, options)?;
    let console = boot.file("console.log");
    let mut machine = boot.machine(options, "console")?;
    machine.extra = ["-S", "-gdb", "stdio"].map(Into::into).into();
    let arguments = machine.arguments_with_console(&console);
    let line = arguments
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>();
    eprintln!("the console goes to {}", console.display());
    let fault = Command::new(program)
        .arg("--quiet")
        .arg(boot.file("kernel"))
        .args(["-ex", "set pagination off", "-ex"])
        .arg(format!(
            "target remote | exec qemu-system-x86_64 {}",
            line.join(" ")
        ))
        .exec();
    Err(Fault::new(format!("cannot start gdb: {fault}")))
}

/// A word as a shell reads it back.
fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for word in ["plain", "two words", "it's", "$HOME `x` \"y\" \\"] {
            let output = Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(OsStr::new(word)))])
                .output()
                .unwrap();
            assert_eq!(output.stdout, word.as_bytes());
        }
    }
}
