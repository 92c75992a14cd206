//! `test`: sets up what the tests need and runs all of them.

pub(crate) mod python;
mod tally;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{debian, generate, process, tree};
use tally::Tally;

/// Tests that use real peers (DuckDB, Polars, Prefect), relative to the root.
const REAL_PARTS: &str = "xtask/real-parts";

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Run only these
    #[arg(long)]
    only: Option<Suite>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// `cargo test`
    Rust,
    /// The tests with DuckDB, Polars and Prefect
    RealParts,
    /// `bench --quick`, so that the bench keeps working
    Bench,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let setup = Setup::new(process::target_directory()?.join("debug"))?;
    process::build_everything()?;
    let mut suites = Suites::default();
    let wants = |suite: Suite| arguments.only.is_none_or(|only| only == suite);
    if wants(Suite::Rust) {
        let mut command = process::cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
        suites.cargo(setup.environment(&mut command))?;
    }
    if wants(Suite::RealParts) {
        suites.pytest(&mut setup.pytest(&[REAL_PARTS]))?;
    }
    if wants(Suite::Bench) {
        // A process of its own, as its children are measured by the resource usage of all children.
        let this = process::this_program()?;
        process::run(Command::new(this).args(["bench", "--quick"]))?;
    }
    suites.verdict()
}

/// Suites of tests, counted together.
#[derive(Default)]
pub(crate) struct Suites {
    tally: Tally,
}

impl Suites {
    /// Runs `cargo test`.
    pub(crate) fn cargo(&mut self, command: &mut Command) -> Result<()> {
        self.tally += run_suite(command, Tally::of_cargo)?;
        Ok(())
    }

    /// Runs pytest.
    pub(crate) fn pytest(&mut self, command: &mut Command) -> Result<()> {
        self.tally += run_suite(command, Tally::of_pytest)?;
        Ok(())
    }

    /// Shows the sum; an error unless all tests ran and passed.
    pub(crate) fn verdict(&self) -> Result<()> {
        println!("{}", self.tally);
        self.tally.verdict()
    }
}

/// What the tests find in their environment.
pub(crate) struct Setup {
    python: PathBuf,
    programs: PathBuf,
    contract: PathBuf,
}

impl Setup {
    /// Installs what is missing; the programs under test are in this directory.
    pub(crate) fn new(programs: PathBuf) -> Result<Self> {
        if cfg!(target_os = "linux") {
            debian::require("strace", "runs are killed at each of their calls")?;
            debian::require("faketime", "an alert takes longer than a test may wait")?;
            debian::require("prometheus-alertmanager", "alerts are handed on to it")?;
            debian::require("curl", "alerts are handed on by it")?;
        }
        let target = process::target_directory()?;
        let directory = target.join("test-setup");
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let contract = directory.join("contract.json");
        std::fs::write(&contract, generate::contract().to_string())
            .with_context(|| format!("cannot write {}", contract.display()))?;
        let python =
            python::set_up(&directory, &tree::root().join(REAL_PARTS), "duckdb, polars, prefect, pytest")?;
        Ok(Self { python, programs, contract })
    }

    /// pytest with the tests of these files or directories, which are relative to the root.
    pub(crate) fn pytest(&self, tests: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        // No cache directory and no bytecode: a test run leaves nothing in the tree.
        command.args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]).args(tests);
        self.environment(command.current_dir(tree::root()));
        command
    }

    pub(crate) fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("XTASK_TEST_PYTHON", &self.python)
            .env("XTASK_TEST_BIN_DIR", &self.programs)
            .env("XTASK_TEST_CONTRACT", &self.contract)
    }
}

/// Runs a suite, shows its output as it comes, and counts.
fn run_suite(command: &mut Command, count: fn(&str) -> Option<Tally>) -> Result<Tally> {
    let shown = process::show(command);
    eprintln!("$ {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let Some(output) = child.stdout.take() else { bail!("`{shown}` has no standard output") };
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("cannot read the output of `{shown}`"))?;
        let line = String::from_utf8_lossy(&line);
        writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")?;
        tally += count(&line).unwrap_or_default();
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{shown}`"))?;
    Ok(tally.with_status(status.success()))
}
