//! A lake with samples made here, and the program on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, NaiveDate, Utc};
use telemetry_repository::{DataFile, DatasetStore, Lake, keys, rows_from_frame};
use telemetry_schema::{
    HOST_METRICS, HOST_METRICS_ROLLUP, HostMetricsRollup, HostMetricsSample, Row, Value, host_metrics_rollup,
};
pub(crate) use telemetry_trials::program::{Ended, ended};
use telemetry_trials::program::{isolate, under_test};
use tempfile::TempDir;

/// The program under test.
pub(crate) fn program() -> PathBuf {
    under_test(env!("CARGO_BIN_EXE_telemetry-rollup"))
}

pub(crate) struct World {
    directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Another world with the same lake.
    #[cfg(target_os = "linux")]
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        telemetry_trials::program::copy_directory(&self.path(), &copy.path());
        copy
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("lake")
    }

    pub(crate) fn lake(&self) -> Lake {
        Lake::new(self.path())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.in_this_world(Command::new(program()), arguments)
    }

    /// The program as another one starts it, whose own arguments are there.
    #[cfg(target_os = "linux")]
    pub(crate) fn command_under(&self, mut other: Command, arguments: &[&str]) -> Command {
        other.arg(program());
        self.in_this_world(other, arguments)
    }

    fn in_this_world(&self, mut command: Command, arguments: &[&str]) -> Command {
        isolate(&mut command, &self.directory.path().join("home"), &self.path());
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(&[], arguments)
    }

    /// With these environment variables.
    pub(crate) fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Ended {
        ended(self.command(arguments).envs(environment.iter().copied()).output().unwrap())
    }

    /// Builds and expects success.
    #[track_caller]
    pub(crate) fn build(&self, arguments: &[&str]) {
        let got = self.run(arguments);
        assert_eq!((got.code, got.stderr.as_str()), (0, ""), "{got:?}");
    }

    /// One sample every 10 s from the instant on, as one Silver file.
    pub(crate) fn append(&self, host: &str, from: &str, samples: u32) -> PathBuf {
        let from: DateTime<Utc> = from.parse().unwrap();
        let rows: Vec<HostMetricsSample> = (0..samples)
            .map(|n| sample(host, from + chrono::TimeDelta::seconds(10 * i64::from(n))))
            .collect();
        let appended = self.lake().host_metrics().append(&rows).unwrap();
        assert_eq!(appended.rows, samples as usize);
        appended.files[0].clone()
    }

    pub(crate) fn gold(&self, minutes: u32) -> DatasetStore {
        self.lake().store(&HOST_METRICS_ROLLUP, host_metrics_rollup::dataset_name(minutes))
    }

    /// The Gold rows of a date.
    pub(crate) fn rollups(&self, date: &str) -> Vec<HostMetricsRollup> {
        let columns: Vec<&str> = HOST_METRICS_ROLLUP.columns.iter().map(|column| column.name).collect();
        let gold = self.gold(5);
        let files = gold.files_on(date.parse().unwrap()).unwrap();
        files.iter().flat_map(|file| rows_from_frame(&gold.read(file, &columns).unwrap()).unwrap()).collect()
    }

    /// The hash of the rows of each date of Gold.
    pub(crate) fn content_hashes(&self) -> BTreeMap<NaiveDate, String> {
        let gold = self.gold(5);
        let files = gold.dates().unwrap().into_iter().flat_map(|date| gold.files_on(date).unwrap());
        let hash = |file: &DataFile| gold.footer(file).unwrap().get(keys::CONTENT_HASH).unwrap().to_owned();
        files.map(|file| (file.date, hash(&file))).collect()
    }

    /// The Gold file of each date, with what tells one file from another.
    pub(crate) fn identities(&self) -> BTreeMap<NaiveDate, (PathBuf, u64)> {
        let gold = self.gold(5);
        let files = gold.dates().unwrap().into_iter().flat_map(|date| gold.files_on(date).unwrap());
        files.map(|file| (file.date, (file.path.clone(), inode(&file.path)))).collect()
    }
}

#[cfg(unix)]
pub(crate) fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.metadata().unwrap().ino()
}

#[cfg(not(unix))]
pub(crate) fn inode(_path: &Path) -> u64 {
    0
}

pub(crate) fn sample(host: &str, at: DateTime<Utc>) -> HostMetricsSample {
    let mut values = vec![Value::Null; HOST_METRICS.columns.len()];
    values[0] = Value::TimestampUs(at.timestamp_micros());
    values[1] = Value::String(host.to_owned().into());
    let mut row = HostMetricsSample::from_values(&values).unwrap();
    let booted: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let uptime = (at - booted).num_seconds();
    row.cpu_pct = Some((uptime % 100) as f64);
    row.ram_used_mb = Some(1_000);
    row.net_rx_bytes = Some(uptime * 1_250);
    row.net_tx_bytes = Some(uptime * 125);
    row.net_interfaces = Some("eth0".into());
    row.boot_id = Some("boot".into());
    row.uptime_seconds = Some(uptime as f64);
    row.sample_interval_seconds = Some(10);
    row
}
