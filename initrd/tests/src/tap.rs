//! TAP, the Test Anything Protocol, version 13: a plan, then one line a case.

use alloc::format;
use alloc::string::String;

use crate::case::{Case, Check, Verdict};

/// How many cases ended how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

/// The report so far.
#[derive(Debug, Default)]
pub struct Tap {
    summary: Summary,
    number: usize,
}

impl Tap {
    /// The plan: the first line.
    pub fn plan(count: usize) -> String {
        format!("1..{count}\n")
    }

    /// The lines of a case that ended.
    pub fn line(&mut self, case: &Case, result: &Check) -> String {
        self.number += 1;
        let (number, area, name) = (self.number, case.area, case.name);
        match result {
            Ok(()) => {
                self.summary.passed += 1;
                format!("ok {number} - {area}: {name}\n")
            }
            Err(Verdict::Skipped(why)) => {
                self.summary.skipped += 1;
                format!("ok {number} - {area}: {name} # SKIP {why}\n")
            }
            Err(Verdict::Failed(why)) => {
                self.summary.failed += 1;
                // A line of its own each: one that began with "ok" would count as a case.
                let why = why.replace('\n', "\n# ");
                format!("not ok {number} - {area}: {name}\n# {why}\n")
            }
        }
    }

    /// How the cases ended.
    pub const fn summary(&self) -> Summary {
        self.summary
    }
}

#[cfg(test)]
mod tests {
    use super::{Summary, Tap};
    use crate::case::{Case, Verdict};

    #[test]
    fn a_report_has_a_plan_and_numbered_lines() {
        let case = Case {
            area: "sets",
            name: "a set receives",
            run: |_| Ok(()),
        };
        let mut tap = Tap::default();
        assert_eq!(Tap::plan(3), "1..3\n");
        assert_eq!(tap.line(&case, &Ok(())), "ok 1 - sets: a set receives\n");
        let skipped = Err(Verdict::Skipped("one CPU".into()));
        let expected = "ok 2 - sets: a set receives # SKIP one CPU\n";
        assert_eq!(tap.line(&case, &skipped), expected);
        let failed = Err(Verdict::Failed("1, expected 2\nok, not".into()));
        let expected = "not ok 3 - sets: a set receives\n# 1, expected 2\n# ok, not\n";
        assert_eq!(tap.line(&case, &failed), expected);
        let summary = Summary {
            passed: 1,
            failed: 1,
            skipped: 1,
        };
        assert_eq!(tap.summary(), summary);
    }
}
