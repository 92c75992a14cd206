//! What a run shows: the plan, the rollups, a progress bar.

use anyhow::Context;
use chrono::NaiveDate;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use telemetry_app::{PrintFormat, new_table, print_json, print_rows, print_text};
use telemetry_repository::{DatasetStore, Selection, rows_from_frame};
use telemetry_schema::{HostMetricsRollup, Row};

use crate::args::DateRange;
use crate::compact::{CompactPlan, PlannedMerges};
use crate::expire::{ExpiryPlan, Verdict};
use crate::plan::{Action, Plan};

/// Fewer dates than these are built before a person has read the bar.
const MOST_DATES_WITHOUT_BAR: usize = 3;

/// Rows that a table shows; a day of one host has 288.
const MOST_ROWS_IN_TABLE: usize = 6;

/// A bar on standard error, if that is a terminal and there is much to build.
pub(crate) fn progress(plan: &Plan) -> ProgressBar {
    let dates = plan.dates.iter().filter(|date| matches!(date.action, Action::Build(_))).count();
    if dates <= MOST_DATES_WITHOUT_BAR {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} dates, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(dates as u64), ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[derive(Serialize)]
struct PlanLine {
    date: String,
    action: String,
    files: usize,
    bytes: u64,
    /// Number of files that compaction would merge.
    compact: usize,
    expire: &'static str,
}

pub(crate) fn plan(
    plan: &Plan,
    compact: &CompactPlan,
    expiry: &ExpiryPlan,
    format: Option<PrintFormat>,
) -> anyhow::Result<()> {
    let lines: Vec<PlanLine> = plan
        .dates
        .iter()
        .map(|date| PlanLine {
            date: date.date.to_string(),
            action: date.action.to_string(),
            files: date.files,
            bytes: date.bytes,
            compact: compact.on(date.date).map_or(0, PlannedMerges::files),
            expire: expire(expiry, date.date),
        })
        .collect();
    if format == Some(PrintFormat::Json) {
        return print_json(&lines);
    }
    if lines.is_empty() {
        return print_text("nothing to build: the lake holds no samples of these dates\n");
    }
    let mut table = new_table(["date", "action", "files to read", "bytes", "files to merge", "expires"]);
    for line in &lines {
        let [files, bytes, compact] =
            [line.files as u64, line.bytes, line.compact as u64].map(|number| number.to_string());
        table.add_row([&line.date, &line.action, &files, &bytes, &compact, line.expire]);
    }
    print_text(&format!("{}\n", table.trim_fmt()))
}

/// What expiry would do with a date.
fn expire(expiry: &ExpiryPlan, date: NaiveDate) -> &'static str {
    match (expiry.samples.get(&date), expiry.others.get(&date)) {
        (Some(Verdict::Expire), _) => "samples",
        (Some(Verdict::KeepUntilBuilt), _) => "samples, once their rollup is final",
        (Some(Verdict::KeepForAnother), _) => "samples, once other dates are built",
        (Some(Verdict::KeepInDoubt), _) => "samples, with --force: most of them would go",
        (None, Some(_)) => "rollups",
        (None, None) => "",
    }
}

/// The rollups of the range; without one, those of the last date.
pub(crate) fn rollups(gold: &DatasetStore, range: &DateRange, format: PrintFormat) -> anyhow::Result<()> {
    let dates: Vec<_> = gold.dates()?.into_iter().filter(|date| range.contains(*date)).collect();
    let is_open_range = range.from.is_none() && range.to.is_none();
    let shown = if is_open_range { &dates[dates.len().saturating_sub(1)..] } else { &dates[..] };
    let columns: Vec<&str> = HostMetricsRollup::DATASET.columns.iter().map(|column| column.name).collect();
    let mut rows: Vec<HostMetricsRollup> = Vec::new();
    for date in shown {
        let frames = gold.scan(&Selection::on(*date), &columns).context("cannot show the rollups")?;
        for frame in frames {
            rows.extend(rows_from_frame::<HostMetricsRollup>(&frame)?);
        }
    }
    if format == PrintFormat::Table && rows.len() > MOST_ROWS_IN_TABLE {
        rows.sort_by(|a, b| a.bucket_start.cmp(&b.bucket_start).then_with(|| a.host_id.cmp(&b.host_id)));
        let earlier = rows.len() - MOST_ROWS_IN_TABLE;
        rows.drain(..earlier);
        print_text(&format!(
            "The last {MOST_ROWS_IN_TABLE} of {} rollups; --print json shows all.\n",
            rows.len() + earlier
        ))?;
    }
    print_rows(&rows, format)
}
