//! Runs the real executable in a world of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use telemetry_repository::{Lake, Selection, rows_from_frame};
use telemetry_schema::{HostMetricsSample, Row};
use tempfile::TempDir;

/// The program under test: cargo's, or that of the same name in `XTASK_TEST_PROGRAMS`, which is built for
/// another machine.
pub(crate) fn program() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_telemetry-collect"));
    match (std::env::var_os("XTASK_TEST_PROGRAMS"), built.file_name()) {
        (Some(directory), Some(name)) => Path::new(&directory).join(name),
        _ => built,
    }
}

/// A temporary directory with a lake, a home and a configuration file.
pub(crate) struct World {
    directory: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
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
        copy_directory(&self.lake(), &copy.lake());
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
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TELEMETRY_")) {
            command.env_remove(name);
        }
        for home in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(home, self.path("home"));
        }
        command.env("TELEMETRY_LAKE", self.lake()).env("TELEMETRY_HOST_ID", "pi").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

#[cfg(target_os = "linux")]
fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.display().to_string()
}
