//! Whether a guest runs under KVM here.
//!
//! A `/dev/kvm` that opens is no proof: inside another virtual machine it may be there and run nothing, or
//! nothing of 64 bits. So what is about to be booted is booted once for one command, on one processor.

use super::command::{Outcome, execute, request};
use super::machine::{Ending, Terminal};
use super::options::{Accelerator, Options};
use super::{Boot, Stream};
use crate::fault::{Fault, Result};
use std::io::empty;
use std::time::Duration;

/// Where the host's kernel offers KVM.
const DEVICE: &str = "/dev/kvm";
/// Far more than a boot takes where it works.
const LIMIT: Duration = Duration::from_secs(30);
/// A command that every guest has.
const COMMAND: &str = "help";

/// Fails, with the reason and the way without it, when the guest in `boot` does not run under KVM.
pub(super) fn probe(boot: &Boot) -> Result<()> {
    if let Err(error) = std::fs::File::options().read(true).write(true).open(DEVICE) {
        return Err(refusal(&format!("cannot open {DEVICE}: {error}")));
    }
    eprintln!("probing: whether a guest runs under KVM");
    let options = Options {
        accelerator: Accelerator::Kvm,
        ..Options::default()
    };
    let machine = boot.machine(&options, "command")?;
    let mut guest = machine.start(Terminal::Untouched)?;
    let nothing = |_: Stream, _: &[u8]| Ok(());
    let outcome = execute(
        &mut guest,
        &request(&[COMMAND.into()])?,
        empty(),
        LIMIT,
        nothing,
    )?;
    match reason(outcome) {
        None => Ok(()),
        Some(reason) => Err(refusal(&reason)),
    }
}

/// Why what came of the probe is no success.
fn reason(outcome: Outcome) -> Option<String> {
    match outcome {
        Outcome::Exited(_) | Outcome::NoSuchCommand | Outcome::Exception { .. } => None,
        Outcome::TimedOut => Some(format!("it did not come up in {} s", LIMIT.as_secs())),
        Outcome::Hung => Some("it hangs".to_owned()),
        Outcome::Panicked => Some("its kernel panicked".to_owned()),
        Outcome::Lost(Ending::Failed(Some(code))) => {
            Some(format!("the emulator ended with status {code}"))
        }
        Outcome::Lost(_) => Some("the emulator ended early".to_owned()),
    }
}

fn refusal(reason: &str) -> Fault {
    Fault::new(format!("no guest runs under KVM here: {reason}"))
        .attempt("cargo xtask run --accel tcg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guest_that_answered_is_a_proof() {
        assert_eq!(reason(Outcome::Exited(0)), None);
        assert_eq!(reason(Outcome::NoSuchCommand), None);
        for outcome in [
            Outcome::TimedOut,
            Outcome::Hung,
            Outcome::Panicked,
            Outcome::Lost(Ending::Failed(Some(1))),
            Outcome::Lost(Ending::Finished),
        ] {
            assert!(reason(outcome).is_some(), "{outcome:?}");
        }
    }
}
