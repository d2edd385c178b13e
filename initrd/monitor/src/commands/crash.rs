//! `crash`: the reports about tasks that ended by an exception.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use interfaces::crash::{CrashReporter, CrashReporterClient as Client, Summary};
use libmach::abi::kern_return::KernReturn;
use libmach::abi::transport::Interface;
use libmach::server::Concurrent;
use libmach::{Error, SendRight, ms, time};

use super::svc::span;
use super::{Done, Entry};
use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;
use crate::table::Table;

pub(super) const ENTRY: Entry = Entry(
    "crash [NUMBER]",
    "lists the reports of crashes, or shows one",
);

/// How long the reporter may take for each page; stopped, it would never answer.
const PATIENCE: Duration = ms(5000);

pub(super) async fn run(shell: &Shell, arguments: &[&str], session: &Session) -> Done {
    let name = <dyn CrashReporter>::NAME;
    let found = shell.rights.bootstrap.client().look_up(name);
    let right = found.map_err(|error| Failure::of("the crash reporter", error))?;
    let right: SendRight<dyn CrashReporter> = right.cast();
    let reporter = shell.runtime.concurrent(&right);
    let reporter = reporter.with_deadline(PATIENCE);
    match arguments {
        [] => list(&reporter, session).await,
        [number] => show(&reporter, number, session).await,
        _ => Err(Failure::Usage(ENTRY.0)),
    }
}

async fn list(reporter: &Client<Concurrent<'_>>, session: &Session) -> Done {
    let mut table = Table::new(["REPORT", "AGO", "TASK", "NAME", "WHAT"]);
    let mut first = 0;
    loop {
        let page = reporter.reports(first).await.map_err(silent)?;
        match page.last() {
            Some(last) if last.number >= first => first = last.number.saturating_add(1),
            _ => break,
        }
        for summary in page.iter() {
            table.row(cells(summary, time::now()));
        }
    }
    Ok(session.stdout(table.text().as_bytes()).await?)
}

fn cells(summary: &Summary, now: u64) -> [String; 5] {
    [
        summary.number.to_string(),
        span(now.saturating_sub(summary.time)),
        summary.task.to_string(),
        summary.name.to_string(),
        summary.what.to_string(),
    ]
}

async fn show(reporter: &Client<Concurrent<'_>>, number: &str, session: &Session) -> Done {
    let no_such = || Failure::Said(format!("there is no report {number}; `crash` lists them"));
    let wanted: u64 = number.parse().map_err(|_| no_such())?;
    let mut offset = 0;
    loop {
        let piece = reporter.read(wanted, offset).await;
        let piece = piece.map_err(|error| match error {
            Error::Code(KernReturn::InvalidArgument) => no_such(),
            error => silent(error),
        })?;
        if piece.is_empty() {
            return Ok(());
        }
        offset += piece.len() as u32;
        session.stdout(&piece).await?;
    }
}

fn silent(error: Error) -> Failure {
    match error {
        Error::TimedOut => Failure::Said(String::from(
            "the reporter does not answer; see `svc` whether it runs",
        )),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use interfaces::bounded::Text;
    use interfaces::crash::Summary;

    use super::cells;

    #[test]
    fn a_report_is_listed_with_who_and_what() {
        let summary = Summary {
            number: 3,
            time: 1_000_000_000,
            task: 14,
            name: Text::cut("echo"),
            what: Text::cut("panicked: no more"),
            ..Summary::default()
        };
        let expected = ["3", "2 s", "14", "echo", "panicked: no more"];
        assert_eq!(cells(&summary, 3_500_000_000), expected);
    }
}
