//! Installing Debian packages that a chore needs.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

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
