//! `crash`, and a reporter that has two reports.

use interfaces::bounded::{Bytes, List, Text};
use interfaces::crash::{Crash, CrashReporter, Filed, Summary};
use interfaces::task::Task as Control;
use libmach::abi::kern_return::KernReturn;
use libmach::host::{Names, Task};
use libmach::{Caller, Mach, Result, SendRight};

use crate::terminal;

/// A report that is longer than one answer.
fn text(number: u64) -> String {
    format!("report {number}\n{}", "line\n".repeat(300))
}

struct Reports;

impl CrashReporter for Reports {
    type Rights = Mach;

    async fn report(
        &mut self,
        _: Caller,
        _: SendRight<dyn Control>,
        _: &str,
        _: Crash,
    ) -> Result<Filed> {
        Err(KernReturn::NoAccess.into())
    }

    async fn reports(&self, first: u64) -> Result<List<Summary, 8>> {
        let mut list = List::default();
        // One an answer: the monitor asks until there are no more.
        for number in (3..5).filter(|number| *number >= first).take(1) {
            list.push(Summary {
                number,
                task: 14,
                name: Text::cut("victim"),
                what: Text::cut("panicked: no more"),
                ..Summary::default()
            });
        }
        Ok(list)
    }

    async fn read(&self, number: u64, offset: u32) -> Result<Bytes<1024>> {
        if !(3..5).contains(&number) {
            return Err(KernReturn::InvalidArgument.into());
        }
        let text = text(number);
        let rest = text.as_bytes().get(offset as usize..).unwrap_or(&[]);
        Bytes::new(&rest[..rest.len().min(1024)]).ok_or(KernReturn::Failure.into())
    }
}

/// Serves it under the reporter's name.
pub(crate) fn serve(names: &Names) -> Task {
    let served = names.spawn(|context| {
        let service = context.check_in::<dyn CrashReporter>();
        service
            .expect("the name is free")
            .serve(Reports)
            .expect("a loop");
    });
    served.expect("a task")
}

#[test]
fn reports_of_crashes_are_listed_and_shown() {
    let system = terminal::system();
    let list = system.ask("crash");
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(
        lines[1].starts_with("3 ") && lines[2].starts_with("4 "),
        "{list}"
    );
    assert!(
        lines[2].ends_with("14    victim  panicked: no more"),
        "{list}"
    );
    assert_eq!(system.ask("crash 4"), text(4).replace('\n', "\r\n"));
    for wrong in ["9", "x"] {
        let said = format!("crash: there is no report {wrong}; `crash` lists them\r\n");
        assert_eq!(system.ask(&format!("crash {wrong}")), said);
    }
    assert_eq!(system.ask("crash 1 2"), "usage: crash [NUMBER]\r\n");
}
