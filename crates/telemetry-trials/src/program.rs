//! A program under test, with nothing of this machine's configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, -1 if there is none.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// How it ended.
///
/// # Panics
/// If the output is not UTF-8.
pub fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The program under test: that which cargo has built, or that of the same name in `XTASK_TEST_PROGRAMS`,
/// which is built for another machine.
pub fn under_test(built: &str) -> PathBuf {
    let built = PathBuf::from(built);
    match (std::env::var_os("XTASK_TEST_PROGRAMS"), built.file_name()) {
        (Some(directory), Some(name)) => Path::new(&directory).join(name),
        _ => built,
    }
}

/// Gives a command a home of its own and this lake, and takes the settings of this machine away. It reads
/// nothing, and what it says is caught.
pub fn isolate(command: &mut Command, home: &Path, lake: &Path) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TELEMETRY_")) {
        command.env_remove(name);
    }
    for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA"] {
        command.env(variable, home);
    }
    command.env("ProgramData", home.join("ProgramData"));
    command.env("TELEMETRY_LAKE", lake);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// Copies a directory of files and directories to a place that is free.
///
/// # Panics
/// If something cannot be read or written.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the place is free");
    for entry in fs::read_dir(from).expect("the directory is there").map(|entry| entry.expect("an entry")) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("the file is copied");
        }
    }
}
