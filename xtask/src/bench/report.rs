//! What was measured, as a page, and whether it holds.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::child::Cost;
use crate::performance::{self, PAGE};
use crate::{cost, device_writes, tree};

/// The page and the lines that must hold.
pub(super) struct Report {
    head: String,
    sections: Vec<Section>,
    lines: Vec<Line>,
}

struct Section {
    title: String,
    text: String,
}

/// The heading of the section of the lines.
const LINES: &str = "What must hold";

struct Line {
    what: String,
    measured: f64,
    limit: f64,
    is_least: bool,
    unit: &'static str,
}

impl Line {
    fn holds(&self) -> bool {
        if self.is_least { self.measured >= self.limit } else { self.measured <= self.limit }
    }

    /// What its row begins with.
    fn head(&self) -> String {
        format!("| {} | ", self.what)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { measured, limit, unit, .. } = self;
        let bound = if self.is_least { "at least" } else { "at most" };
        let verdict = if self.holds() { "holds" } else { "**missed**" };
        write!(f, "{}{measured:.2} {unit} | {bound} {limit} {unit} | {verdict} |", self.head())
    }
}

impl Report {
    pub(super) fn new(bench: &Bench) -> Result<Self> {
        let mut head = String::new();
        writeln!(
            head,
            "Machine: {}. Medians of {}, in turns, caches warm.",
            cost::machine_kind(),
            bench.runs
        )?;
        if bench.is_quick {
            writeln!(head, "\nQuick: small lakes and unoptimized programs, the numbers mean nothing.")?;
        }
        Ok(Self { head, sections: Vec::new(), lines: Vec::new() })
    }

    /// Begins a table of costs.
    pub(super) fn section(&mut self, title: &str) {
        let text = "| | time | CPU | peak memory | ratio |\n|---|---|---|---|---|\n".to_owned();
        self.sections.push(Section { title: title.to_owned(), text });
    }

    /// A line of the table; the ratio is that to our time.
    pub(super) fn row(&mut self, what: &str, cost: Cost, ours: Cost) {
        let Cost { seconds, cpu_ms, memory_mb } = cost;
        let cpu = if cpu_ms > 0.0 { format!("{cpu_ms:.0} ms") } else { String::new() };
        let ratio = seconds / ours.seconds;
        let line = format!("| {what} | {seconds:.3} s | {cpu} | {memory_mb:.0} MB | {ratio:.2} |");
        eprintln!("{line}");
        self.add(&format!("{line}\n"));
    }

    pub(super) fn note(&mut self, text: &str) {
        eprintln!("{text}");
        self.add(&format!("\n{text}\n"));
    }

    /// Adds to the section that was begun last.
    fn add(&mut self, text: &str) {
        if let Some(section) = self.sections.last_mut() {
            section.text += text;
        }
    }

    pub(super) fn at_least(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        limit: f64,
        unit: &'static str,
    ) {
        self.lines.push(Line { what: what.into(), measured, limit, is_least: true, unit });
    }

    pub(super) fn at_most(&mut self, what: impl Into<String>, measured: f64, limit: f64, unit: &'static str) {
        self.lines.push(Line { what: what.into(), measured, limit, is_least: false, unit });
    }

    pub(super) fn save(&self) -> Result<()> {
        let others = performance::saved_section(device_writes::SECTION)?.unwrap_or_default();
        let page = format!(
            "# Performance\n\nWritten by `cargo xtask bench`, which measures this machine; the samples are seeded and \
             TSBS-like. How it measures stands in `xtask/src/bench.rs`, what the others run in `xtask/bench/` \
             and `docs/sql/`.\n\n{self}\n{others}"
        );
        let page = format!("{}\n", page.trim_end());
        std::fs::write(tree::root().join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))
    }

    /// Writes only what was measured, and leaves the rest of the page as it is.
    pub(super) fn save_parts(&self) -> Result<()> {
        for Section { title, text } in &self.sections {
            performance::save_section(title, text)?;
        }
        let lines = performance::saved_section(LINES)?.with_context(|| format!("no {LINES} in {PAGE}"))?;
        performance::save_section(LINES, &self.with_new_lines(&lines))
    }

    /// The body of a section of lines, with those that were measured now.
    fn with_new_lines(&self, section: &str) -> String {
        let mut rows: Vec<String> = section.lines().skip(2).map(str::to_owned).collect();
        for line in &self.lines {
            match rows.iter_mut().find(|row| row.starts_with(&line.head())) {
                Some(row) => *row = line.to_string(),
                None => rows.push(line.to_string()),
            }
        }
        rows.join("\n")
    }

    pub(super) fn verdict(&self) -> Result<()> {
        match self.lines.iter().filter(|line| !line.holds()).count() {
            0 => Ok(()),
            missed => bail!("{missed} of {} lines do not hold", self.lines.len()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n## {LINES}\n\n| | measured | limit | |\n|---|---|---|---|", self.head)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.sections.iter().try_for_each(|Section { title, text }| write!(f, "\n## {title}\n\n{text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Report {
        Report { head: String::new(), sections: Vec::new(), lines: Vec::new() }
    }

    #[test]
    fn lines_are_replaced_and_the_others_stay() {
        let mut report = empty();
        report.at_least("ratio", 4.0, 3.5, "times");
        report.at_most("size", 2.0, 1.0, "MB");
        let section =
            "## What must hold\n\n| | measured |\n|---|---|\n| ratio of two | 1.00 |\n| ratio | 3.00 old |";
        let expected = "| | measured |\n|---|---|\n| ratio of two | 1.00 |\n\
                        | ratio | 4.00 times | at least 3.5 times | holds |\n| size | 2.00 MB | at most 1 MB | **missed** |";
        assert_eq!(report.with_new_lines(section), expected);
    }

    #[test]
    fn a_missed_line_is_shown_and_fails() {
        let mut report = empty();
        report.at_least("ratio", 4.0, 3.5, "times");
        assert!(report.verdict().is_ok());
        report.at_most("memory", 300.0, 256.0, "MB");
        assert!(report.verdict().is_err());
        let shown = report.to_string();
        assert!(shown.contains("| memory | 300.00 MB | at most 256 MB | **missed** |"), "{shown}");
    }
}
