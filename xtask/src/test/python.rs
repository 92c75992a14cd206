//! A virtual environment with the pinned packages that the tests need.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{debian, process};

/// Makes the environment, or takes the one that is there if it was made from the same requirements.
/// Returns the path of its interpreter, which can import these modules.
pub(crate) fn set_up(directory: &Path, pins: &Path, modules: &str) -> Result<PathBuf> {
    let environment = directory.join("python");
    let interpreter = environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let requirements = pins.join("requirements.txt");
    let constraints = pins.join("constraints.txt");
    let stamp = environment.join("made-from.txt");
    // The text itself rather than a hash: what differs can be seen.
    let wanted = read(&requirements)? + &read(&constraints)?;
    if std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted)
        && starts(&interpreter, modules)
    {
        return Ok(interpreter);
    }
    require_venv()?;
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut install = Command::new(&interpreter);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    install.arg("--requirement").arg(&requirements).arg("--constraint").arg(&constraints);
    process::run(&mut install)?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(interpreter)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// An environment that was moved, or whose Python was upgraded, has an interpreter that does not start.
fn starts(interpreter: &Path, modules: &str) -> bool {
    silent(Command::new(interpreter).args(["-c", &format!("import {modules}")]))
}

fn require_venv() -> Result<()> {
    let has_venv = || silent(Command::new("python3").args(["-c", "import ensurepip, venv"]));
    if !has_venv() {
        debian::install(&["python3", "python3-venv"], "real peers (DuckDB, Polars and others) need Python")?;
    }
    if !has_venv() {
        bail!("python3 on the PATH has no modules venv and ensurepip: install the package python3-venv");
    }
    Ok(())
}

fn silent(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}
