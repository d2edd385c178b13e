//! The options that `run` and the commands built on it share.

use crate::fault::{Fault, Result};
use crate::guest::Addition;
use lexopt::{Arg, Parser, ValueExt};
use std::path::PathBuf;
use std::time::Duration;

/// Most processors that the emulated machine offers.
const MAX_CPUS: u32 = 64;
/// Least memory in MiB that is worth a try.
const MIN_MEMORY: u32 = 16;
/// Most memory in MiB: where 32-bit device windows begin to matter is far below this.
const MAX_MEMORY: u32 = 64 * 1024;

/// Whether the kernel uses its fast path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FastPath {
    /// As always.
    On,
    /// For comparison.
    Off,
}

/// How the machine gets to the boot stub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// The emulator loads it.
    Direct,
    /// From the bootable image, by BIOS.
    Bios,
    /// From the bootable image, by UEFI.
    Uefi,
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Accelerator {
    /// The emulator, everywhere alike.
    Tcg,
    /// The host's processor.
    Kvm,
}

/// How to boot, and what to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    /// How many processors.
    pub(crate) cpus: u32,
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// How the machine gets to the boot stub.
    pub(crate) entry: Entry,
    /// A Limine that an image is made with, in GRUB's and the boot stub's place.
    pub(crate) limine: Option<PathBuf>,
    /// What executes the guest's instructions.
    pub(crate) accelerator: Accelerator,
    /// Whether the kernel uses its fast path.
    pub(crate) fast_path: FastPath,
    /// Time from the emulator's start to its forced end.
    pub(crate) timeout: Option<Duration>,
    /// Guest seconds after which the kernel tells what all threads do, and ends the run.
    pub(crate) watchdog: Option<u32>,
    /// Further words for the boot stub and the kernel.
    pub(crate) words: Vec<&'static str>,
    /// Files to put into the archive.
    pub(crate) additions: Vec<Addition>,
    /// The command and its arguments; without one, the console.
    pub(crate) command: Option<Vec<String>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory: 256,
            entry: Entry::Direct,
            limine: None,
            accelerator: Accelerator::Tcg,
            fast_path: FastPath::On,
            timeout: None,
            watchdog: None,
            words: Vec::new(),
            additions: Vec::new(),
            command: None,
        }
    }
}

impl Options {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("smp") => {
                    options.cpus = within("--smp", parser.value()?.parse()?, 1, MAX_CPUS)?;
                }
                Arg::Long("mem") => {
                    options.memory =
                        within("--mem", parser.value()?.parse()?, MIN_MEMORY, MAX_MEMORY)?;
                }
                Arg::Long("timeout") => {
                    let seconds = within("--timeout", parser.value()?.parse()?, 1, 86_400)?;
                    options.timeout = Some(Duration::from_secs(seconds.into()));
                }
                Arg::Long("watchdog") => {
                    let seconds = within("--watchdog", parser.value()?.parse()?, 1, 86_400)?;
                    options.watchdog = Some(seconds);
                }
                Arg::Long("image") => {
                    options.entry = entry(&parser.value()?.string()?)?;
                    options.limine = super::limine::named();
                }
                Arg::Long("no-fast-path") => options.fast_path = FastPath::Off,
                Arg::Long("add") => options
                    .additions
                    .push(addition(&parser.value()?.string()?)?),
                Arg::Long("accel") => {
                    options.accelerator = accelerator(&parser.value()?.string()?)?;
                }
                Arg::Long(flag @ ("gui" | "disk")) => {
                    return Err(Fault::usage(format!("--{flag} is not there yet")));
                }
                Arg::Value(first) => {
                    // Only `--` comes before a command, so that its own flags are never ours.
                    options.command = Some(words(parser, first.string()?)?);
                    break;
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

fn words(parser: &mut Parser, first: String) -> Result<Vec<String>> {
    let mut words = vec![first];
    for word in parser.raw_args()? {
        words.push(word.string()?);
    }
    Ok(words)
}

fn within(flag: &str, value: u32, least: u32, most: u32) -> Result<u32> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Fault::usage(format!(
            "{flag} takes a number from {least} to {most}"
        )))
    }
}

fn accelerator(name: &str) -> Result<Accelerator> {
    match name {
        "tcg" => Ok(Accelerator::Tcg),
        "kvm" => Ok(Accelerator::Kvm),
        other => Err(Fault::usage(format!(
            "--accel takes tcg or kvm, not {other}"
        ))),
    }
}

fn entry(name: &str) -> Result<Entry> {
    match name {
        "bios" => Ok(Entry::Bios),
        "uefi" => Ok(Entry::Uefi),
        other => Err(Fault::usage(format!(
            "--image takes bios or uefi, not {other}"
        ))),
    }
}

/// `HOST:GUEST`; the guest's path is what follows the last colon.
fn addition(text: &str) -> Result<Addition> {
    match text.rsplit_once(':') {
        Some((host, guest)) if !host.is_empty() && !guest.is_empty() => Ok(Addition {
            host: PathBuf::from(host),
            guest: guest.to_owned(),
        }),
        _ => Err(Fault::usage("--add takes HOST:GUEST")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&mut Parser::from_args(words))
    }

    #[test]
    fn all_options_are_read() {
        let options = parse(&[
            "--smp",
            "4",
            "--mem=512",
            "--timeout",
            "9",
            "--watchdog=8",
            "--no-fast-path",
            "--accel",
            "kvm",
            "--add",
            "/a:b/c:etc/x",
            "--",
            "ls",
            "--smp",
            "-x",
        ])
        .unwrap();
        assert_eq!((options.cpus, options.memory), (4, 512));
        assert_eq!(options.timeout, Some(Duration::from_secs(9)));
        assert_eq!(options.watchdog, Some(8));
        assert_eq!(options.fast_path, FastPath::Off);
        assert_eq!(options.accelerator, Accelerator::Kvm);
        assert_eq!(parse(&[]).unwrap().accelerator, Accelerator::Tcg);
        assert_eq!(options.additions[0].host, PathBuf::from("/a:b/c"));
        assert_eq!(options.command.unwrap(), ["ls", "--smp", "-x"]);
    }

    #[test]
    fn bad_usage_is_refused_by_name() {
        for (words, part) in [
            (&["--gui"][..], "--gui is not there yet"),
            (&["--disk", "x"], "--disk is not there yet"),
            (&["--accel", "xen"], "not xen"),
            (&["--smp", "0"], "--smp"),
            (&["--mem", "1"], "--mem"),
            (&["--smp", "many"], "many"),
            (&["--add", "x"], "HOST:GUEST"),
            (&["--image", "tape"], "tape"),
            (&["--nonsense"], "--nonsense"),
        ] {
            let fault = parse(words).unwrap_err();
            assert_eq!(fault.status(), 2, "{words:?}");
            assert!(fault.to_string().contains(part), "{fault}");
        }
    }
}
