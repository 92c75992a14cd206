//! The table: ours, theirs, the difference, and whether it is allowed.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, bail};

/// Lines in the order in which they were measured.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<Line>,
}

struct Line {
    what: String,
    cells: [String; 4],
    passed: bool,
}

impl Report {
    /// A value that may differ by so much from the nearer of two readings, or lie between them.
    pub(super) fn within(&mut self, what: String, ours: f64, (before, after): (f64, f64), allowed: f64) {
        let (low, high) = (before.min(after), before.max(after));
        let nearest = ours.clamp(low, high);
        let difference = ours - nearest;
        self.lines.push(Line {
            what,
            cells: [number(ours), number(nearest), number(difference), format!("± {}", number(allowed))],
            passed: difference.abs() <= allowed,
        });
    }

    /// A value that must be below another.
    pub(super) fn below(&mut self, what: String, ours: f64, limit: f64) {
        let cells = [number(ours), String::new(), String::new(), format!("< {}", number(limit))];
        self.lines.push(Line { what, cells, passed: ours < limit });
    }

    /// Names that must be the same.
    pub(super) fn same(&mut self, what: String, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
        let list = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let cells = [list(ours), list(theirs), String::new(), "equal".to_owned()];
        self.lines.push(Line { what, cells, passed: ours == theirs });
    }

    /// An error if a line is a miss.
    pub(super) fn verdict(&self) -> Result<()> {
        match self.lines.iter().filter(|line| !line.passed).count() {
            _ if self.lines.is_empty() => bail!("nothing was compared"),
            0 => Ok(()),
            misses => bail!("{misses} of {} comparisons missed", self.lines.len()),
        }
    }
}

/// Three decimals, none for whole numbers, and no negative zero.
fn number(value: f64) -> String {
    let value = (value * 1_000.0).round() / 1_000.0 + 0.0;
    if value == value.trunc() { format!("{value:.0}") } else { format!("{value:.3}") }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: &str| text.chars().count();
        let what = self.lines.iter().map(|line| width(&line.what)).max().unwrap_or(0).max(4);
        writeln!(
            f,
            "{:what$}  {:>16}  {:>16}  {:>12}  {:>12}",
            "what", "ours", "theirs", "difference", "allowed"
        )?;
        for Line { what: text, cells: [ours, theirs, difference, allowed], passed } in &self.lines {
            let verdict = if *passed { "ok" } else { "MISS" };
            writeln!(
                f,
                "{text:what$}  {ours:>16}  {theirs:>16}  {difference:>12}  {allowed:>12}  {verdict}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(fill: impl Fn(&mut Report)) -> bool {
        let mut report = Report::default();
        fill(&mut report);
        report.verdict().is_ok()
    }

    #[test]
    fn values_must_lie_between_the_readings_or_near_them() {
        for (ours, passed) in
            [(10.0, true), (11.0, true), (12.0, true), (9.5, true), (12.5, true), (9.4, false), (13.0, false)]
        {
            assert_eq!(passes(|report| report.within("x".into(), ours, (12.0, 10.0), 0.5)), passed, "{ours}");
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [number(12.0), number(0.12345), number(-0.0004), number(1e12)],
            ["12", "0.123", "0", "1000000000000"]
        );
    }

    #[test]
    fn a_miss_is_an_error_and_so_is_nothing() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert!(passes(|report| report.same("x".into(), &set(&["a", "b"]), &set(&["a", "b"]))));
        assert!(!passes(|report| report.same("x".into(), &set(&["a"]), &set(&["a", "b"]))));
        assert!(passes(|report| report.below("x".into(), 1.0, 2.0)));
        assert!(!passes(|report| report.below("x".into(), 2.0, 2.0)));
        assert!(!passes(|_| {}));
    }
}
