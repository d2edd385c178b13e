//! `dmesg`: the log of the kernel and of all servers.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use interfaces::log::{Level, Record};
use libmach::{Error, ms};

use super::{Done, Entry, none};
use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;

pub(super) const ENTRY: Entry = Entry("dmesg", "shows the log");

/// How long the log may take for each page; stopped, it would never answer.
const PATIENCE: Duration = ms(5000);

pub(super) async fn run(shell: &Shell, arguments: &[&str], session: &Session) -> Done {
    none(arguments, &ENTRY)?;
    let log = shell.runtime.concurrent(&shell.rights.log);
    let log = log.with_deadline(PATIENCE);
    let mut next = 0;
    loop {
        let page = log.read(next).await.map_err(|error| match error {
            Error::TimedOut => Failure::Said(String::from(
                "the log does not answer; see `svc` whether it runs",
            )),
            error => error.into(),
        })?;
        let mut text = String::new();
        for record in page.iter() {
            if record.number > next {
                text.push_str(&format!("({} lines are lost)\n", record.number - next));
            }
            next = record.number.saturating_add(1);
            text.push_str(&line(record));
        }
        if text.is_empty() {
            return Ok(());
        }
        session.stdout(text.as_bytes()).await?;
    }
}

fn line(record: &Record) -> String {
    let level = match record.level {
        Level::Error => "error: ",
        Level::Warning => "warning: ",
        Level::Info => "",
        Level::Debug => "debug: ",
    };
    let task = match (record.identity, record.task.as_str()) {
        (0, _) => String::from("kernel"),
        (identity, "") => format!("task {identity:#x}"),
        (_, name) => String::from(name),
    };
    let microseconds = record.time / 1_000;
    let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    format!("[{seconds:5}.{rest:06}] {task}: {level}{}\n", &*record.text)
}

#[cfg(test)]
mod tests {
    use interfaces::bounded::Text;
    use interfaces::log::{Level, Record};

    use super::line;

    #[test]
    fn a_record_says_when_who_and_how_bad() {
        let mut record = Record {
            time: 12_000_345_678,
            identity: 0x10,
            task: Text::cut("uart16550"),
            level: Level::Warning,
            text: Text::cut("2 overruns"),
            ..Record::default()
        };
        let expected = "[   12.000345] uart16550: warning: 2 overruns\n";
        assert_eq!(line(&record), expected);
        record.task = Text::EMPTY;
        assert!(line(&record).contains(" task 0x10: "));
        record.identity = 0;
        record.level = Level::Info;
        assert_eq!(line(&record), "[   12.000345] kernel: 2 overruns\n");
    }
}
