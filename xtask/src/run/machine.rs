//! The emulated machine: its command line, its start, its end.
//!
//! The guest's two serial ports are socket pairs handed to the emulator as its standard input and
//! output: no names in the file system, nothing to collide between two runs. A guardian process
//! outlives this tool however it dies, ends the emulator and restores the terminal.

use super::Accelerator;
use super::guardian::Guardian;
use crate::fault::{Doing, Fault, Result};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What the emulator enters first.
#[derive(Clone, Debug)]
pub(crate) enum Medium {
    /// The boot stub and the archive, as `-kernel` and `-initrd`.
    Direct {
        /// The stub's ELF file.
        stub: PathBuf,
        /// The boot archive.
        archive: PathBuf,
        /// The kernel's command line; an image holds its own.
        command_line: String,
    },
    /// A bootable image, through the BIOS or through UEFI firmware.
    Disc {
        /// The ISO file.
        image: PathBuf,
        /// UEFI firmware; without it the emulator's BIOS boots.
        firmware: Option<PathBuf>,
    },
}

impl Medium {
    fn arguments(&self) -> Vec<OsString> {
        match self {
            Self::Direct {
                stub,
                archive,
                command_line,
            } => vec![
                "-kernel".into(),
                stub.into(),
                "-initrd".into(),
                archive.into(),
                "-append".into(),
                command_line.into(),
            ],
            Self::Disc { image, firmware } => {
                let mut line = vec!["-drive".into(), drive(image)];
                if let Some(firmware) = firmware {
                    line.extend(["-bios".into(), firmware.into()]);
                }
                line
            }
        }
    }
}

/// How the emulator counts time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// The host's.
    Host,
    /// One executed instruction is one nanosecond: figures repeat to the instruction.
    Instructions,
}

/// A machine to start. With a clock that counts instructions, TCG executes whatever `accelerator` says.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// How many processors.
    pub(crate) cpus: u32,
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// What counts as time.
    pub(crate) clock: Clock,
    /// What executes the guest's instructions.
    pub(crate) accelerator: Accelerator,
    /// What it boots.
    pub(crate) medium: Medium,
    /// Where the kernel log goes.
    pub(crate) log: PathBuf,
    /// Whether the emulator itself can be asked something.
    pub(crate) monitor: Monitor,
    /// Further arguments of the emulator.
    pub(crate) extra: Vec<OsString>,
}

/// Where the emulator's own monitor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Monitor {
    /// Nowhere: all that goes to the console is the guest's.
    None,
    /// Behind Ctrl-A C on the console, where nobody types.
    OnConsole,
}

/// The status that the guest's `isa-debug-exit` device turns a written value into.
const fn exit_status(value: i32) -> i32 {
    2 * value + 1
}
/// The guest writes this when it has finished.
const FINISHED: i32 = exit_status(0x10);
/// The guest writes this when its kernel has panicked.
const PANICKED: i32 = exit_status(0x11);
/// The guest writes this when its watchdog has ended the run.
const HUNG: i32 = exit_status(0x12);

/// How a guest ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// It shut down.
    Finished,
    /// Its kernel panicked.
    Panicked,
    /// Its kernel ended it, because it took longer than it may.
    Hung,
    /// The emulator failed, or the guest reset the machine.
    Failed(Option<i32>),
}

impl Ending {
    /// What the emulator's exit code means; `None` is an end by a signal.
    pub(crate) fn of(code: Option<i32>) -> Self {
        match code {
            Some(FINISHED) => Self::Finished,
            Some(PANICKED) => Self::Panicked,
            Some(HUNG) => Self::Hung,
            other => Self::Failed(other),
        }
    }
}

impl Machine {
    /// The emulator's arguments, with the serial ports on its standard input and output.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut line = self.hardware();
        let mut add = |words: &[&str]| line.extend(words.iter().map(OsString::from));
        match self.monitor {
            Monitor::None => add(&["-chardev", "socket,id=console,fd=0"]),
            Monitor::OnConsole => add(&[
                "-chardev",
                "socket,id=console,fd=0,mux=on",
                "-mon",
                "chardev=console,mode=readline",
            ]),
        }
        add(&["-chardev", "socket,id=channel,fd=1"]);
        add(&["-serial", "chardev:console", "-serial", "chardev:channel"]);
        line
    }

    /// The emulator's arguments, with its standard input and output left alone: what the first
    /// serial port says goes to a file.
    pub(crate) fn arguments_with_console(&self, file: &Path) -> Vec<OsString> {
        let mut line = self.hardware();
        let mut console = OsString::from("file:");
        console.push(file);
        line.extend(["-serial".into(), console]);
        line.extend(["-serial", "null"].map(OsString::from));
        line
    }

    fn hardware(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| line.extend(words.iter().map(OsString::from));
        add(&["-M", "q35", "-m", &format!("{}M", self.memory)]);
        add(&["-smp", &self.cpus.to_string()]);
        match (self.clock, self.accelerator) {
            (Clock::Host, Accelerator::Tcg) => add(&["-accel", "tcg", "-cpu", "max"]),
            (Clock::Host, Accelerator::Kvm) => add(&["-accel", "kvm", "-cpu", "host"]),
            (Clock::Instructions, _) => {
                add(&["-accel", "tcg,thread=single", "-cpu", "max,-erms,-fsrm"]);
                add(&["-icount", "shift=0,sleep=off"]);
            }
        }
        add(&["-display", "none", "-monitor", "none", "-nic", "none"]);
        add(&["-no-reboot", "-no-user-config", "-nodefaults"]);
        add(&["-device", "isa-debug-exit,id=exit,iobase=0xf4,iosize=4"]);
        let mut log = OsString::from("file:");
        log.push(&self.log);
        line.extend(["-debugcon".into(), log]);
        line.extend(self.medium.arguments());
        line.extend(self.extra.iter().cloned());
        line
    }

    /// Starts it. `terminal` says whether the guardian restores this tool's terminal at the end.
    pub(crate) fn start(&self, terminal: Terminal) -> Result<Guest> {
        // An empty log, so that an old one is never taken for this run's.
        fs::write(&self.log, "").at("write", &self.log)?;
        let (console, console_end) = UnixStream::pair().doing("make a socket pair")?;
        let (channel, channel_end) = UnixStream::pair().doing("make a socket pair")?;
        let child = Command::new("qemu-system-x86_64")
            .args(self.arguments())
            .stdin(Stdio::from(OwnedFd::from(console_end)))
            .stdout(Stdio::from(OwnedFd::from(channel_end)))
            .spawn()
            .doing("start qemu-system-x86_64")?;
        let guardian = Guardian::start(child.id(), terminal);
        let mut guest = Guest {
            child,
            guardian: None,
            console,
            channel,
            log: self.log.clone(),
            monitor: self.monitor,
            registers: String::new(),
        };
        // Without a guardian the guest's drop still ends the emulator.
        guest.guardian = Some(guardian?);
        Ok(guest)
    }
}

/// To the monitor (Ctrl-A C), all registers, and something whose answer is known.
const ASK_REGISTERS: &[u8] = b"\x01cinfo registers -a\ninfo status\n";
/// How the lines of the answer begin that are kept.
const REGISTERS: [&str; 8] = [
    "CPU#", "RAX=", "RSI=", "R8 =", "R12=", "RIP=", "EIP=", "CR0=",
];
/// What the answer to it ends with.
pub(crate) const REGISTERS_END: &str = "VM status:";

/// Whether the terminal is changed for the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Terminal {
    /// Left as it is.
    Untouched,
    /// Made raw, and restored at the end.
    Raw,
}

fn drive(image: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut option = b"media=cdrom,format=raw,readonly=on,file=".to_vec();
    for byte in image.as_os_str().as_bytes() {
        option.push(*byte);
        // The emulator's options end at a comma; two stand for one.
        if *byte == b',' {
            option.push(b',');
        }
    }
    OsString::from_vec(option)
}

/// A running machine. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Guest {
    child: Child,
    guardian: Option<Guardian>,
    /// The first serial port.
    pub(crate) console: UnixStream,
    /// The second serial port.
    pub(crate) channel: UnixStream,
    /// The kernel log's file.
    pub(crate) log: PathBuf,
    monitor: Monitor,
    registers: String,
}

impl Guest {
    /// Where the processors were when the time was up, if the emulator told.
    pub(crate) fn registers(&self) -> &str {
        &self.registers
    }

    /// Keeps what the emulator's monitor said, but for what no hang is found with: vectors, descriptors, echo.
    pub(crate) fn keep_registers(&mut self, said: &str) {
        let lines = said.lines().map(str::trim_end);
        for line in lines.filter(|line| REGISTERS.iter().any(|start| line.starts_with(start))) {
            self.registers.push_str(line);
            self.registers.push('\n');
        }
    }

    /// Asks the emulator for the registers of all processors. The answer comes on the console, its last line has
    /// [`REGISTERS_END`] in it. Whether there is one to ask.
    pub(crate) fn ask_registers(&mut self) -> bool {
        self.monitor == Monitor::OnConsole && self.console.write_all(ASK_REGISTERS).is_ok()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<Ending> {
        let status: ExitStatus = self.child.wait().doing("wait for the emulator")?;
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        Ok(Ending::of(status.code()))
    }

    /// The kernel log so far.
    pub(crate) fn log_text(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("(no kernel log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
        drop(self.wait());
    }
}

/// What is missing when the emulator cannot be started by its name.
pub(crate) fn failure(ending: Ending, log: &str) -> Fault {
    let last = log.lines().rev().find(|line| !line.trim().is_empty());
    let how = match ending {
        Ending::Failed(Some(0)) => "the guest reset the machine".to_owned(),
        Ending::Failed(Some(code)) => format!("the emulator ended with status {code}"),
        Ending::Failed(None) => "the emulator was ended by a signal".to_owned(),
        Ending::Finished => "the guest shut down too early".to_owned(),
        Ending::Panicked => "the kernel panicked".to_owned(),
        Ending::Hung => "the run took longer than its watchdog allows".to_owned(),
    };
    match last {
        Some(line) => Fault::new(format!("{how}; its last word: {line}")),
        None => Fault::new(format!("{how}; the kernel log is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(medium: Medium) -> Machine {
        Machine {
            cpus: 2,
            memory: 256,
            clock: Clock::Host,
            accelerator: Accelerator::Kvm,
            medium,
            log: "/a b,c/log".into(),
            monitor: Monitor::None,
            extra: Vec::new(),
        }
    }

    #[test]
    fn exit_codes_of_the_emulator_have_a_meaning() {
        assert_eq!(Ending::of(Some(33)), Ending::Finished);
        assert_eq!(Ending::of(Some(35)), Ending::Panicked);
        assert_eq!(Ending::of(Some(37)), Ending::Hung);
        assert_eq!(Ending::of(Some(0)), Ending::Failed(Some(0)));
        assert_eq!(Ending::of(None), Ending::Failed(None));
    }

    #[test]
    fn paths_reach_the_emulator_whole() {
        let direct = machine(Medium::Direct {
            stub: "/a b,c/stub".into(),
            archive: "/a b,c/boot.tar".into(),
            command_line: "mode=console".into(),
        })
        .arguments();
        let after = |flag: &str| {
            let at = direct.iter().position(|word| word == flag).unwrap();
            direct[at + 1].clone()
        };
        assert_eq!(after("-kernel"), "/a b,c/stub");
        assert_eq!(after("-debugcon"), "file:/a b,c/log");
        assert_eq!(after("-append"), "mode=console");
        assert_eq!(after("-smp"), "2");
        assert_eq!(after("-accel"), "kvm");
        let disc = machine(Medium::Disc {
            image: "/a b,c/x.iso".into(),
            firmware: None,
        })
        .arguments();
        assert!(
            disc.iter()
                .any(|w| w.to_string_lossy().ends_with("file=/a b,,c/x.iso"))
        );
    }

    #[test]
    fn a_counting_clock_uses_one_thread() {
        let mut counting = machine(Medium::Disc {
            image: "x".into(),
            firmware: None,
        });
        counting.clock = Clock::Instructions;
        let line = counting.arguments();
        assert!(line.iter().any(|word| word == "tcg,thread=single"));
        assert!(line.iter().any(|word| word == "shift=0,sleep=off"));
    }
}
