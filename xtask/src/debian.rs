//! Installing Debian packages that a chore needs.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Installs a program from the package of the same name, unless it is there.
pub(crate) fn require(program: &str, reason: &str) -> Result<()> {
    if process::output(Command::new(program).arg("--version")).is_ok() {
        return Ok(());
    }
    install(&[program], reason)
}

/// Installs a package, unless it is there.
pub(crate) fn require_package(package: &str, reason: &str) -> Result<()> {
    let status = ["--show", "--showformat=${db:Status-Status}", package];
    if process::output(Command::new("dpkg-query").args(status)).is_ok_and(|status| status == "installed") {
        return Ok(());
    }
    install(&[package], reason)
}

/// Installs the packages if that can be done without asking: as root, where there is apt-get.
/// Otherwise the error names the command to type.
pub(crate) fn install(packages: &[&str], reason: &str) -> Result<()> {
    let command = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    let is_root = process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !is_root || process::output(Command::new("apt-get").arg("--version")).is_err() {
        bail!("{reason}; on Debian, install it with: sudo {command}");
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet").args(arguments);
        process::run(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Where this machine gets Debian's packages from.
pub(crate) fn archive() -> Result<String> {
    let mut command = Command::new("apt-get");
    let targets = process::output(command.args(["indextargets", "--format", "$(LABEL) $(REPO_URI)"]))?;
    let archive = targets.lines().find_map(|line| line.strip_prefix("Debian "));
    archive.map(str::to_owned).context("apt has no archive of Debian: is this another distribution?")
}
