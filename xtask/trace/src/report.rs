//! What the guest's `trace --report` prints (its format stands in `initrd/monitor`), read back.

use abi::trace::Kind;
use std::collections::BTreeMap;
use std::fmt;
use std::str::SplitWhitespace;

/// The report's first line, with the newline of its own before it.
const HEAD: &[u8] = b"\nmello-trace 1\n";

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A call.
    Request,
    /// Its answer.
    Reply,
    /// Neither.
    Notice,
}

/// A record of the kernel's ring; `a` and `b` as [`Kind`] has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, in ns since boot.
    pub time: u64,
    /// On which CPU.
    pub cpu: u32,
    /// What happened.
    pub kind: Kind,
    /// The thread that ran.
    pub thread: u32,
    /// The first fact.
    pub a: u64,
    /// The second one.
    pub b: u64,
}

/// A report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Names of tasks when the trace began.
    pub tasks: BTreeMap<u32, String>,
    /// Tasks of threads when the trace began.
    pub threads: BTreeMap<u32, u32>,
    /// What message ids mean.
    pub messages: BTreeMap<i32, (Role, String)>,
    /// How many events were overwritten.
    pub lost: u64,
    /// All that are known, in order.
    pub events: Vec<Event>,
}

/// A line that the guest should not have printed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine(String);

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest's trace has a bad line: {}", self.0)
    }
}

/// Takes the report off the end of what the guest wrote; the rest is the traced command's.
pub fn split(output: &[u8]) -> Option<(&[u8], &[u8])> {
    let windows = output.windows(HEAD.len());
    let at = windows.enumerate().rev().find(|(_, part)| *part == HEAD)?.0;
    Some((&output[..at], &output[at + HEAD.len()..]))
}

impl Report {
    /// Reads the lines after the first one.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let mut report = Self::default();
        for line in text.lines() {
            let read = report.take(line);
            read.ok_or_else(|| BadLine(line.to_owned()))?;
        }
        Ok(report)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_whitespace();
        match words.next()? {
            "task" => {
                let index = number(&mut words)?;
                let name = words.next().unwrap_or_default();
                self.tasks.insert(index, name.to_owned());
            }
            "thread" => {
                let index = number(&mut words)?;
                self.threads.insert(index, number(&mut words)?);
            }
            "message" => {
                let id = number(&mut words)?;
                let role = match words.next()? {
                    "request" => Role::Request,
                    "reply" => Role::Reply,
                    "notice" => Role::Notice,
                    _ => return None,
                };
                let name: Vec<&str> = words.collect();
                self.messages.insert(id, (role, name.join(" ")));
            }
            "lost" => self.lost = number(&mut words)?,
            "event" => self.events.extend(event(&mut words)?),
            _ => return None,
        }
        Some(())
    }
}

/// A record; an inner `None` is one of a kind that this tool does not know.
fn event(words: &mut SplitWhitespace<'_>) -> Option<Option<Event>> {
    let (time, cpu, kind) = (number(words)?, number(words)?, number(words)?);
    let (thread, a, b) = (number(words)?, number(words)?, number(words)?);
    Some(Kind::from_byte(kind).map(|kind| Event {
        time,
        cpu,
        kind,
        thread,
        a,
        b,
    }))
}

fn number<T: std::str::FromStr>(words: &mut SplitWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_from_the_command_s_own_output() {
        let output = b"said\nmello-trace 1\nsaid\nmello-trace 1\nlost 4\n";
        let (own, report) = split(output).unwrap();
        assert_eq!(own, b"said\nmello-trace 1\nsaid");
        assert_eq!(report, b"lost 4\n");
        assert_eq!(split(b"nothing"), None);
    }

    #[test]
    fn lines_become_what_they_say() {
        let text = "task 2 echo\ntask 3 \nthread 7 2\nmessage 4200 request a.b\n\
            message 72 notice dead name\nlost 1\nevent 5 1 2 6 7 4200\nevent 6 0 250 1 2 3\n";
        let report = Report::parse(text).unwrap();
        assert_eq!(report.tasks[&2], "echo");
        assert_eq!(report.tasks[&3], "");
        assert_eq!(report.threads[&7], 2);
        assert_eq!(report.messages[&4200], (Role::Request, "a.b".to_owned()));
        assert_eq!(report.messages[&72].1, "dead name");
        let event = report.events[0];
        assert_eq!(
            (event.kind, event.thread, event.b),
            (Kind::Handoff, 6, 4200)
        );
        assert_eq!(report.events.len(), 1, "an unknown kind is left out");
        for bad in ["task x y", "event 1 2", "what", "message 1 shout x"] {
            assert!(Report::parse(bad).is_err(), "{bad}");
        }
    }
}
