//! A trace for a person: a line a record, times from the first one on.

use alloc::format;
use alloc::string::String;

use libmach::abi::exception;
use libmach::abi::trace::{Kind, NONE, Record, access, wait};

use super::names::{self, Names};
use super::read::Traced;

/// All lines. `names` are those of the trace's begin.
pub(super) fn lines(traced: &Traced, names: &mut Names) -> String {
    let mut text = String::new();
    if traced.lost > 0 {
        text.push_str(&format!("({} earlier events are lost)\n", traced.lost));
    }
    let start = traced.records.first().map_or(0, |record| record.time);
    for record in &traced.records {
        names.learn(record);
        text.push_str(&line(record, names, start));
    }
    text
}

fn line(record: &Record, names: &Names, start: u64) -> String {
    let time = record.time.saturating_sub(start);
    let (cpu, who) = (record.cpu, names.thread(record.thread));
    let what = describe(record, names);
    format!("{time:>9} ns  cpu {cpu}  {who:<16} {what}\n")
}

fn describe(record: &Record, names: &Names) -> String {
    let Record { a, b, .. } = *record;
    // Records hold indices of 32 bits; some have another number in the upper half.
    let (low, high) = (a as u32, (a >> 32) as u32);
    let thread = || names.thread(low);
    match Kind::from_byte(record.kind) {
        None => format!("event {} {a:#x} {b:#x}", record.kind),
        Some(Kind::Empty) => String::from("nothing"),
        Some(Kind::Trap) => format!("trap {}", names::trap_name(a.cast_signed())),
        Some(Kind::Handoff) => format!("{} handed over to {}", message(b), thread()),
        Some(Kind::Queue) => format!("{} queued on port {low}", message(b)),
        Some(Kind::Receive) => {
            let to = names.thread(high);
            format!("{} received from port {low} by {to}", message(b))
        }
        Some(Kind::KernelCall) => format!("{} to the kernel, port {low}", message(b)),
        Some(Kind::Block) => blocks(low, b),
        Some(Kind::Wake) => format!("wakes {}, priority {b}", thread()),
        Some(Kind::Switch) => format!("switch to {}", thread()),
        Some(Kind::Timer) if a == NONE => String::from("timer"),
        Some(Kind::Timer) => format!("deadline of {}", thread()),
        Some(Kind::Fault) => format!("page fault at {a:#x} ({})", access(b)),
        Some(Kind::Exception) => format!("{}, code {b:#x}", exception::name(low)),
        Some(Kind::Interrupt) if b == NONE => format!("interrupt {low}, for nobody"),
        Some(Kind::Interrupt) => format!("interrupt {low}, to port {b}"),
        Some(Kind::TaskCreate) => format!("task {low} made"),
        Some(Kind::TaskName) => format!("task {low} is called {}", names.task(low)),
        Some(Kind::TaskTerminate) => format!("{} ends", names.task(low)),
        Some(Kind::ThreadCreate) => format!("thread {} made", thread()),
        Some(Kind::ThreadTerminate) => format!("thread {} ended", thread()),
        Some(Kind::PortDeath) => format!("port {low} died"),
        Some(Kind::Mark) => format!("mark {a:#x} {b:#x}"),
    }
}

fn blocks(code: u32, at: u64) -> String {
    let what = wait::name(code);
    match code {
        wait::RECEIVE | wait::SEND | wait::EXCEPTION => format!("waits for {what}, port {at}"),
        _ => format!("waits for {what}"),
    }
}

/// A message by the name that its interface gives it.
fn message(b: u64) -> String {
    // The low half; the number that it was queued under stands above it.
    let id = b as u32 as i32;
    match names::message(id) {
        Some((role, name)) => format!("{} {name}", role.word()),
        None => format!("message {id}"),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use libmach::abi::trace::{Kind, NONE, Record, wait};

    use super::{Names, line};

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

    fn names() -> Names {
        let mut names = Names::default();
        names.tasks.insert(1, String::from("client"));
        names.tasks.insert(2, String::from("echo"));
        names.threads.extend([(7, 1), (9, 2)]);
        names
    }

    #[test]
    fn messages_threads_and_traps_have_their_names() {
        let names = names();
        let shown = |kind, a, b| line(&record(kind, a, b), &names, 1_000);
        let request = shown(Kind::Handoff, 9, 4200);
        let expected = "      500 ns  cpu 1  client/7         \
            request org.mello.echo.echo handed over to echo/9\n";
        assert_eq!(request, expected);
        assert!(shown(Kind::Queue, 3, 4300 | 5 << 32).contains("reply org.mello.echo.echo queued"));
        let received = shown(Kind::Receive, 3 | 9 << 32, 12 | NONE << 32);
        assert!(received.contains("message 12 received from port 3 by echo/9"));
        let trap = shown(Kind::Trap, (-31_i64).cast_unsigned(), 0);
        assert!(trap.contains("trap mach_msg"), "{trap}");
        assert!(shown(Kind::Exception, 1, 2).contains("EXC_BAD_ACCESS"));
        let blocked = shown(Kind::Block, wait::SEND.into(), 4);
        assert!(blocked.contains("waits for room in a queue, port 4"));
        assert!(shown(Kind::Timer, 9, 0).contains("deadline of echo/9"));
    }

    #[test]
    fn an_unknown_event_is_shown_as_it_is() {
        let mut odd = record(Kind::Mark, 1, 2);
        odd.kind = 200;
        odd.thread = u32::MAX;
        assert!(line(&odd, &names(), 0).contains("  -                event 200 0x1 0x2"));
    }
}
