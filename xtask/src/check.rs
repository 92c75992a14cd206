//! `check`: everything that can be said of the code without running it.

use anyhow::{Result, bail};

use crate::{generate, process, tidy};

/// A name and what it runs.
type Step = (&'static str, fn() -> Result<()>);

pub(crate) fn run() -> Result<()> {
    let steps: [Step; 5] = [
        ("rustfmt", || process::run(&mut process::cargo(&["fmt", "--all", "--check"]))),
        ("tidy", tidy::run),
        ("clippy", || {
            let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
            process::run(&mut process::cargo(&arguments))
        }),
        ("rustdoc", || {
            let mut command = process::cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
            process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
        }),
        ("gen --check", generate::check),
    ];
    // All of them, so that one run shows everything that is to be mended.
    let mut failed = Vec::new();
    for (name, step) in steps {
        if let Err(error) = step() {
            eprintln!("xtask: {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("check failed: {}", failed.join(", "));
    }
    Ok(())
}
