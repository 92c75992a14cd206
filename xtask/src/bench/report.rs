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
    sections: String,
    lines: Vec<Line>,
}

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
        Ok(Self { head, sections: String::new(), lines: Vec::new() })
    }

    /// Begins a table of costs.
    pub(super) fn section(&mut self, title: &str) {
        self.sections +=
            &format!("\n## {title}\n\n| | time | CPU | peak memory | ratio |\n|---|---|---|---|---|\n");
    }

    /// A line of the table; the ratio is that to our time.
    pub(super) fn row(&mut self, what: &str, cost: Cost, ours: Cost) {
        let Cost { seconds, cpu_ms, memory_mb } = cost;
        let cpu = if cpu_ms > 0.0 { format!("{cpu_ms:.0} ms") } else { String::new() };
        let ratio = seconds / ours.seconds;
        let line = format!("| {what} | {seconds:.3} s | {cpu} | {memory_mb:.0} MB | {ratio:.2} |");
        eprintln!("{line}");
        self.sections += &format!("{line}\n");
    }

    pub(super) fn note(&mut self, text: &str) {
        eprintln!("{text}");
        self.sections += &format!("\n{text}\n");
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

    pub(super) fn verdict(&self) -> Result<()> {
        match self.lines.iter().filter(|line| !line.holds()).count() {
            0 => Ok(()),
            missed => bail!("{missed} of {} lines do not hold", self.lines.len()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n## What must hold\n\n| | measured | limit | |\n|---|---|---|---|", self.head)?;
        for line in &self.lines {
            let Line { what, measured, limit, unit, .. } = line;
            let bound = if line.is_least { "at least" } else { "at most" };
            let verdict = if line.holds() { "holds" } else { "**missed**" };
            writeln!(f, "| {what} | {measured:.2} {unit} | {bound} {limit} {unit} | {verdict} |")?;
        }
        f.write_str(&self.sections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_line_is_shown_and_fails() {
        let mut report = Report { head: String::new(), sections: String::new(), lines: Vec::new() };
        report.at_least("ratio", 4.0, 3.5, "times");
        assert!(report.verdict().is_ok());
        report.at_most("memory", 300.0, 256.0, "MB");
        assert!(report.verdict().is_err());
        let shown = report.to_string();
        assert!(shown.contains("| memory | 300.00 MB | at most 256 MB | **missed** |"), "{shown}");
    }
}
