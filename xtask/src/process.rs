//! Running other programs.

use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use std::env;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Cargo as it runs this tool, at the workspace's root.
pub(crate) fn cargo(place: &Place) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&place.root);
    command
}

/// Another toolchain's cargo, by way of rustup.
pub(crate) fn cargo_of(place: &Place, toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]);
    command.current_dir(&place.root);
    // These name the toolchain that built this tool.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        command.env_remove(name);
    }
    command
}

/// Runs to its end with this tool's own input and output.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command
        .status()
        .doing(format_args!("start {}", command.get_program().display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(Fault::new(format!("{what} failed ({status})")))
    }
}

/// Whether it ran and ended with success; its output is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// The same, without a word.
pub(crate) fn succeeds_quietly(command: &mut Command) -> bool {
    succeeds(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}

/// What it writes to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .doing(format_args!("start {program}"))?;
    if !output.status.success() {
        return Err(Fault::new(format!("{program} failed ({})", output.status)));
    }
    String::from_utf8(output.stdout).doing(format_args!("read what {program} says"))
}

/// Sends its standard output to this tool's standard error.
pub(crate) fn stdout_to_stderr(command: &mut Command) {
    if let Ok(stream) = std::io::stderr().as_fd().try_clone_to_owned() {
        command.stdout(stream);
    }
}

/// Runs it and hands each line of its standard output, which is shown too, to `take`. Says whether
/// it ended with success.
pub(crate) fn watch(command: &mut Command, mut take: impl FnMut(&str)) -> Result<bool> {
    each_line(command, |line| {
        println!("{line}");
        take(line);
    })
}

/// Runs it and hands each line of its standard output to `take`. Says whether it ended with success.
pub(crate) fn each_line(command: &mut Command, mut take: impl FnMut(&str)) -> Result<bool> {
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .doing(format_args!("start {program}"))?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .doing(format_args!("read from {program}"))?
            > 0
        {
            let text = String::from_utf8_lossy(&line);
            take(text.trim_end());
            line.clear();
        }
    }
    let status = child.wait().doing(format_args!("wait for {program}"))?;
    Ok(status.success())
}
