//! The records, the newest [`CAPACITY`] of them.
//!
//! Invariant: numbers ascend by one; a reader that finds a gap knows how much it missed.

use alloc::collections::VecDeque;

use interfaces::bounded::{List, Text};
use interfaces::log::{Level, Record};

/// How many records are kept.
pub const CAPACITY: usize = 1024;

/// What a writer says, without what the ring adds.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When, in ns since boot.
    pub time: u64,
    /// The writer's identity token.
    pub identity: u64,
    /// What its task is called.
    pub task: Text<32>,
    /// How much it matters.
    pub level: Level,
    /// One line or several.
    pub text: &'a str,
}

/// The ring. All its memory is taken and touched when it is made, so that the log neither grows with what is
/// said nor fails to note that the system has no memory left.
#[derive(Debug)]
pub struct Ring {
    records: VecDeque<Record>,
    next: u64,
}

impl Default for Ring {
    fn default() -> Self {
        let mut records = VecDeque::new();
        records.resize(CAPACITY, Record::default());
        records.clear();
        Self { records, next: 0 }
    }
}

impl Ring {
    /// Keeps each line of what a writer says that is not empty, and hands the record to `then`.
    /// Control characters become spaces: a record must not steer the terminal that shows it.
    pub fn write(&mut self, line: Line<'_>, mut then: impl FnMut(&Record)) {
        for text in line.text.lines().filter(|text| !text.trim().is_empty()) {
            let record = Record {
                number: self.next,
                time: line.time,
                identity: line.identity,
                task: line.task,
                level: line.level,
                text: plain(text),
            };
            self.next += 1;
            if self.records.len() == CAPACITY {
                self.records.pop_front();
            }
            self.records.push_back(record);
            then(&record);
        }
    }

    /// The oldest records whose number is at least `first`.
    pub fn read(&self, first: u64) -> List<Record, 16> {
        let oldest = self.next - self.records.len() as u64;
        let skip = usize::try_from(first.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let mut list = List::default();
        for record in self.records.iter().skip(skip) {
            if !list.push(*record) {
                break;
            }
        }
        list
    }
}

/// The text without control characters, cut to a record's size.
fn plain(text: &str) -> Text<192> {
    let mut bytes = [0; 192];
    let mut size = 0;
    for character in text.chars() {
        let shown = if character.is_control() {
            ' '
        } else {
            character
        };
        let Some(room) = bytes.get_mut(size..size + shown.len_utf8()) else {
            break;
        };
        shown.encode_utf8(room);
        size += shown.len_utf8();
    }
    Text::cut(core::str::from_utf8(&bytes[..size]).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn line(text: &str) -> Line<'_> {
        Line {
            time: 5,
            identity: 7,
            task: Text::cut("echo"),
            level: Level::Info,
            text,
        }
    }

    fn texts(ring: &Ring, first: u64) -> Vec<String> {
        let all = ring.read(first);
        all.iter()
            .map(|record| record.text.as_str().into())
            .collect()
    }

    #[test]
    fn lines_become_records() {
        let mut ring = Ring::default();
        let mut shown = 0;
        ring.write(line("one\n\n  \ntwo\x1b[2J\r\n"), |_| shown += 1);
        assert_eq!(texts(&ring, 0), ["one", "two [2J"]);
        assert_eq!(texts(&ring, 1), ["two [2J"]);
        assert_eq!(texts(&ring, 2), [""; 0]);
        assert_eq!(texts(&ring, u64::MAX), [""; 0]);
        assert_eq!(shown, 2);
        let record = ring.read(0)[0];
        assert_eq!((record.time, record.identity), (5, 7));
        assert_eq!(&*record.task, "echo");
    }

    #[test]
    fn the_oldest_go_first_and_the_gap_shows() {
        let mut ring = Ring::default();
        for number in 0..CAPACITY + 3 {
            ring.write(line(&alloc::format!("{number}")), |_| {});
        }
        let first = ring.read(0);
        assert_eq!(first.len(), 16);
        assert_eq!((first[0].number, &*first[0].text), (3, "3"));
        assert_eq!(ring.read(5)[0].number, 5);
        let mut at = 0;
        let mut count = 0;
        while let Some(last) = ring.read(at).last() {
            count += ring.read(at).len();
            at = last.number + 1;
        }
        assert_eq!((count, at), (CAPACITY, CAPACITY as u64 + 3));
    }

    proptest! {
        #[test]
        fn any_text_is_kept_without_control_characters(text in ".{0,300}") {
            let mut ring = Ring::default();
            ring.write(line(&text), |_| {});
            for record in ring.read(0).iter() {
                prop_assert!(record.text.len() <= 192);
                prop_assert!(!record.text.chars().any(char::is_control));
            }
        }
    }
}
