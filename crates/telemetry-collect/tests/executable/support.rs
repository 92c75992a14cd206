//! Runs the real executable in a world of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use telemetry_repository::{Lake, Selection, rows_from_frame};
use telemetry_schema::{HostMetricsSample, Row};
pub(crate) use telemetry_trials::program::{Ended, ended};
use telemetry_trials::program::{isolate, under_test};
use tempfile::TempDir;

/// The program under test.
pub(crate) fn program() -> PathBuf {
    under_test(env!("CARGO_BIN_EXE_telemetry-collect"))
}

/// A temporary directory with a lake, a home and a configuration file.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// Another world with the same lake.
    #[cfg(target_os = "linux")]
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        telemetry_trials::program::copy_directory(&self.lake(), &copy.lake());
        copy
    }

    /// The program with nothing of this machine's configuration, on the world's lake.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.in_this_world(Command::new(program()), arguments)
    }

    /// The program as another one starts it, whose own arguments are there.
    #[cfg(target_os = "linux")]
    pub(crate) fn command_under(&self, mut other: Command, arguments: &[&str]) -> Command {
        other.arg(program());
        self.in_this_world(other, arguments)
    }

    fn in_this_world(&self, mut command: Command, arguments: &[&str]) -> Command {
        isolate(&mut command, &self.path("home"), &self.lake());
        command.env("TELEMETRY_HOST_ID", "pi").args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().unwrap())
    }

    /// All rows of the lake's Silver, with the number of files that they came from.
    pub(crate) fn samples(&self) -> (Vec<HostMetricsSample>, usize) {
        let lake = Lake::new(self.lake());
        let repository = lake.host_metrics();
        let columns: Vec<&str> =
            HostMetricsSample::DATASET.columns.iter().map(|column| column.name).collect();
        let files = repository.store().files(&Selection::all()).unwrap();
        let rows = files.iter().flat_map(|file| {
            let frame = repository.store().read(file, &columns).unwrap();
            rows_from_frame::<HostMetricsSample>(&frame).unwrap()
        });
        (rows.collect(), files.len())
    }
}

pub(crate) fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.display().to_string()
}
