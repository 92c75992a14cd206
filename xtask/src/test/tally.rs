//! Counting tests from the summaries of their runners.

use std::fmt;
use std::ops::AddAssign;

use anyhow::{Result, bail};

/// How many tests passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Reads `test result: ok. 3 passed; 0 failed; ...`.
    pub(super) fn of_cargo(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?;
        Some(Self::of_words(counts))
    }

    /// Reads `1 failed, 3 passed, 1 skipped in 0.12s`. A test that was skipped counts as failed: a
    /// missing part must not look like a passed test.
    pub(super) fn of_pytest(line: &str) -> Option<Self> {
        let line = line.trim_matches(['=', ' ']);
        let (counts, time) = line.rsplit_once(" in ")?;
        let is_summary = time.split('s').next()?.parse::<f64>().is_ok();
        is_summary.then(|| Self::of_words(counts))
    }

    fn of_words(text: &str) -> Self {
        let words: Vec<&str> = text.split([' ', ',', ';', '.']).filter(|word| !word.is_empty()).collect();
        let mut tally = Self::default();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => tally.passed += number,
                "failed" | "skipped" | "error" | "errors" | "xpassed" => tally.failed += number,
                _ => {}
            }
        }
        tally
    }

    /// A runner that ended badly without a failed test (it did not compile, it crashed), and one that
    /// ran nothing, count as one failure.
    pub(super) fn with_status(mut self, success: bool) -> Self {
        if self.failed == 0 && (!success || self.passed == 0) {
            self.failed = 1;
        }
        self
    }

    /// An error if anything failed.
    pub(super) fn verdict(self) -> Result<()> {
        if self.failed > 0 {
            bail!("tests failed");
        }
        Ok(())
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(passed: u64, failed: u64) -> Option<Tally> {
        Some(Tally { passed, failed })
    }

    #[test]
    fn summaries_of_cargo_are_read() {
        let line =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(Tally::of_cargo(line), counted(12, 0));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Tally::of_cargo(line), counted(1, 2));
        assert_eq!(Tally::of_cargo("test a::b ... ok"), None);
    }

    #[test]
    fn summaries_of_pytest_are_read() {
        assert_eq!(Tally::of_pytest("3 passed in 0.12s"), counted(3, 0));
        assert_eq!(
            Tally::of_pytest("==== 1 failed, 3 passed, 2 warnings in 61.20s (0:01:01) ===="),
            counted(3, 1)
        );
        assert_eq!(Tally::of_pytest("1 passed, 1 skipped, 2 errors in 1.2s"), counted(1, 3));
        assert_eq!(Tally::of_pytest("the cat is in the house"), None);
    }

    #[test]
    fn a_runner_that_dies_or_does_nothing_fails() {
        let passed = Tally { passed: 2, failed: 0 };
        assert!(passed.with_status(true).verdict().is_ok());
        assert!(passed.with_status(false).verdict().is_err());
        assert!(Tally::default().with_status(true).verdict().is_err());
    }

    #[test]
    fn the_last_line_is_plain() {
        assert_eq!(Tally { passed: 7, failed: 1 }.to_string(), "7 passed, 1 failed");
    }
}
