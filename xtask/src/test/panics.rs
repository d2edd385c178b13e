//! Stories of the kernel that is always built, when it panics. What makes it panic comes from outside: a machine check by
//! the emulator's monitor, or an instruction that is none, at the start of a function in the copy that the guest boots.

use super::guest::LIMIT;
use crate::fault::{Doing, Fault, Result};
use crate::guest::functions;
use crate::run::{
    Boot, Ending, Machine, Medium, Options, Outcome, Stream, Terminal, execute, request,
};
use elf::ElfBytes;
use elf::endian::LittleEndian;
use std::fs;
use std::io::{Write, empty};

/// A program that runs its own code for ever.
const SPIN: &[&str] = &["tests", "--hang", "spin"];
/// The case that comes to [`DAMAGED`].
const CASE: &str = "info: all tasks and threads are in the one processor set";
/// A function of the kernel that nothing else calls, and the ones that lead to it from the trap's entry.
const DAMAGED: &str = "microkernel::kobj::listing::add";
const CALLERS: [&str; 2] = [
    "microkernel::kobj::processor::serve_set",
    "kernel::bare::entry::",
];
/// `ud2` (Intel SDM vol. 2).
const NO_INSTRUCTION: [u8; 2] = [0x0f, 0x0b];

/// To the monitor (Ctrl-A C): what follows is meant for it.
const MONITOR: &str = "\x01c";
/// To the monitor: have the machine stand still, and tell of all processors.
const LOOK: &str = "cont\nstop\ninfo registers -a\ninfo status\n";
/// How the answer ends.
const LOOKED: &str = "VM status:";
/// An error that cannot be corrected, at an address, found by a processor's bank 5.
const ERROR: &str = "5 0xb400000000000134 5 0x12345678 0";
/// What the report says of it.
const BROKEN: [&str; 2] = [
    "  bank 5: status 0xb400000000000134",
    "  bank 5: address 0x0000000012345678",
];

/// How many of the last trace events are told.
const EVENTS: usize = 24;

/// The lines of registers, each by its first.
const REGISTERS: [&str; 17] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "rip", "rflags",
];

/// Ends with what is wrong, unless it holds.
macro_rules! demand {
    ($holds:expr, $wrong:expr, $log:expr) => {
        if !$holds {
            return Err(Fault::new(format!("{}, in: {}", $wrong, $log)));
        }
    };
}

/// A kernel that runs into an instruction that is none says where it was, and how it came there.
pub(super) fn bad_instruction(boot: &Boot, cpus: u32) -> Result<()> {
    let mut machine = machine(boot, cpus)?;
    if let Medium::Direct { archive, .. } = &mut machine.medium {
        *archive = boot.file("damaged.tar");
        fs::write(&*archive, damaged(boot)?).at("write", archive)?;
    }
    let log = panics(boot, &machine, &["tests", CASE], |_| String::new())?;
    let calls = report(&log, "invalid opcode (6, code 0x0) in ring 0")?;
    let first = calls
        .first()
        .is_some_and(|call| *call == format!("{DAMAGED}+0x0"));
    demand!(first, "another place", &log);
    let mut rest = calls.iter().skip(1);
    for caller in CALLERS {
        demand!(rest.any(|call| call.starts_with(caller)), caller, &log);
    }
    Ok(())
}

/// A kernel with a processor that finds broken hardware says what was found, and what the processor was doing.
pub(super) fn machine_check(boot: &Boot, cpus: u32) -> Result<()> {
    let machine = machine(boot, cpus)?;
    let log = panics(boot, &machine, SPIN, |seen| {
        let spins = seen.iter().position(Processor::is_in_user_mode);
        spins.map_or(LOOK.into(), |cpu| format!("mce {cpu} {ERROR}\ncont\n"))
    })?;
    let calls = report(&log, "machine check (18, code 0x0) in user mode")?;
    demand!(calls.is_empty(), "calls of the kernel", &log);
    for line in BROKEN {
        demand!(log.lines().any(|other| other == line), line, &log);
    }
    Ok(())
}

/// Processors that find it at once say it once.
pub(super) fn machine_checks(boot: &Boot) -> Result<()> {
    let machine = machine(boot, 2)?;
    let log = panics(boot, &machine, SPIN, |_| format!("mce -b 0 {ERROR}\n"))?;
    report(&log, "machine check (18, code 0x0) in ")?;
    Ok(())
}

/// A processor that runs a thread stops when another one panics. There is no device that ends the machine, so that it can be
/// seen.
pub(super) fn others_stop(boot: &Boot) -> Result<()> {
    let mut machine = machine(boot, 2)?;
    machine.extra = ["-set", "device.exit.iobase=0xf8"].map(Into::into).into();
    let mut broken = false;
    let (outcome, log) = run(boot, &machine, SPIN, |seen| {
        let levels = seen.iter().map(Processor::is_in_user_mode);
        let mut places = seen.iter().map(|cpu| boot.symbolised(&cpu.place));
        match levels.collect::<Vec<_>>()[..] {
            _ if broken => {
                let stopped = places.any(|place| place.contains("non_maskable_entry"));
                // The one that panics stands still when it has said all.
                match stopped && seen.iter().all(|cpu| cpu.halts) {
                    true => "quit\n".into(),
                    false => LOOK.into(),
                }
            }
            [spins, other] if spins != other => {
                broken = true;
                format!("mce {} {ERROR}\n{LOOK}", u32::from(spins))
            }
            _ => LOOK.into(),
        }
    })?;
    let quit = outcome == Outcome::Lost(Ending::Failed(Some(0)));
    demand!(quit, format!("{outcome:?}"), &log);
    report(&log, "machine check (18, code 0x0) in ring 0")?;
    Ok(())
}

fn machine(boot: &Boot, cpus: u32) -> Result<Machine> {
    let options = Options {
        cpus,
        ..Options::default()
    };
    boot.machine(&options, "command")
}

/// The archive that the guest boots, with the instruction in it.
fn damaged(boot: &Boot) -> Result<Vec<u8>> {
    let read = |name| {
        let path = boot.file(name);
        fs::read(&path).at("read", &path)
    };
    let (symbols, kernel, mut archive) = (read("kernel")?, read("kernel.bare")?, read("boot.tar")?);
    let all = functions(&symbols);
    let function = all.iter().find(|function| function.name == DAMAGED);
    let place = function.and_then(|function| {
        let file = ElfBytes::<LittleEndian>::minimal_parse(&kernel).ok()?;
        let offset = file.segments()?.iter().find_map(|segment| {
            let inside = function.start.checked_sub(segment.p_vaddr)?;
            (inside < segment.p_filesz).then_some(segment.p_offset + inside)
        })?;
        let same = |at: &usize| archive[*at..].starts_with(&kernel);
        Some((0..archive.len()).find(same)? + usize::try_from(offset).ok()?)
    });
    let place = place.ok_or_else(|| Fault::new(format!("the kernel has no {DAMAGED}")))?;
    archive[place..][..NO_INSTRUCTION.len()].copy_from_slice(&NO_INSTRUCTION);
    Ok(archive)
}

/// What the emulator tells of a processor.
struct Processor {
    /// `CPL=`: 0 in the kernel, 3 in a thread's own code.
    level: String,
    /// `RIP=`, in hexadecimal.
    place: String,
    /// `HLT=1`: it waits for an interrupt.
    halts: bool,
}

impl Processor {
    /// All of them, from the monitor's answer.
    fn all(said: &str) -> Vec<Self> {
        let of_one = |text: &str| {
            let after = |key| {
                let word = text
                    .split_whitespace()
                    .find_map(|word| word.strip_prefix(key));
                word.unwrap_or_default().to_owned()
            };
            Self {
                level: after("CPL="),
                place: after("RIP="),
                halts: after("HLT=") == "1",
            }
        };
        said.split("CPU#").skip(1).map(of_one).collect()
    }

    fn is_in_user_mode(&self) -> bool {
        self.level == "3"
    }
}

/// As [`run`], of a kernel that has to panic; what it logged.
fn panics(
    boot: &Boot,
    machine: &Machine,
    words: &[&str],
    orders: impl FnMut(&[Processor]) -> String,
) -> Result<String> {
    let (outcome, log) = run(boot, machine, words, orders)?;
    demand!(outcome == Outcome::Panicked, format!("{outcome:?}"), &log);
    demand!(outcome.status() == 126, "another status", &log);
    Ok(log)
}

/// Runs a command, and gives orders to the emulator's monitor: when the command has begun to speak, and whenever it has
/// told of the processors. The kernel's log, with names.
fn run(
    boot: &Boot,
    machine: &Machine,
    words: &[&str],
    mut orders: impl FnMut(&[Processor]) -> String,
) -> Result<(Outcome, String)> {
    let payload = request(&words.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let mut guest = machine.start(Terminal::Untouched)?;
    let mut monitor = guest.console.try_clone().doing("share the console")?;
    let mut order = |order: &str| {
        let sent = monitor.write_all(order.as_bytes());
        sent.doing("give orders to the emulator")
    };
    let (mut speaks, mut heard) = (false, String::new());
    let outcome = execute(&mut guest, &payload, empty(), LIMIT, |stream, bytes| {
        match stream {
            Stream::Stdout if !speaks => {
                speaks = true;
                order(MONITOR)?;
                order(&orders(&[]))?;
            }
            Stream::Console => heard.push_str(&String::from_utf8_lossy(bytes)),
            _ => {}
        }
        if let Some((answer, rest)) = heard.split_once(LOOKED) {
            order(&orders(&Processor::all(answer)))?;
            heard = rest.to_owned();
        }
        Ok(())
    })?;
    Ok((outcome, boot.symbolised(&guest.log_text())))
}

/// Whether a log ends with one whole report of a panic for that reason; the calls that it tells, by name, the last first.
fn report<'a>(log: &'a str, reason: &str) -> Result<Vec<&'a str>> {
    let (_, report) = log
        .split_once("kernel panic: ")
        .ok_or_else(|| Fault::new(format!("no panic in: {log}")))?;
    demand!(report.starts_with(reason), reason, log);
    demand!(!report.contains("panic"), "a second panic", log);
    let mut lines = report.lines().skip(1).peekable();
    let mut next = |wanted: &dyn Fn(&str) -> bool| lines.next_if(|line| wanted(line));
    for name in REGISTERS {
        let said = next(&|line| line.trim_start().starts_with(name));
        let value = said.and_then(|line| line.split_whitespace().nth(1));
        let number = value.and_then(|value| value.strip_prefix("0x"));
        let whole = number.is_some_and(|number| u64::from_str_radix(number, 16).is_ok());
        demand!(whole, format!("no {name}"), log);
    }
    if reason.starts_with("machine check") {
        let banks = |line: &str| line.contains("status 0x") || line.contains("bank");
        let all = next(&banks).is_some() && next(&banks).is_some();
        demand!(all, "no bank", log);
        while next(&banks).is_some() {}
    }
    let mut calls = Vec::new();
    while let Some(line) = next(&|line| line.starts_with('#')) {
        let number = format!("#{} 0xffffffff", calls.len());
        let name = line
            .split_once("  <")
            .and_then(|(_, name)| name.strip_suffix('>'));
        demand!(line.starts_with(&number) && name.is_some(), line, log);
        calls.extend(name);
    }
    let mut events = 0;
    while next(&is_event).is_some() {
        events += 1;
    }
    demand!(events == EVENTS, format!("{events} events"), log);
    demand!(next(&|_| true).is_none(), "more than the events", log);
    Ok(calls)
}

/// `TIME ns cpu CPU thread THREAD KIND A B`.
fn is_event(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |at: usize| {
        words
            .get(at)
            .is_some_and(|word| word.parse::<u64>().is_ok())
    };
    words.len() >= 9 && words[1..3] == ["ns", "cpu"] && [0, 3, 5].into_iter().all(number)
}
