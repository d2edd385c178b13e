//! A trace for `cargo xtask trace`: lines of words, numbers in decimal.
//!
//! | line | of |
//! |---|---|
//! | `mello-trace 1` | the format's first line; a newline of the report's own stands before it |
//! | `task INDEX NAME`, `thread INDEX TASK` | what there was when the trace began |
//! | `message ID ROLE NAME` | each id that occurs and has a name; ROLE: request, reply, notice |
//! | `lost COUNT` | events that were overwritten before they could be read |
//! | `event TIME CPU KIND THREAD A B` | a record (`abi::trace`) |

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use libmach::abi::trace::Kind;

use super::names::{self, Names};
use super::read::Traced;

/// The report's first line.
const HEAD: &str = "\nmello-trace 1\n";

/// The whole report.
pub(super) fn lines(traced: &Traced, names: &Names) -> String {
    let mut text = String::from(HEAD);
    for (index, name) in &names.tasks {
        text.push_str(&format!("task {index} {name}\n"));
    }
    for (index, task) in &names.threads {
        text.push_str(&format!("thread {index} {task}\n"));
    }
    let mut ids = BTreeSet::new();
    for record in &traced.records {
        if let Some(Kind::Handoff | Kind::Queue | Kind::Receive | Kind::KernelCall) =
            Kind::from_byte(record.kind)
        {
            ids.insert(record.b as u32 as i32);
        }
    }
    for id in ids {
        if let Some((role, name)) = names::message(id) {
            text.push_str(&format!("message {id} {} {name}\n", role.word()));
        }
    }
    text.push_str(&format!("lost {}\n", traced.lost));
    for record in &traced.records {
        let (time, cpu, kind, thread) = (record.time, record.cpu, record.kind, record.thread);
        let (a, b) = (record.a, record.b);
        text.push_str(&format!("event {time} {cpu} {kind} {thread} {a} {b}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec;

    use libmach::abi::trace::{Kind, Record};

    use super::{Names, Traced, lines};

    #[test]
    fn a_report_names_what_occurs() {
        let mut names = Names::default();
        names.tasks.insert(2, String::from("echo"));
        names.threads.insert(7, 2);
        let record = Record {
            time: 5,
            kind: Kind::Handoff as u8,
            cpu: 1,
            thread: 6,
            a: 7,
            b: 4200,
            ..Record::default()
        };
        let traced = Traced {
            records: vec![record],
            lost: 3,
        };
        let expected = "\nmello-trace 1\ntask 2 echo\nthread 7 2\n\
            message 4200 request org.mello.echo.echo\nlost 3\nevent 5 1 2 6 7 4200\n";
        assert_eq!(lines(&traced, &names), expected);
    }
}
