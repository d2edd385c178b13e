//! The kernel's log: a byte stream with positions, from which lines are made.

use alloc::format;
use alloc::string::String;

/// Bytes of a line that is not ended yet; a longer one is given in pieces.
const LONGEST: usize = 512;

/// How far the kernel's log was read.
#[derive(Debug, Default)]
pub struct Reader {
    position: u64,
    partial: String,
}

impl Reader {
    /// The position of the next bytes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes `bytes`, which begin at `from`, and hands each whole line to `then`. Says whether there
    /// was anything new: without it, the log is read to its end.
    pub fn take(&mut self, from: u64, bytes: &[u8], mut then: impl FnMut(&str)) -> bool {
        if from < self.position || bytes.is_empty() {
            return false;
        }
        if from > self.position {
            self.flush(&mut then);
            let lost = from - self.position;
            then(&format!("{lost} bytes of the kernel's log are lost"));
        }
        self.position = from.saturating_add(bytes.len() as u64);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.push_str(&String::from_utf8_lossy(piece));
            if piece.ends_with(b"\n") || self.partial.len() >= LONGEST {
                self.flush(&mut then);
            }
        }
        true
    }

    fn flush(&mut self, then: &mut impl FnMut(&str)) {
        if !self.partial.is_empty() {
            then(self.partial.trim_end());
            self.partial.clear();
        }
    }
}

/// A line of the kernel without its time, and that time in ns, when it begins with one as in
/// `[   12.034567] text`.
pub fn split_time(line: &str) -> (Option<u64>, &str) {
    let parts = line.strip_prefix('[').and_then(|rest| {
        let (time, text) = rest.split_once("] ")?;
        let (seconds, micros) = time.trim_start().split_once('.')?;
        let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        if micros.len() != 6 || !is_number(micros) || !is_number(seconds) {
            return None;
        }
        let seconds = seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?;
        let time = seconds.checked_add(micros.parse::<u64>().ok()? * 1000)?;
        Some((time, text))
    });
    match parts {
        Some((time, text)) => (Some(time), text),
        None => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn taken(reader: &mut Reader, from: u64, text: &str) -> (bool, Vec<String>) {
        let mut lines = Vec::new();
        let new = reader.take(from, text.as_bytes(), |line| lines.push(line.into()));
        (new, lines)
    }

    #[test]
    fn lines_are_put_together_across_reads() {
        let mut reader = Reader::default();
        let lines = |lines: &[&str]| (true, lines.iter().map(|l| (*l).into()).collect());
        assert_eq!(taken(&mut reader, 0, "one\ntw"), lines(&["one"]));
        assert_eq!(reader.position(), 6);
        assert_eq!(
            taken(&mut reader, 6, "o\r\nthree\n"),
            lines(&["two", "three"])
        );
        assert_eq!(taken(&mut reader, 15, ""), (false, Vec::new()));
        assert_eq!(taken(&mut reader, 3, "again"), (false, Vec::new()));
    }

    #[test]
    fn what_was_overwritten_is_said() {
        let mut reader = Reader::default();
        taken(&mut reader, 0, "begun");
        let (new, lines) = taken(&mut reader, 105, "end\n");
        assert!(new);
        assert_eq!(
            lines,
            ["begun", "100 bytes of the kernel's log are lost", "end"]
        );
    }

    #[test]
    fn the_kernels_own_time_is_taken_where_there_is_one() {
        let split = split_time("[   12.034567] up");
        assert_eq!(split, (Some(12_034_567_000), "up"));
        for plain in [
            "up",
            "[",
            "[] x",
            "[1.2] x",
            "[1.00000x] x",
            "[-1.000000] x",
        ] {
            assert_eq!(split_time(plain), (None, plain));
        }
        let huge = "[99999999999999999999.000000] x";
        assert_eq!(split_time(huge), (None, huge));
        let large = "[18446744073.999999] x";
        assert_eq!(split_time(large), (None, large), "more ns than fit");
    }

    #[test]
    fn an_endless_line_is_given_in_pieces() {
        let mut reader = Reader::default();
        let (_, lines) = taken(&mut reader, 0, &"x".repeat(LONGEST));
        assert_eq!(lines.len(), 1);
        assert_eq!(reader.partial.capacity().min(LONGEST), LONGEST);
        assert!(reader.partial.is_empty());
    }
}
