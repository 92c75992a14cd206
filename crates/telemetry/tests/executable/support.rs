//! A lake made here, and the program on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use telemetry_alert_rules::AlertState;
use telemetry_repository::{Lake, RollupFileName, empty_frame};
use telemetry_schema::{
    HOST_METRICS, HOST_METRICS_ROLLUP, HostId, HostMetricsSample, Row, Value, host_metrics_rollup,
};
pub(crate) use telemetry_trials::program::{Ended, ended};
use telemetry_trials::program::{isolate, under_test};
use tempfile::TempDir;

/// A temporary directory with a lake, on a file system that is a disk's.
pub(crate) struct World {
    directory: TempDir,
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    under_test(env!("CARGO_BIN_EXE_telemetry"))
}

/// A line of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) level: String,
    pub(crate) text: String,
    pub(crate) remedy: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn lake(&self) -> Lake {
        Lake::new(self.path("lake"))
    }

    /// The program with nothing of this machine's configuration, on the world's lake.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        isolate(&mut command, &self.path("home"), &self.path("lake"));
        command.env("TELEMETRY_HOST_ID", "pi").args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().unwrap())
    }

    /// The findings. The exit code must be the one that they deserve.
    #[track_caller]
    pub(crate) fn examine(&self) -> Vec<Finding> {
        findings(&self.run(&["doctor", "--format", "json"]))
    }

    /// Minutes of six samples up to now, but for those (counted back) that are left out.
    pub(crate) fn sample(&self, minutes: i64, without: impl Fn(i64) -> bool) {
        let repository = self.lake().host_metrics();
        let newest = Utc::now().trunc_subsecs(0) - TimeDelta::seconds(55);
        for minute in (0..minutes).rev().filter(|minute| !without(*minute)) {
            let from = newest - TimeDelta::minutes(minute);
            let rows: Vec<HostMetricsSample> =
                (0..6).map(|n| sample(from + TimeDelta::seconds(10 * n))).collect();
            repository.append(&rows).unwrap();
        }
    }

    /// Gold of today without rows, and alert rules that have come as far as they could.
    pub(crate) fn roll_up(&self) {
        let lake = self.lake();
        let gold = lake.store(&HOST_METRICS_ROLLUP, host_metrics_rollup::dataset_name(5));
        let date = Utc::now().date_naive();
        let name = RollupFileName { date, generation: 1, digest: 1, is_final: false };
        gold.replace_date(date, &empty_frame(HOST_METRICS_ROLLUP.columns), &name, &[]).unwrap();
        let state = AlertState::before((Utc::now() - TimeDelta::minutes(12)).timestamp_micros());
        let kept = serde_json::json!({ "state": state, "dataset": gold.name(), "gold": {} });
        lake.save_rollup_state("alerts", &kept.to_string()).unwrap();
    }
}

pub(crate) fn host() -> HostId {
    HostId::parse("pi").unwrap()
}

fn sample(at: DateTime<Utc>) -> HostMetricsSample {
    let mut values = vec![Value::Null; HOST_METRICS.columns.len()];
    values[0] = Value::TimestampUs(at.timestamp_micros());
    values[1] = Value::String("pi".into());
    HostMetricsSample::from_values(&values).unwrap()
}

/// Reads the lines of JSON; the exit code must be the one that they deserve.
#[track_caller]
pub(crate) fn findings(ended: &Ended) -> Vec<Finding> {
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let findings: Vec<Finding> = lines
        .map(|line| Finding {
            check: text(&line, "check"),
            level: text(&line, "level"),
            text: text(&line, "text"),
            remedy: text(&line, "remedy"),
        })
        .collect();
    let is_wrong = findings.iter().any(|finding| ["warning", "problem"].contains(&finding.level.as_str()));
    assert_eq!(ended.code, if is_wrong { 3 } else { 0 }, "{ended:?}");
    findings
}

/// The finding of a check that is of this level.
#[track_caller]
pub(crate) fn expect<'f>(findings: &'f [Finding], check: &str, level: &str) -> &'f Finding {
    let mut found = findings.iter().filter(|finding| finding.check == check && finding.level == level);
    found.next().unwrap_or_else(|| panic!("no {check} that is {level} in {findings:#?}"))
}

/// All paths below a directory.
pub(crate) fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().map(Result::unwrap) {
        paths.extend(tree(&entry.path()));
        paths.push(entry.path());
    }
    paths.sort();
    paths
}
