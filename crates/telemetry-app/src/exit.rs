//! How a program ends.

use std::process::ExitCode;

use clap::Parser;
use telemetry_repository::RepositoryError;

use crate::{CommonFlags, ConfigError, Loaded, log, print_text, remedy};

/// The exit codes of all programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong (clap's own code for it).
    Usage = 2,
    /// Done, but part of it is missing; standard error names it.
    Incomplete = 3,
    /// Done, and something is as the caller asked to be told by the exit code.
    Alert = 4,
    /// The file system or directory that should hold the lake is not there, or is no directory.
    MissingLake = 72,
    /// There is no room, for bytes or for files.
    NoRoom = 73,
    /// The disk fails: the file system is read-only, or says that it cannot read or write.
    DiskFault = 74,
    /// Another run is busy; try again later.
    TryAgain = 75,
    /// This user lacks a right.
    NoPermission = 77,
    /// The configuration is wrong.
    Configuration = 78,
}

impl Exit {
    /// This one; the other if this is only [`Exit::Done`].
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Done { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Runs a program: parses the command line, loads the configuration, starts the log, and prints an
/// error once, with everything that led to it.
pub fn main_with<P: Parser>(
    common: impl Fn(&P) -> &CommonFlags,
    run: impl FnOnce(P, Loaded) -> anyhow::Result<Exit>,
) -> ExitCode {
    let program = P::parse();
    let flags = common(&program).clone();
    let mut lake = None;
    let outcome = flags.load().map_err(anyhow::Error::from).and_then(|loaded| {
        lake = Some(loaded.config.lake.clone());
        log::start(loaded.config.log.level, flags.verbose);
        if flags.print_config {
            print_text(&loaded.to_toml())?;
            return Ok(Exit::Done);
        }
        run(program, loaded)
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            let help = lake.and_then(|lake| remedy(error.downcast_ref()?, &lake));
            report(P::command().get_name(), &error, help.as_deref());
            code(&error).into()
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where an error reaches the user")]
fn report(program: &str, error: &anyhow::Error, help: Option<&str>) {
    match error.downcast_ref::<clap::Error>() {
        Some(usage) => eprint!("{}", usage.render()),
        None => eprintln!("{program}: error: {error:#}"),
    }
    if let Some(help) = help {
        eprintln!("{program}: help: {help}");
    }
}

fn code(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return if error.is_usage() { Exit::Usage } else { Exit::Configuration };
    }
    if error.is::<clap::Error>() {
        return Exit::Usage;
    }
    error.downcast_ref().map_or(Exit::Failed, code_of_lake)
}

fn code_of_lake(error: &RepositoryError) -> Exit {
    match error {
        RepositoryError::Locked { .. } => Exit::TryAgain,
        RepositoryError::MissingParent { .. }
        | RepositoryError::NotMounted { .. }
        | RepositoryError::NotADirectory { .. } => Exit::MissingLake,
        RepositoryError::NoSpace { .. } | RepositoryError::NoInode { .. } => Exit::NoRoom,
        RepositoryError::ReadOnly { .. } => Exit::DiskFault,
        RepositoryError::Io { source, .. } if is_disk_fault(source) => Exit::DiskFault,
        RepositoryError::Permission { .. } => Exit::NoPermission,
        _ => Exit::Failed,
    }
}

#[cfg(unix)]
fn is_disk_fault(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(not(unix))]
fn is_disk_fault(_error: &std::io::Error) -> bool {
    false
}

/// A reader that has seen enough (`| head`) is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn each_fault_of_the_lake_has_its_code() {
        let path = std::path::PathBuf::from("/lake");
        let io = |source: io::Error| RepositoryError::Io { action: "sync", path: path.clone(), source };
        let cases = [
            (RepositoryError::MissingParent { path: path.clone() }, Exit::MissingLake),
            (RepositoryError::NotMounted { path: path.clone() }, Exit::MissingLake),
            (RepositoryError::NoSpace { path: path.clone() }, Exit::NoRoom),
            (RepositoryError::NoInode { path: path.clone() }, Exit::NoRoom),
            (RepositoryError::ReadOnly { path: path.clone() }, Exit::DiskFault),
            (RepositoryError::Permission { path: path.clone() }, Exit::NoPermission),
            (RepositoryError::Locked { what: "the rollup".into(), holder: None }, Exit::TryAgain),
            (RepositoryError::NotADirectory { path: path.clone() }, Exit::MissingLake),
            (io(io::ErrorKind::TimedOut.into()), Exit::Failed),
            #[cfg(unix)]
            (io(rustix::io::Errno::IO.into()), Exit::DiskFault),
        ];
        for (error, exit) in cases {
            let words = error.to_string();
            let error = Err::<(), _>(error).context("cannot use the lake").context("while building");
            assert_eq!(error.map_err(|error| code(&error)), Err(exit), "{words}");
        }
    }
}
