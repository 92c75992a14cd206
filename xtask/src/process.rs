//! Running other programs.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tree;

/// The cargo that started us, in the directory of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(tree::root());
    command
}

/// Shows the command, runs it, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs the command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed something that is not UTF-8"))
}

/// The command as a person would type it: without directories of this machine.
pub(crate) fn show(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    command.get_args().fold(name, |text, argument| {
        let argument = argument.to_string_lossy();
        let root = format!("{}/", tree::root().display());
        format!("{text} {}", argument.replace(&root, ""))
    })
}

/// This program, to be started once more. A build may have put another file in its place meanwhile, and
/// then its name leads nowhere; Linux has a link that leads to the running file itself.
pub(crate) fn this_program() -> Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("cannot find this program")
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .current_dir(tree::root())
        .exec()
        .context("cannot read cargo metadata")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Builds the programs. All of the workspace's, since a part of it would select other features of what
/// the crates share, and with them polars would be built a second time for the tests.
pub(crate) fn build_programs() -> Result<()> {
    run(&mut cargo(&["build", "--workspace", "--bins", "--locked"]))
}

/// Builds the programs and all tests: the very units that `cargo test` wants, so that polars is built
/// once, with one set of features.
pub(crate) fn build_everything() -> Result<()> {
    run(&mut cargo(&["build", "--workspace", "--all-targets", "--locked"]))
}
