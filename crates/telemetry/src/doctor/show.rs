//! The page.

use comfy_table::{Cell, Color};
use telemetry_app::{PrintFormat, new_table, print_json, print_text};

use super::finding::{Finding, Level};

/// Shows the findings on standard output.
pub(super) fn findings(findings: &[Finding], format: PrintFormat) -> anyhow::Result<()> {
    if format == PrintFormat::Json {
        return print_json(findings);
    }
    let mut table = new_table(["check", "", "finding, and what to do"]);
    for finding in findings {
        let remedy = finding.remedy.as_ref().map_or_else(String::new, |remedy| format!("\n-> {remedy}"));
        table.add_row([
            Cell::new(finding.check),
            level(finding.level),
            Cell::new(format!("{}{remedy}", finding.text)),
        ]);
    }
    print_text(&format!("{}\n\n{}\n", table.trim_fmt(), verdict(findings)))
}

/// Coloured on a terminal only, as the table decides.
fn level(level: Level) -> Cell {
    let cell = Cell::new(level.as_str());
    match level {
        Level::Ok => cell.fg(Color::Green),
        Level::Note => cell,
        Level::Warning => cell.fg(Color::Yellow),
        Level::Problem => cell.fg(Color::Red),
    }
}

fn verdict(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let number = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => "nothing is wrong".to_owned(),
        (problems, warnings) => format!("{}, {}", number(problems, "problem"), number(warnings, "warning")),
    }
}
