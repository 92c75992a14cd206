//! What is measured.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::child::{Cost, measure, median};
use super::report::Report;
use super::rivals::{ALL, DUCKDB, Measured};
use crate::{debian, process};

/// A date that is closed for long.
const CLOSED: &str = "2026-01-01";
/// A live lake ends so long ago: time for the minutes that are added.
const LEAD_MINUTES: u32 = 30;
/// A case of milliseconds is run so many times as often as the others.
const SHORT_RUNS: u32 = 3;
/// How long the directories of a lake that was just made look fresh.
const SETTLING: Duration = Duration::from_secs(11);

impl Bench {
    fn generate(&self, lake: &str, flags: &str) -> Result<PathBuf> {
        let lake = self.lakes.join(lake);
        let mut command = Command::new(self.programs.join("telemetry-bench"));
        command.arg("generate").arg("--lake").arg(&lake).args(flags.split_whitespace());
        process::run(command.args(["--interval", if self.is_quick { "600" } else { "10" }]))?;
        Ok(lake)
    }

    /// Buckets with samples, of one host and day.
    fn buckets(&self) -> u32 {
        if self.is_quick { 144 } else { 288 }
    }

    fn rollup(&self, lake: &Path, more: &[&str]) -> Result<Cost> {
        let lake = lake.to_string_lossy();
        let arguments = [more, &["--lake", &lake]].concat();
        measure(&self.programs.join("telemetry-rollup"), &arguments)
    }

    fn decode(&self, lake: &Path) -> Result<Cost> {
        measure(&self.programs.join("telemetry-bench"), &["decode", "--lake", &lake.to_string_lossy()])
    }
}

/// All of 8.64 million samples, and the memory for four times as many.
pub(super) fn full(bench: &Bench, report: &mut Report) -> Result<()> {
    let (hosts, days) = if bench.is_quick { (3, 2) } else { (100, 10) };
    let lake = bench.generate("full", &format!("--hosts {hosts} --days {days} --from {CLOSED}"))?;
    let (mut ours, mut decoded) = (Vec::new(), Vec::new());
    let rivals = bench.rivals.race(&ALL, &lake, bench.runs, || {
        // Who comes after the others finds caches and memory as gigabytes of theirs left them: nobody
        // that is measured, and then each of the two is the first once.
        bench.decode(&lake)?;
        for is_rollup in [true, false, false, true] {
            if is_rollup {
                ours.push(bench.rollup(&lake, &["--force"])?);
            } else {
                decoded.push(bench.decode(&lake)?);
            }
        }
        Ok(())
    })?;
    let (ours, decoded) = (median(&ours), median(&decoded));
    report.section(&format!("A full rollup: {hosts} hosts, {days} days, {} samples", hosts * days * 8_640));
    report.row("telemetry-rollup --force, with the durable publish", ours, ours);
    report.row("the bare decode of the same columns, two threads", decoded, ours);
    rows(report, &rivals, ours);
    check_rows(&rivals, hosts * days * bench.buckets())?;
    report.at_least(
        "full rollup, against the fastest other engine",
        fastest(&rivals) / ours.seconds,
        3.5,
        "times",
    );
    report.at_most("full rollup, against the bare decode", ours.seconds / decoded.seconds, 1.5, "times");

    let long = bench.generate("long", &format!("--hosts {hosts} --days {} --from {CLOSED}", 4 * days))?;
    let four = bench.rollup(&long, &["--force"])?;
    report.row(&format!("telemetry-rollup --force of {} days", 4 * days), four, ours);
    report.at_most("full rollup, memory", ours.memory_mb, 256.0, "MB");
    report.at_most("memory of 40 days against 10", four.memory_mb / ours.memory_mb, 1.2, "times");
    Ok(())
}

/// One host's day in minutes, and what is left of it.
pub(super) fn day(bench: &Bench, report: &mut Report) -> Result<()> {
    let lake = bench.generate("day", &format!("--layout minute --from {CLOSED}"))?;
    let mut ours = Vec::new();
    let rivals = bench.rivals.race(&DUCKDB, &lake, bench.runs, || {
        ours.push(bench.rollup(&lake, &["--force"])?);
        Ok(())
    })?;
    let ours = median(&ours);
    report.section("One host's day in 1,440 files of a minute");
    report.row("telemetry-rollup --force", ours, ours);
    rows(report, &rivals, ours);
    check_rows(&rivals, bench.buckets())?;
    report.at_least("day of minutes, against DuckDB", fastest(&rivals) / ours.seconds, 2.0, "times");

    let compaction = bench.rollup(&lake, &["compact"])?;
    report.row("telemetry-rollup compact", compaction, ours);
    let sizes = sizes(&lake.join(format!("silver/ops_host_metrics/date={CLOSED}")))?;
    let bytes: u64 = sizes.iter().sum();
    report.note(&format!("After compaction: {} file(s), {bytes} bytes.", sizes.len()));
    report.at_most("files of the compacted day", sizes.len() as f64, 1.0, "");
    report.at_most("size of the compacted day", bytes as f64 / 1e3, 290.0, "KB");
    Ok(())
}

/// What cron pays every five minutes. A run is short beside the machine's moods, so that there are more
/// of them, on one lake and the other in turns.
pub(super) fn incremental(bench: &Bench, report: &mut Report) -> Result<()> {
    let begun = Begun::now()?;
    let year = if bench.is_quick { 56 } else { 363 };
    let month = Live::make(bench, "month", begun.closed_days_at_most(28)?, &begun)?;
    let year = Live::make(bench, "year", begun.closed_days_at_most(year)?, &begun)?;
    let mut lakes = [month, year];
    // As for all but the first runs after a change: directories that changed just now are listed
    // again until they have settled.
    std::thread::sleep(SETTLING);
    for lake in &lakes {
        bench.rollup(&lake.path, &[])?;
    }
    for run in 0..(SHORT_RUNS * bench.runs).min(LEAD_MINUTES) {
        for lake in &mut lakes {
            minute(bench, (lake.name, 1), &begun, run)?;
            lake.news.push(bench.rollup(&lake.path, &[])?);
            lake.nothing.push(bench.rollup(&lake.path, &[])?);
        }
    }
    let [month, year] = lakes;
    let (month, year) = (month.report(bench, report)?, year.report(bench, report)?);
    report.at_most("incremental run, a year against a month", year.cpu_ms / month.cpu_ms, 1.25, "times");
    Ok(())
}

/// A lake of one host, and what runs on it cost.
struct Live {
    name: &'static str,
    path: PathBuf,
    days: u32,
    news: Vec<Cost>,
    nothing: Vec<Cost>,
}

impl Live {
    fn make(bench: &Bench, name: &'static str, closed_days: u32, begun: &Begun) -> Result<Self> {
        let path = live(bench, name, 1, closed_days, begun)?;
        Ok(Self { name, path, days: closed_days + 2, news: Vec::new(), nothing: Vec::new() })
    }

    /// What a run with one new file costs.
    fn report(self, bench: &Bench, report: &mut Report) -> Result<Cost> {
        let Self { name, path, days, news, nothing } = self;
        let runs = news.len();
        let (news, nothing) = (median(&news), median(&nothing));
        report.section(&format!("Every five minutes: one host, {days} days"));
        report.row("one new file of a minute", news, news);
        report.row("nothing new", nothing, news);
        let opened = opened(bench, &path)?;
        report.note(&format!("Medians of {runs}, with another lake in turns."));
        report.note(&format!("Files of the datasets that a run with nothing new opens: {opened}."));
        report.at_most(format!("{name}: incremental run, CPU"), news.cpu_ms, 60.0, "ms");
        report.at_most(format!("{name}: incremental run, memory"), news.memory_mb, 60.0, "MB");
        report.at_most(format!("{name}: nothing new, CPU"), nothing.cpu_ms, 15.0, "ms");
        report.at_most(format!("{name}: nothing new, opened files"), opened as f64, 0.0, "");
        Ok(news)
    }
}

/// Many hosts that publish each minute.
pub(super) fn minutes(bench: &Bench, report: &mut Report) -> Result<()> {
    let hosts = if bench.is_quick { 2 } else { 100 };
    let begun = Begun::now()?;
    let lake = live(bench, "minutes", hosts, 0, &begun)?;
    let mut costs = Vec::new();
    for run in 0..bench.runs {
        minute(bench, ("minutes", hosts), &begun, run)?;
        costs.push(bench.rollup(&lake, &[])?);
    }
    let ours = median(&costs);
    report.section(&format!("{hosts} hosts in files of a minute, since yesterday, closed hours merged"));
    report.row("one new minute of each", ours, ours);
    report.at_most("100 hosts in minutes, incremental run", ours.seconds, 1.0, "s");
    Ok(())
}

/// A lake as cron leaves it: closed dates in one file, yesterday and today in minutes, hours merged,
/// everything rolled up, up to half an hour ago.
fn live(bench: &Bench, name: &str, hosts: u32, closed_days: u32, begun: &Begun) -> Result<PathBuf> {
    if closed_days > 0 {
        let from = begun.minus_minutes(i64::from(closed_days + 1) * 1_440)?;
        bench.generate(name, &format!("--hosts {hosts} --days {closed_days} --from {}", date_of(&from)))?;
    }
    let (yesterday, until) = (begun.minus_minutes(1_440)?, begun.minus_minutes(LEAD_MINUTES.into())?);
    let flags = format!("--hosts {hosts} --days 2 --layout minute --seed 2");
    let flags = format!("{flags} --from {} --until {until}", date_of(&yesterday));
    let lake = bench.generate(name, &flags)?;
    bench.rollup(&lake, &["compact"])?;
    bench.rollup(&lake, &[])?;
    Ok(lake)
}

/// The next minute of every host.
fn minute(bench: &Bench, (name, hosts): (&str, u32), begun: &Begun, number: u32) -> Result<()> {
    let (ago, yesterday) = (i64::from(LEAD_MINUTES) - i64::from(number), begun.minus_minutes(1_440)?);
    let (after, until) = (begun.minus_minutes(ago)?, begun.minus_minutes(ago - 1)?);
    let flags = format!("--hosts {hosts} --days 2 --layout minute --seed 2 --from {}", date_of(&yesterday));
    bench.generate(name, &format!("{flags} --after {after} --until {until}")).map(drop)
}

/// When a case began: its lake is made as of then, however long that takes.
struct Begun {
    unix_seconds: i64,
}

impl Begun {
    fn now() -> Result<Self> {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(Self { unix_seconds: i64::try_from(since_1970.as_secs())? })
    }

    /// As many closed dates as there can be: no sample is older than 2026, so until 2027 a year is shorter.
    fn closed_days_at_most(&self, days: u32) -> Result<u32> {
        const FIRST_SECONDS: i64 = 1_767_225_600;
        let possible = (self.unix_seconds - FIRST_SECONDS) / 86_400 - 1;
        Ok(days.min(u32::try_from(possible.max(0))?))
    }

    /// The last second of the full minute so long before, as RFC 3339.
    fn minus_minutes(&self, minutes: i64) -> Result<String> {
        let at = format!("@{}", self.unix_seconds - 60 * minutes);
        let text = process::output(Command::new("date").args(["-u", "-d", &at, "+%Y-%m-%dT%H:%M:59Z"]))?;
        Ok(text.trim().to_owned())
    }
}

fn date_of(instant: &str) -> &str {
    instant.split('T').next().unwrap_or_default()
}

/// How many files of the datasets a run opens, by a trace of its system calls.
fn opened(bench: &Bench, lake: &Path) -> Result<usize> {
    debian::require("strace", "the bench counts the files that a run opens")?;
    let trace = bench.lakes.join("trace.txt");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=openat,open,creat", "-o"]).arg(&trace);
    process::output(command.arg(bench.programs.join("telemetry-rollup")).arg("--lake").arg(lake))?;
    let text = std::fs::read_to_string(&trace).context("strace wrote nothing")?;
    ensure!(text.contains("silver"), "the trace does not even show that Silver was listed");
    Ok(opened_files(&text))
}

fn opened_files(trace: &str) -> usize {
    trace.lines().filter(|line| line.contains(".parquet")).count()
}

fn sizes(directory: &Path) -> Result<Vec<u64>> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.metadata()?.len())).collect()
}

fn rows(report: &mut Report, rivals: &[Measured], ours: Cost) {
    for rival in rivals {
        report.row(&rival.name(), rival.median(), ours);
    }
}

/// An engine that finds other buckets than there are has not done the work.
fn check_rows(rivals: &[Measured], expected: u32) -> Result<()> {
    for rival in rivals {
        ensure!(
            rival.rows == u64::from(expected),
            "{} made {} rows, not {expected}",
            rival.name(),
            rival.rows
        );
    }
    Ok(())
}

fn fastest(rivals: &[Measured]) -> f64 {
    rivals.iter().map(|rival| rival.median().seconds).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opened_files_are_counted_and_directories_are_not() {
        let trace = "1 openat(AT_FDCWD, \"l/silver/x/date=2026-01-01\", O_RDONLY|O_DIRECTORY) = 3\n\
                     1 openat(AT_FDCWD, \"l/silver/x/date=2026-01-01/a.parquet\", O_RDONLY) = 3\n";
        assert_eq!(opened_files(trace), 1);
    }
}
