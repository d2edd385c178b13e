//! A small process that cleans up after this tool however it ends.
//!
//! It waits on a pipe whose other end only this tool holds: a word on it is a dismissal, its closing
//! without one is this tool's death, by a panic, a signal, even `SIGKILL`. Either way it restores the
//! terminal; on a death it also ends the emulator. Deliberately absent: signal handlers, which could
//! not cover the last case.

use super::machine::Terminal;
use crate::fault::{Doing, Fault, Result};
use std::io::{Write, stdin};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

/// `$1` is the emulator's process, `$2` the terminal's state or nothing. Standard output is the
/// terminal. A terminal may be set from the background when the signal that forbids it is ignored.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM TTIN TTOU TSTP PIPE
read -r word
[ "$word" = dismissed ] || kill -9 "$1" 2>/dev/null
[ -z "$2" ] || stty "$2" <&1 2>/dev/null
"#;

/// What a raw terminal passes on unchanged: every byte typed. Output stays as it was.
const RAW: [&str; 11] = [
    "-icanon", "-isig", "-iexten", "-echo", "-ixon", "-icrnl", "-inlcr", "-igncr", "min", "1",
    "-istrip",
];

/// The running guardian.
#[derive(Debug)]
pub(crate) struct Guardian(Child);

impl Guardian {
    /// Starts it for the emulator's process, then makes the terminal raw if that is wanted.
    pub(crate) fn start(emulator: u32, terminal: Terminal) -> Result<Self> {
        let (state, output) = match terminal {
            Terminal::Untouched => (String::new(), Stdio::null()),
            Terminal::Raw => (stty(&["-g"])?, own_terminal()?.into()),
        };
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "guardian", &emulator.to_string()])
            .arg(state.trim())
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
            .doing("start sh")?;
        let guardian = Self(child);
        if terminal == Terminal::Raw {
            stty(&RAW)?;
        }
        Ok(guardian)
    }

    /// The emulator has ended: restores the terminal and returns when that is done.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // When it is gone already there is nobody to tell.
            drop(pipe.write_all(b"dismissed\n"));
        }
        drop(self.0.wait());
    }
}

fn own_terminal() -> Result<std::os::fd::OwnedFd> {
    stdin()
        .as_fd()
        .try_clone_to_owned()
        .doing("share the terminal")
}

fn stty(arguments: &[&str]) -> Result<String> {
    let output = Command::new("stty")
        .args(arguments)
        .stdin(Stdio::inherit())
        .output()
        .doing("start stty")?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Fault::new("cannot set the terminal with stty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn a_death_ends_the_emulator() {
        let mut emulator = sleeper();
        let mut guardian = Guardian::start(emulator.id(), Terminal::Untouched).unwrap();
        drop(guardian.0.stdin.take());
        assert!(guardian.0.wait().unwrap().success());
        assert_eq!(emulator.wait().unwrap().code(), None, "ended by a signal");
    }

    #[test]
    fn a_dismissal_harms_nobody() {
        let mut bystander = sleeper();
        let guardian = Guardian::start(bystander.id(), Terminal::Untouched).unwrap();
        guardian.dismiss();
        assert_eq!(bystander.try_wait().unwrap(), None, "still running");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
