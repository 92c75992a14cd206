//! The licences of what the programs are made of.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{process, tree};

/// What checks and what reports, in versions that were tried.
const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", features: "" };
const CARGO_ABOUT: Tool = Tool { name: "cargo-about", version: "0.9.3", features: "cli" };

const CONFIGURATION: &str = "packaging/about.toml";
const TEMPLATE: &str = "packaging/about.hbs";

struct Tool {
    name: &'static str,
    version: &'static str,
    features: &'static str,
}

impl Tool {
    /// The program, which is built below the target directory if it is not there.
    fn require(&self) -> Result<PathBuf> {
        let root = process::target_directory()?.join("tools");
        let program = root.join("bin").join(self.name);
        let version = process::output(Command::new(&program).arg("--version"));
        if !version.is_ok_and(|version| version.trim().ends_with(self.version)) {
            let wanted = format!("{}@{}", self.name, self.version);
            let mut command = process::cargo(&["install", "--locked", "--features", self.features, &wanted]);
            process::run(command.arg("--root").arg(root))?;
        }
        Ok(program)
    }
}

/// Fails on a dependency that deny.toml does not allow. The check of advisories is left out: it needs the
/// network, and its result is that of the day.
pub(super) fn check() -> Result<()> {
    let mut command = Command::new(CARGO_DENY.require()?);
    command.args(["--offline", "--locked", "check", "licenses", "bans", "sources"]);
    process::run(command.current_dir(tree::root()))
}

/// The licence texts of everything that the programs for a platform contain, each with those who use it.
pub(super) fn report(triple: &str) -> Result<String> {
    let mut command = Command::new(CARGO_ABOUT.require()?);
    command.args(["generate", "--workspace", "--locked", "--offline", "--fail", "--target", triple]);
    command.args(["--config", CONFIGURATION, TEMPLATE]);
    process::output(command.current_dir(tree::root()))
}
