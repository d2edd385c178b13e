//! The sum of a whole test run, and its last lines.

use super::count::Count;
use std::fmt::{self, Display};

/// Everything counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
    skipped: Vec<(String, String)>,
}

impl Tally {
    /// Adds the cases of one program.
    pub(super) fn add(&mut self, name: &str, count: Count) {
        self.passed += count.passed;
        self.failed += count.failed;
        for failure in count.failures {
            self.failures.push(format!("{name}, {failure}"));
        }
    }

    /// Adds a check that counts as one.
    pub(super) fn one(&mut self, name: &str, verdict: Result<(), String>) {
        match verdict {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                self.failures.push(format!("{name}, {why}"));
            }
        }
    }

    /// Notes what could not be run here.
    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    /// The exit status: nothing run is a failure too.
    pub(super) fn status(&self) -> u8 {
        u8::from(self.failed > 0 || self.passed == 0)
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        for (name, reason) in &self.skipped {
            writeln!(f, "skipped: {name}, {reason}")?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_sum_and_skips_stand_above() {
        let mut tally = Tally::default();
        assert_eq!(tally.status(), 1, "nothing passed");
        tally.one("fmt", Ok(()));
        assert_eq!(tally.status(), 0);
        tally.skip("miri", "no nightly");
        let count = Count {
            passed: 2,
            failed: 1,
            failures: vec!["x".into()],
        };
        tally.add("host", count);
        tally.one("tidy", Err("3 findings".into()));
        assert_eq!(tally.status(), 1);
        assert_eq!(
            tally.to_string(),
            "failed: host, x\nfailed: tidy, 3 findings\nskipped: miri, no nightly\n3 passed, 2 failed"
        );
    }
}
