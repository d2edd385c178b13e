//! A report in words: what happened, registers, stack, memory, rights, ledger, last messages and events.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Result, Write};

use interfaces::crash::Crash;
use interfaces::task::{Region, RightInfo};
use libmach::abi::names::port_type;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::vm::protection;
use libmach::abi::{exception, signal};

use crate::events;
use crate::subject::{MAX_RIGHTS, Subject};
use crate::symbols::Table;
use crate::walk::{Frame, Program, walk};

/// Bytes of the stack that are searched for return addresses.
const STACK_SEARCHED: u64 = 16 << 10;
/// Words of the stack that are shown.
const STACK_SHOWN: usize = 16;
/// Bytes of a panic's text that are read.
const MAX_PANIC: u64 = 512;
/// How many events are shown.
const MAX_EVENTS: usize = 16;

/// What is known of a crash before the report is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// What the exception said.
    pub crash: Crash,
    /// The thread's registers.
    pub state: Option<ThreadState>,
    /// The frames of its stack.
    pub frames: Vec<Frame>,
    /// The words at the stack pointer.
    stack: Vec<u64>,
    /// What a panic said.
    panic: Option<String>,
}

/// A task's code.
struct Code<'a, S> {
    subject: &'a S,
    regions: &'a [Region],
    table: &'a Table<'a>,
}

impl<S: Subject> Program for Code<'_, S> {
    fn is_code(&self, address: u64) -> bool {
        region(self.regions, address)
            .is_some_and(|region| region.protection & protection::EXECUTE != 0)
    }

    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        self.subject.read(address, to)
    }

    fn function(&self, address: u64) -> Option<u64> {
        self.table.start(address)
    }
}

fn region(regions: &[Region], address: u64) -> Option<&Region> {
    let found = regions.partition_point(|region| region.address <= address);
    let region = regions.get(found.checked_sub(1)?)?;
    (address - region.address < region.size).then_some(region)
}

impl Facts {
    /// What a stopped task tells.
    pub fn gather(subject: &impl Subject, table: &Table<'_>, crash: Crash) -> Self {
        let regions = subject.regions();
        let state = subject.state(crash.thread as u32);
        let stack = read_stack(subject, &regions, crash.rsp);
        let code = Code {
            subject,
            regions: &regions,
            table,
        };
        let frames = walk(&code, crash.rip, &stack);
        let panic = state.and_then(|state| crash.panic(&state));
        let panic = panic.and_then(|place| text_at(subject, place));
        Self {
            crash,
            state,
            frames,
            stack,
            panic,
        }
    }

    /// What happened, in one line.
    pub fn summary(&self) -> String {
        match &self.panic {
            Some(text) => format!("panicked: {text}"),
            None => format!("{}", self.crash),
        }
    }

    /// The innermost function that is the program's own: neither the core library's nor the panic handler's.
    pub fn place(&self, table: &Table<'_>) -> String {
        let names = self
            .frames
            .iter()
            .enumerate()
            .filter(|(_, frame)| frame.certain);
        let mut names = names.filter_map(|(index, frame)| table.name(frame.inside(index)));
        let own = names.find(|(name, _)| !is_of_the_library(name));
        own.map(|(name, _)| name).unwrap_or_default()
    }
}

/// Whether a function only stands between a program's fault and the exception.
fn is_of_the_library(name: &str) -> bool {
    const CRATES: [&str; 5] = [
        "core::",
        "alloc::",
        "libmach::",
        "compiler_builtins::",
        "__rustc",
    ];
    const FUNCTIONS: [&str; 5] = ["rust_begin_unwind", "memcpy", "memmove", "memset", "memcmp"];
    let path = name.trim_start_matches('<');
    CRATES.iter().any(|start| path.starts_with(start)) || FUNCTIONS.contains(&name)
}

fn read_stack(subject: &impl Subject, regions: &[Region], rsp: u64) -> Vec<u64> {
    let Some(region) = region(regions, rsp) else {
        return Vec::new();
    };
    let size = (region.address + region.size - rsp).min(STACK_SEARCHED) & !7;
    let mut bytes = alloc::vec![0; size as usize];
    if !subject.read(rsp, &mut bytes) {
        return Vec::new();
    }
    let (words, _) = bytes.as_chunks();
    words.iter().copied().map(u64::from_le_bytes).collect()
}

fn text_at(subject: &impl Subject, (address, size): (u64, u64)) -> Option<String> {
    let mut bytes = alloc::vec![0; size.min(MAX_PANIC) as usize];
    let read = subject.read(address, &mut bytes);
    // What a task says must not steer the terminal that shows it.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    read.then(|| String::from_utf8_lossy(&bytes).chars().map(plain).collect())
}

/// Writes the whole report about the task called `name`.
///
/// # Errors
/// Those of `out`.
pub fn write(
    out: &mut impl Write,
    (subject, table): (&impl Subject, &Table<'_>),
    (name, time): (&str, u64),
    facts: &Facts,
) -> Result {
    let index = subject.info().map_or(0, |info| info.index);
    let (seconds, micros) = (time / 1_000_000_000, time / 1_000 % 1_000_000);
    let thread = facts.crash.thread as u32;
    writeln!(
        out,
        "{name}, task {index}, thread {thread}, at {seconds}.{micros:06} s"
    )?;
    writeln!(out, "{}", facts.summary())?;
    let Crash {
        kind,
        code,
        subcode,
        ..
    } = facts.crash;
    write!(
        out,
        "{} code {code:#x} subcode {subcode:#x}",
        exception::name(kind)
    )?;
    match facts.crash.signal(facts.state.as_ref()) {
        Some(number) => writeln!(out, "; POSIX: {}", signal::name(number))?,
        None => writeln!(out)?,
    }
    write_state(out, facts)?;
    write_frames(out, table, facts)?;
    write_stack(out, facts)?;
    write_rights(out, &subject.rights())?;
    write_ledger(out, subject)?;
    write_messages(out, subject)?;
    write_events(out, subject, time)
}

fn write_state(out: &mut impl Write, facts: &Facts) -> Result {
    let Some(state) = &facts.state else {
        return writeln!(out, "\nno registers");
    };
    writeln!(out, "\nregisters")?;
    for row in state.named().chunks(4) {
        for (register, value) in row {
            write!(out, "  {register:>3} {value:#018x}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_frames(out: &mut impl Write, table: &Table<'_>, facts: &Facts) -> Result {
    writeln!(
        out,
        "\nstack; with ?, perhaps left over from a call that has returned"
    )?;
    for (index, frame) in facts.frames.iter().enumerate() {
        let doubt = if frame.certain { ' ' } else { '?' };
        write!(out, "  #{index:<2} {:#018x} {doubt} ", frame.address)?;
        match table.name(frame.inside(index)) {
            Some((name, behind)) => writeln!(out, "{name}+{behind:#x}")?,
            None => writeln!(out, "unknown")?,
        }
    }
    Ok(())
}

fn write_stack(out: &mut impl Write, facts: &Facts) -> Result {
    if facts.stack.is_empty() {
        return writeln!(out, "\nthe stack cannot be read at {:#x}", facts.crash.rsp);
    }
    writeln!(out, "\nwords at the stack pointer")?;
    let shown = facts.stack.get(..STACK_SHOWN).unwrap_or(&facts.stack);
    for (row, words) in shown.chunks(4).enumerate() {
        write!(out, "  +{:#04x}", row * 32)?;
        for word in words {
            write!(out, "  {word:#018x}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_rights(out: &mut impl Write, rights: &[RightInfo]) -> Result {
    const NAMES: [(u32, &str); 5] = [
        (port_type::RECEIVE, "receive"),
        (port_type::SEND, "send"),
        (port_type::SEND_ONCE, "send-once"),
        (port_type::PORT_SET, "set"),
        (port_type::DEAD_NAME, "dead"),
    ];
    writeln!(out, "\nrights")?;
    for right in rights {
        write!(out, "  {:#x}", right.name.0)?;
        for (bit, name) in NAMES {
            if right.kind & bit != 0 {
                write!(out, " {name}")?;
            }
        }
        write!(
            out,
            ", references {}, port {}",
            right.references, right.port as u32
        )?;
        if right.kind & port_type::RECEIVE != 0 {
            write!(out, ", {} queued", right.messages)?;
        }
        writeln!(out)?;
    }
    if rights.len() == MAX_RIGHTS {
        writeln!(out, "  perhaps more")?;
    }
    Ok(())
}

fn write_ledger(out: &mut impl Write, subject: &impl Subject) -> Result {
    let Some(ledger) = subject.ledger() else {
        return Ok(());
    };
    let (used, limits) = (numbers(&ledger.used), numbers(&ledger.limits));
    writeln!(out, "\nused of what it may use")?;
    for ((name, used), (_, limit)) in used.into_iter().zip(limits) {
        writeln!(out, "  {name:12} {used} of {limit}")?;
    }
    Ok(())
}

fn numbers(of: &Limits) -> [(&'static str, u64); 5] {
    [
        ("names", of.names.into()),
        ("messages", of.messages.into()),
        ("threads", of.threads.into()),
        ("pages", of.pages.into()),
        ("kernel bytes", of.kernel_bytes),
    ]
}

/// What every thread received last, whether or not anything is traced.
fn write_messages(out: &mut impl Write, subject: &impl Subject) -> Result {
    writeln!(out, "\nlast messages received")?;
    for thread in subject.threads() {
        let Some(last) = subject.last_message(thread) else {
            continue;
        };
        write!(out, "  thread {thread}: ")?;
        match last.id {
            0 => write!(out, "none")?,
            id => write!(out, "{}, id {id}", events::message(id))?,
        }
        match last.client.checked_sub(1) {
            Some(client) => writeln!(
                out,
                "; owes task {}, thread {client} an answer",
                last.client_task
            )?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_events(out: &mut impl Write, subject: &impl Subject, now: u64) -> Result {
    let threads = subject.threads();
    let records = subject.records();
    let of_task = records
        .iter()
        .filter(|record| threads.contains(&record.thread));
    let told: Vec<_> = of_task
        .filter_map(|record| Some((record, events::describe(record)?)))
        .collect();
    writeln!(out, "\nlast events")?;
    for (record, what) in told.iter().skip(told.len().saturating_sub(MAX_EVENTS)) {
        let ago = now.saturating_sub(record.time) / 1_000;
        writeln!(out, "  {ago:>8} us ago, thread {}: {what}", record.thread)?;
    }
    Ok(())
}
