//! `trace`: what the kernel did while a command ran, hop by hop.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use channel::Exit;
use interfaces::echo::Echo;
use libmach::abi::trace::{Kind, Record};
use libmach::abi::transport::Interface;
use libmach::abi::{exception, trap};
use libmach::{SendRight, time};

use super::Entry;
use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;

pub(super) const ENTRY: Entry = Entry(
    "trace [COMMAND ...]",
    "shows every hop of a call to echo, or of a command",
);

/// What the first word of the monitor's marks is: `monitor` in ASCII.
const MARK: u64 = u64::from_le_bytes(*b"monitor\0");

/// The most events that are shown.
const MOST: usize = 20_000;

pub(super) async fn run(
    shell: &Shell,
    arguments: &[&str],
    session: &Rc<Session>,
) -> Result<Exit, Failure> {
    let host = shell.rights.host.client();
    let mark = time::now();
    host.trace_enable(1)?;
    let traced = between(shell, arguments, session, mark).await;
    host.trace_enable(0)?;
    let exit = traced?;
    let records = read(shell, mark)?;
    let mut text = String::new();
    let start = records.first().map_or(0, |record| record.time);
    for record in &records {
        text.push_str(&line(record, start));
    }
    if records.len() == MOST {
        text.push_str("(and more)\n");
    }
    session.stdout(text.as_bytes()).await?;
    Ok(exit)
}

/// Does what is to be traced, between two marks.
async fn between(
    shell: &Shell,
    arguments: &[&str],
    session: &Rc<Session>,
    mark: u64,
) -> Result<Exit, Failure> {
    let host = shell.rights.host.client();
    if !arguments.is_empty() {
        host.trace_mark(MARK, mark)?;
        let exit = shell.execute(arguments, session).await;
        host.trace_mark(MARK, mark)?;
        return Ok(exit);
    }
    let found = shell.rights.bootstrap.client().look_up(<dyn Echo>::NAME);
    let echo: SendRight<dyn Echo> = found.map_err(|error| Failure::of("echo", error))?.cast();
    // The first call starts the server when it does not run yet; the second one is the usual case.
    echo.client().echo(0)?;
    host.trace_mark(MARK, mark)?;
    echo.client().echo(1)?;
    host.trace_mark(MARK, mark)?;
    Ok(Exit::Exited(0))
}

/// The records between the two marks.
fn read(shell: &Shell, mark: u64) -> Result<Vec<Record>, Failure> {
    let is_mark = |record: &Record| {
        Kind::from_byte(record.kind) == Some(Kind::Mark) && (record.a, record.b) == (MARK, mark)
    };
    let host = shell.rights.host.client();
    let mut records = Vec::new();
    let mut inside = false;
    let mut position = 0;
    loop {
        let (start, page) = host.trace(position)?;
        if page.is_empty() {
            return Ok(records);
        }
        position = start + page.len() as u64;
        for record in page.iter() {
            match (is_mark(record), inside) {
                (true, true) => return Ok(records),
                (true, false) => inside = true,
                (false, true) if records.len() < MOST => records.push(*record),
                (false, _) => {}
            }
        }
    }
}

fn line(record: &Record, start: u64) -> String {
    let time = record.time.saturating_sub(start);
    let thread = match record.thread {
        u32::MAX => "-".to_string(),
        number => number.to_string(),
    };
    let (cpu, what) = (record.cpu, describe(record));
    format!("{time:>9} ns  cpu {cpu}  thread {thread:>4}  {what}\n")
}

fn describe(record: &Record) -> String {
    let Record { a, b, .. } = *record;
    match Kind::from_byte(record.kind) {
        None => format!("event {} {a:#x} {b:#x}", record.kind),
        Some(Kind::Empty) => String::from("nothing"),
        Some(Kind::Trap) => format!("trap {}", trap_name(a.cast_signed())),
        Some(Kind::Handoff) => format!("{} handed over to thread {a}", message(b)),
        Some(Kind::Queue) => format!("{} queued on port {a}", message(b)),
        Some(Kind::Receive) => format!("{} received from port {a}", message(b)),
        Some(Kind::Block) => format!("blocks (state {a})"),
        Some(Kind::Wake) => format!("wakes thread {a}, priority {b}"),
        Some(Kind::Switch) => format!("switches to thread {a}"),
        Some(Kind::Fault) => format!("page fault at {a:#x} (access {b:#x})"),
        Some(Kind::Exception) => {
            let name = exception::name(u32::try_from(a).unwrap_or(u32::MAX));
            format!("{name}, code {b:#x}")
        }
        Some(Kind::Interrupt) => format!("interrupt {a}"),
        Some(Kind::TaskCreate) => format!("task {a} created"),
        Some(Kind::TaskTerminate) => format!("task {a} terminated"),
        Some(Kind::PortDeath) => format!("port {a} died"),
        Some(Kind::Mark) => format!("mark {a:#x} {b:#x}"),
    }
}

/// A message by the name that its interface gives it.
fn message(id: u64) -> String {
    // The low half; the register it comes from is wider.
    let id = id as u32 as i32;
    let Some((interface, method)) = interfaces::name_of(id) else {
        return format!("message {id}");
    };
    let is_request = interfaces::ALL
        .iter()
        .any(|known| known.method(id).is_some());
    let kind = if is_request { "request" } else { "reply" };
    format!("{kind} {interface}.{method}")
}

fn trap_name(number: i64) -> String {
    let name = match number {
        trap::MACH_MSG => "mach_msg",
        trap::CLOCK => "clock",
        trap::NULL => "null",
        trap::VM_ALLOCATE => "vm_allocate",
        trap::VM_DEALLOCATE => "vm_deallocate",
        trap::VM_PROTECT => "vm_protect",
        trap::VM_MAP => "vm_map",
        trap::PORT_CONSTRUCT => "mach_port_construct",
        trap::PORT_DESTRUCT => "mach_port_destruct",
        trap::PORT_DEALLOCATE => "mach_port_deallocate",
        trap::PORT_MOD_REFS => "mach_port_mod_refs",
        trap::PORT_INSERT_RIGHT => "mach_port_insert_right",
        trap::PORT_INSERT_MEMBER => "mach_port_insert_member",
        trap::PORT_EXTRACT_MEMBER => "mach_port_extract_member",
        trap::PORT_GET_ATTRIBUTE => "mach_port_get_attribute",
        trap::PORT_SET_LABEL => "port_set_label",
        trap::PORT_REQUEST_NOTIFICATION => "mach_port_request_notification",
        trap::REPLY_SLOT_TAKE => "reply_slot_take",
        trap::TIMER_ARM => "timer_arm",
        trap::WAIT_UNTIL => "mach_wait_until",
        trap::THREAD_SWITCH => "thread_switch",
        trap::FUTEX_WAIT => "futex_wait",
        trap::FUTEX_WAKE => "futex_wake",
        trap::INTERRUPT_ACKNOWLEDGE => "interrupt_acknowledge",
        trap::IO_READ => "io_read",
        trap::IO_WRITE => "io_write",
        other => return other.to_string(),
    };
    String::from(name)
}

#[cfg(test)]
mod tests {
    use libmach::abi::trace::{Kind, Record};

    use super::line;

    fn record(kind: Kind, a: u64, b: u64) -> Record {
        Record {
            time: 1_500,
            kind: kind as u8,
            cpu: 1,
            thread: 7,
            a,
            b,
            ..Record::default()
        }
    }

    #[test]
    fn messages_and_traps_have_their_names() {
        let shown = |kind, a, b| line(&record(kind, a, b), 1_000);
        let request = shown(Kind::Handoff, 9, 4200);
        assert!(request.contains("500 ns"), "{request}");
        let expected = "thread    7  request org.mello.echo.echo handed over to thread 9\n";
        assert!(request.ends_with(expected), "{request}");
        assert!(shown(Kind::Queue, 3, 4300).contains("reply org.mello.echo.echo queued"));
        assert!(shown(Kind::Receive, 3, 12).contains("message 12 received"));
        let trap = shown(Kind::Trap, (-31_i64).cast_unsigned(), 0);
        assert!(trap.contains("trap mach_msg"), "{trap}");
        assert!(shown(Kind::Exception, 1, 2).contains("EXC_BAD_ACCESS"));
    }

    #[test]
    fn an_unknown_event_is_shown_as_it_is() {
        let mut odd = record(Kind::Mark, 1, 2);
        odd.kind = 200;
        odd.thread = u32::MAX;
        assert!(line(&odd, 0).contains("thread    -  event 200 0x1 0x2"));
    }
}
