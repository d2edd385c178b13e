//! Counting what test programs print.

/// How many cases passed and failed, with the failed ones' names where they are known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) failures: Vec<String>,
}

/// Reads the output of Rust's test programs.
#[derive(Debug, Default)]
pub(super) struct Libtest {
    count: Count,
}

impl Libtest {
    /// Takes one line.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.count.failures.push(name.to_owned());
        }
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in rest.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.count.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.count.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// What was counted.
    pub(super) fn finish(self) -> Count {
        self.count
    }
}

/// Reads TAP (Test Anything Protocol): `1..N`, `ok N - name`, `not ok N - name`, `Bail out!`.
///
/// A run without a plan, or with another number of cases than planned, has one more failure: a
/// program that ended early must not look like one that passed.
#[derive(Debug, Default)]
pub(super) struct Tap {
    plan: Option<u64>,
    count: Count,
    skipped: Vec<(String, String)>,
    bailed: Option<String>,
}

impl Tap {
    /// Takes one line.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(last) = line.strip_prefix("1..") {
            self.plan = last.split_whitespace().next().and_then(|n| n.parse().ok());
        } else if let Some(why) = line.strip_prefix("Bail out!") {
            self.bailed = Some(why.trim().to_owned());
        } else if let Some(rest) = line.strip_prefix("not ok") {
            self.count.failed += 1;
            self.count.failures.push(name(rest).to_owned());
        } else if let Some(rest) = line.strip_prefix("ok") {
            match name(rest).split_once("# SKIP") {
                Some((case, why)) => self
                    .skipped
                    .push((case.trim().to_owned(), why.trim().to_owned())),
                None => self.count.passed += 1,
            }
        }
    }

    /// What was counted, and the skipped cases with their reasons.
    pub(super) fn finish(mut self) -> (Count, Vec<(String, String)>) {
        let seen = self.count.passed + self.count.failed + self.skipped.len() as u64;
        let fault = match (self.plan, self.bailed) {
            (_, Some(why)) => Some(format!("bailed out: {why}")),
            (None, None) => Some("no plan (1..N) was printed".to_owned()),
            (Some(plan), None) if plan != seen => {
                Some(format!("{plan} cases were planned, {seen} ended"))
            }
            (Some(_), None) => None,
        };
        if let Some(fault) = fault {
            self.count.failed += 1;
            self.count.failures.push(fault);
        }
        (self.count, self.skipped)
    }
}

/// `" 3 - name"` without number and dash.
fn name(rest: &str) -> &str {
    rest.trim_start()
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start()
        .trim_start_matches("- ")
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(text: &str) -> (Count, Vec<(String, String)>) {
        let mut tap = Tap::default();
        text.lines().for_each(|line| tap.line(line));
        tap.finish()
    }

    #[test]
    fn libtest_summaries_add_up() {
        let mut libtest = Libtest::default();
        for line in [
            "running 2 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 0.00s",
            "test result: ok. 20 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out",
            "the test result: 99 passed",
        ] {
            libtest.line(line);
        }
        let count = libtest.finish();
        assert_eq!((count.passed, count.failed), (21, 1));
        assert_eq!(count.failures, ["a::c"]);
    }

    #[test]
    fn a_whole_tap_run_counts_its_cases() {
        let (count, skipped) = tap(
            "TAP version 13\n1..3\nok 1 - a\n# note\nnot ok 2 - b b\nok 3 - c # SKIP no disk\n",
        );
        assert_eq!((count.passed, count.failed), (1, 1));
        assert_eq!(count.failures, ["b b"]);
        assert_eq!(skipped, [("c".to_owned(), "no disk".to_owned())]);
    }

    #[test]
    fn a_tap_run_that_ends_early_fails() {
        assert_eq!(tap("").0.failed, 1);
        assert_eq!(tap("ok 1 - a\n").0.failures, ["no plan (1..N) was printed"]);
        let (count, _) = tap("1..2\nok 1 - a\n");
        assert_eq!((count.passed, count.failed), (1, 1));
        assert_eq!(tap("1..1\nok 1 - a\nok 2 - b\n").0.failed, 1);
        assert_eq!(
            tap("1..1\nok 1 - a\nBail out! no memory\n").0.failures,
            ["bailed out: no memory"]
        );
        assert_eq!(tap("1..1\nok 1 - a\n").0.failed, 0);
    }
}
