//! `run`: builds, boots, and connects this terminal or one command with the guest.

mod command;
mod console;
mod guardian;
mod image;
mod kvm;
mod limine;
mod machine;
mod options;
mod symbols;

pub(crate) use crate::guest::Kernel;
pub(crate) use command::{Outcome, Stream, execute, request};
pub(crate) use limine::named as limine_named;
pub(crate) use machine::{Clock, Ending, Guest, Machine, Medium, Monitor, Terminal, failure};
pub(crate) use options::{Accelerator, Entry, FastPath, Options};

use crate::fault::{Doing, Fault, Result, USAGE};
use crate::guest::{
    Archive, FIRST_TASK, KERNEL_FILE, Products, build, build_only, bundle, bundle_alone,
};
use crate::place::{Place, Slot};
use crate::setup::{Need, ensure, firmware};
use console::Typist;
use std::fs;
use std::io::{ErrorKind, IsTerminal, Read, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Exit status when setting up, building or the emulator failed.
const NOT_RUN: u8 = 125;
/// Exit status when the kernel panicked.
const PANICKED: u8 = 126;
/// Exit status when the time was up.
const TIMED_OUT: u8 = 124;
/// How long `run -- CMD` may take when nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// The whole command; its exit status.
pub(crate) fn run(place: &Place, options: &Options) -> Result<u8> {
    let done = prepare(place, options).and_then(|boot| match &options.command {
        Some(words) => run_command(&boot, options, words),
        None => run_console(&boot, options),
    });
    match done {
        Err(fault) if fault.status() != USAGE => {
            eprintln!("{fault}");
            Ok(NOT_RUN)
        }
        other => other,
    }
}

/// `image`: makes the bootable ISO and says where it lies; its exit status.
pub(crate) fn write_image(place: &Place) -> Result<u8> {
    let boot = prepare(place, &Options::default())?;
    let made = make_image(&boot, limine::named().as_deref(), "mode=console")?;
    let path = place.output().join("mello.iso");
    fs::copy(&made, &path).at("write", &path)?;
    println!("{}", path.display());
    Ok(0)
}

/// The image by way of that Limine, else of GRUB.
fn make_image(boot: &Boot, limine: Option<&Path>, command_line: &str) -> Result<PathBuf> {
    match limine {
        Some(folder) => limine::make(boot, folder, command_line),
        None => image::make(boot, command_line),
    }
}

/// What the kernel logs of a task that ends by an exception.
const CRASHED: &str = "no handler, task ends";

/// Everything that a guest boots from, in a folder of its own.
#[derive(Debug)]
pub(crate) struct Boot {
    slot: Slot,
}

/// Sets up, builds, and lays ready what the guest boots from.
pub(crate) fn prepare(place: &Place, options: &Options) -> Result<Boot> {
    ensure(&[Need::Emulator])?;
    let lock = place.lock_build()?;
    let products = build(place)?;
    let archive = bundle(&products, &options.additions)?;
    let boot = Boot::lay(place.slot()?, &products, &archive)?;
    drop(lock);
    if options.accelerator == Accelerator::Kvm {
        kvm::probe(&boot)?;
    }
    Ok(boot)
}

/// As [`prepare`], for a kernel whose first and only task is the program `name`. Its ELF file lies in
/// the folder too, as `program`.
pub(crate) fn prepare_alone(place: &Place, name: &str, kernel: Kernel) -> Result<Boot> {
    ensure(&[Need::Emulator])?;
    let lock = place.lock_build()?;
    let products = build_only(place, name, kernel)?;
    let unit = products.units.first();
    let unit = unit.ok_or_else(|| Fault::new(format!("there is no program {name}")))?;
    let archive = bundle_alone(&products, unit)?;
    let boot = Boot::lay(place.slot()?, &products, &archive)?;
    let program = products.program(unit)?;
    fs::copy(&program, boot.file("program")).at("copy", &program)?;
    drop(lock);
    Ok(boot)
}

impl Boot {
    /// Runs a machine whose only task prints to the kernel log and turns it off; what was printed.
    ///
    /// # Errors
    /// It takes longer than `limit` of the host's time, or does not end as it should. A crash ends the run: who would turn
    /// the machine off is gone, or waits for an answer.
    pub(crate) fn run_alone(&self, machine: &Machine, limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        let mut guest = machine.start(Terminal::Untouched)?;
        // The emulator holds the other end until it ends.
        let step = Some(Duration::from_secs(1));
        guest.channel.set_read_timeout(step).doing("set a limit")?;
        loop {
            match guest.channel.read(&mut [0; 256]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let log = guest.log_text();
                    let fault = match (log.contains(CRASHED), Instant::now() < end) {
                        (false, true) => continue,
                        (false, false) => "the guest's only program takes too long",
                        (true, _) => "a task of the guest's only program crashed",
                    };
                    guest.kill();
                    eprint!("{}", self.symbolised(&log));
                    return Err(Fault::new(fault));
                }
                Err(error) => return Err(error).doing("wait for the guest's only program"),
            }
        }
        let ending = guest.wait()?;
        let log = guest.log_text();
        if ending == Ending::Finished {
            return Ok(log);
        }
        eprint!("{}", self.symbolised(&log));
        Err(failure(ending, &log))
    }

    fn lay(slot: Slot, products: &Products, archive: &Archive) -> Result<Self> {
        let files = [(&products.kernel, "kernel"), (&products.stub, "stub")];
        for (from, to) in files {
            fs::copy(from, slot.file(to)).at("copy", from)?;
        }
        let path = slot.file("boot.tar");
        fs::write(&path, archive.encode()).at("write", &path)?;
        // What the boot stub finds in the archive, another loader wants as files.
        for (name, inside) in [("kernel.bare", KERNEL_FILE), ("bootstrap.img", FIRST_TASK)] {
            let path = slot.file(name);
            let content = archive.content(inside).unwrap_or_default();
            fs::write(&path, content).at("write", &path)?;
        }
        Ok(Self { slot })
    }

    /// The path of a file in its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.slot.file(name)
    }

    /// A machine that boots it.
    pub(crate) fn machine(&self, options: &Options, mode: &str) -> Result<Machine> {
        let mut command_line = format!("mode={mode}");
        if options.fast_path == FastPath::Off {
            command_line.push_str(" fast-path=off");
        }
        if let Some(seconds) = options.watchdog {
            command_line.push_str(&format!(" watchdog={seconds}"));
        }
        for word in &options.words {
            command_line.push_str(&format!(" {word}"));
        }
        Ok(Machine {
            cpus: options.cpus,
            memory: options.memory,
            clock: Clock::Host,
            accelerator: options.accelerator,
            medium: self.medium(options, command_line)?,
            log: self.file("kernel.log"),
            monitor: match mode {
                // Only a person or a script at the console types there.
                "console" => Monitor::None,
                _ => Monitor::OnConsole,
            },
            extra: Vec::new(),
        })
    }

    fn medium(&self, options: &Options, command_line: String) -> Result<Medium> {
        let firmware = match options.entry {
            Entry::Direct => {
                return Ok(Medium::Direct {
                    stub: self.file("stub"),
                    archive: self.file("boot.tar"),
                    command_line,
                });
            }
            Entry::Bios => None,
            Entry::Uefi => {
                ensure(&[Need::Firmware])?;
                firmware().map(Path::to_path_buf)
            }
        };
        let image = make_image(self, options.limine.as_deref(), &command_line)?;
        Ok(Medium::Disc { image, firmware })
    }

    /// The kernel log with names for the kernel's addresses.
    pub(crate) fn symbolised(&self, log: &str) -> String {
        match fs::read(self.slot.file("kernel")) {
            Ok(kernel) => symbols::annotate(&kernel, log),
            Err(_) => log.to_owned(),
        }
    }

    /// Tells what the kernel said before a run ended badly.
    fn report(&self, guest: &Guest, what: &str) {
        eprintln!("error: {what}; the kernel's log:");
        eprint!("{}", self.symbolised(&guest.log_text()));
        eprintln!("the whole log: {}", guest.log.display());
    }
}

fn run_console(boot: &Boot, options: &Options) -> Result<u8> {
    let person = stdin().is_terminal() && stdout().is_terminal();
    let (typist, terminal) = match person {
        true => (Typist::Person, Terminal::Raw),
        false => (Typist::Script, Terminal::Untouched),
    };
    if person {
        eprintln!("leave: shutdown, or Ctrl-A X");
    }
    let mut guest = boot.machine(options, "console")?.start(terminal)?;
    match console::attend(&mut guest, typist, options.timeout)? {
        console::Outcome::Left => {
            eprintln!();
            Ok(0)
        }
        console::Outcome::TimedOut => {
            eprintln!("error: the time is up");
            Ok(TIMED_OUT)
        }
        console::Outcome::Ended(Ending::Finished) => Ok(0),
        console::Outcome::Ended(Ending::Panicked) => {
            boot.report(&guest, "the kernel panicked");
            Ok(PANICKED)
        }
        console::Outcome::Ended(Ending::Hung) => {
            boot.report(&guest, "the watchdog ended the run");
            Ok(TIMED_OUT)
        }
        console::Outcome::Ended(other) => Err(failure(other, &guest.log_text())),
    }
}

fn run_command(boot: &Boot, options: &Options, words: &[String]) -> Result<u8> {
    attend(boot, options, words, show)
}

/// Boots, runs a command as if it ran here, and hands what is written to `take`. A bad end is told; the exit status.
pub(crate) fn attend(
    boot: &Boot,
    options: &Options,
    words: &[String],
    take: impl FnMut(Stream, &[u8]) -> Result<()>,
) -> Result<u8> {
    let payload = request(words)?;
    let limit = options.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let mut guest = boot
        .machine(options, "command")?
        .start(Terminal::Untouched)?;
    let outcome = execute(&mut guest, &payload, stdin(), limit, take)?;
    match outcome {
        Outcome::Exited(_) => {}
        Outcome::NoSuchCommand => {
            let name = words.first().map_or("", String::as_str);
            eprintln!("error: the guest has no command {name}");
        }
        Outcome::Exception { kind, signal } => {
            let kind = abi::exception::name(kind.into());
            let signal = abi::signal::name(signal.into());
            eprintln!("error: the command was ended by {kind} ({signal})");
        }
        Outcome::TimedOut => {
            eprint!("{}", boot.symbolised(guest.registers()));
            eprintln!("error: the command took longer than {} s", limit.as_secs());
        }
        Outcome::Hung => boot.report(&guest, "the watchdog ended the run"),
        Outcome::Panicked => boot.report(&guest, "the kernel panicked"),
        Outcome::Lost(ending) => return Err(failure(ending, &guest.log_text())),
    }
    Ok(outcome.status())
}

/// Writes what a command wrote to where it belongs.
pub(crate) fn show(stream: Stream, bytes: &[u8]) -> Result<()> {
    let shown = match stream {
        Stream::Stdout => {
            let mut out = stdout();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        Stream::Stderr | Stream::Console => stderr().write_all(bytes),
    };
    shown.map_err(|error| Fault::new(format!("cannot write the command's output: {error}")))
}
