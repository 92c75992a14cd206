//! Programs for aarch64, run by qemu's emulation of its instructions: the system calls are this
//! machine's.

use std::process::Command;

use anyhow::{Result, bail};

use super::{Build, PROGRAMS};
use crate::test::{Setup, Suites};
use crate::{debian, process};

/// Where qemu finds the C library.
const LIBRARIES: (&str, &str) = ("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu");
/// Of the tests with real peers, those of one lake from the collector to DuckDB.
const LAKE: &str = "xtask/real-parts/test_lake.py";

/// Tests that look at or change the system calls of a program, which would be those of qemu, and tests that
/// count on the speed of a processor.
const NOT_RUN: [&str; 6] = [
    "clocks::",
    "faults::",
    "kills::",
    "race::",
    "can_be_killed_at_any_moment",
    "a_run_measures_the_processor",
];

/// This machine's integration tests with the programs for aarch64, and the lake that these make as DuckDB
/// reads it.
pub(super) fn test(build: &Build, setup: &Setup, suites: &mut Suites) -> Result<()> {
    require(build)?;
    let mut tests = process::cargo(&["test", "--locked", "--no-fail-fast", "--test", "executable"]);
    tests.args(PROGRAMS.iter().flat_map(|program| ["-p", program])).arg("--");
    tests.args(NOT_RUN.iter().flat_map(|tests| ["--skip", tests]));
    tests.env("XTASK_TEST_PROGRAMS", build.directory()?).env(LIBRARIES.0, LIBRARIES.1);
    suites.cargo(setup.environment(&mut tests))?;
    suites.pytest(setup.pytest(&[LAKE]).env(LIBRARIES.0, LIBRARIES.1))?;
    println!("Not run under qemu: {}, which are about system calls or about time.", NOT_RUN.join(", "));
    Ok(())
}

/// The tests start the programs by their names, so the kernel has to know what runs them.
fn require(build: &Build) -> Result<()> {
    let program = build.directory()?.join(PROGRAMS[0]);
    let runs = || {
        let mut command = Command::new(&program);
        process::output(command.arg("--version").env(LIBRARIES.0, LIBRARIES.1)).is_ok()
    };
    if runs() {
        return Ok(());
    }
    debian::install(&["qemu-user-binfmt", "binfmt-support"], "programs for aarch64 are run by qemu")?;
    process::run(Command::new("update-binfmts").args(["--enable", "qemu-aarch64"]))?;
    if !runs() {
        bail!("the kernel does not run programs for aarch64 by qemu: is /proc/sys/fs/binfmt_misc mounted?");
    }
    Ok(())
}
