//! What the kernel recorded of a task, in words.

use alloc::format;
use alloc::string::String;

use libmach::abi::trace::{Kind, NONE, Record, access, wait};

/// What happened; `None`: nothing that tells about the task.
pub fn describe(record: &Record) -> Option<String> {
    let Record { a, b, .. } = *record;
    let low = a as u32;
    Some(match Kind::from_byte(record.kind)? {
        Kind::Trap => format!("trap {}", a.cast_signed()),
        Kind::Handoff => format!("{} handed over to thread {low}", queued(b)),
        Kind::Queue => format!("{} queued on port {low}", queued(b)),
        Kind::Receive => format!("{} received from port {low}", queued(b)),
        Kind::KernelCall => format!("{} to the kernel, port {low}", queued(b)),
        Kind::Block => format!("waits for {}", wait::name(low)),
        Kind::Wake => format!("wakes thread {low}"),
        Kind::Fault => format!("page fault at {a:#x} ({})", access(b)),
        Kind::Exception => format!("{}, code {b:#x}", libmach::abi::exception::name(low)),
        Kind::TaskCreate => format!("made task {low}"),
        Kind::TaskTerminate => format!("ended task {low}"),
        Kind::ThreadCreate => format!("made thread {low}"),
        Kind::ThreadTerminate => format!("thread {low} ended"),
        Kind::PortDeath => format!("port {low} died"),
        Kind::Mark => format!("mark {a:#x} {b:#x}"),
        Kind::Timer if a != NONE => format!("deadline of thread {low}"),
        Kind::Empty | Kind::Switch | Kind::Interrupt | Kind::TaskName | Kind::Timer => return None,
    })
}

/// A message in a record. The number that it was queued under stands above its id.
fn queued(b: u64) -> String {
    message(b as u32 as i32)
}

/// A message, or the answer to it, by the name that its interface gives it.
pub fn message(id: i32) -> String {
    match interfaces::name_of(id) {
        Some((interface, method)) => format!("{interface}.{method}"),
        None => format!("message {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_names_and_what_says_nothing_is_left_out() {
        let said = |kind, a, b| {
            let kind = kind as u8;
            let record = Record {
                kind,
                a,
                b,
                ..Record::default()
            };
            describe(&record)
        };
        let call = said(Kind::KernelCall, 3, 3400).unwrap_or_default();
        assert_eq!(call, "org.mello.task.terminate to the kernel, port 3");
        let odd = said(Kind::Queue, 3, 9 | 7 << 32).unwrap_or_default();
        assert_eq!(odd, "message 9 queued on port 3");
        let fault = said(Kind::Fault, 0x1000, 1).unwrap_or_default();
        assert_eq!(fault, "page fault at 0x1000 (write)");
        assert_eq!(said(Kind::Switch, 1, 2), None);
        assert_eq!(said(Kind::Timer, NONE, 0), None);
    }
}
