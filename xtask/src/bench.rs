//! `bench`: what the lake costs, side by side with the engines that a user would take instead.
//!
//! Every number is a median, and every ratio one of medians of the same run: the programs take turns, so
//! that whatever else the machine does falls on all of them.

mod cases;
mod child;
mod report;
mod rivals;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process;
use report::Report;
use rivals::Rivals;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Small lakes, one run each, unoptimized programs: shows that the bench works, measures nothing
    #[arg(long)]
    quick: bool,
    /// Fail if a line does not hold
    #[arg(long)]
    assert: bool,
    /// Runs of each program
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only these; the rest of the page stays as it is
    #[arg(long, value_enum)]
    only: Vec<Case>,
    /// Measure the rest of the command line instead
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    child: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// A full rollup of 100 hosts and 10 days
    Full,
    /// A run on a lake of a year, and of a month
    Incremental,
    /// A run while 100 hosts publish each minute
    Minutes,
    /// A day of one host in minutes; compaction
    Day,
}

/// What every case needs.
pub(crate) struct Bench {
    programs: PathBuf,
    lakes: PathBuf,
    rivals: Rivals,
    runs: u32,
    is_quick: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.child.is_empty() {
        return child::measure_here(&arguments.child);
    }
    if !cfg!(target_os = "linux") {
        bail!("the bench reads /proc and traces system calls: it runs on Linux only");
    }
    let target = process::target_directory()?;
    let profile: &[&str] = if arguments.quick { &[] } else { &["--release"] };
    // Both at once: polars is built once, with one set of features.
    let packages = ["-p", "telemetry-bench", "-p", "telemetry-rollup", "--bins"];
    process::run(process::cargo(&["build", "--locked"]).args(packages).args(profile))?;
    let bench = Bench {
        programs: target.join(if arguments.quick { "debug" } else { "release" }),
        lakes: rivals::fresh_directory(&target.join("bench").join("lakes-of-xtask"))?,
        rivals: Rivals::set_up(&target.join("bench"))?,
        runs: if arguments.quick { 1 } else { arguments.runs },
        is_quick: arguments.quick,
    };
    let wants = |case: Case| arguments.only.is_empty() || arguments.only.contains(&case);
    let mut report = Report::new(&bench)?;
    if wants(Case::Full) {
        cases::full(&bench, &mut report)?;
    }
    if wants(Case::Day) {
        cases::day(&bench, &mut report)?;
    }
    if wants(Case::Incremental) {
        cases::incremental(&bench, &mut report)?;
    }
    if wants(Case::Minutes) {
        cases::minutes(&bench, &mut report)?;
    }
    println!("{report}");
    match (arguments.quick, arguments.only.is_empty()) {
        (true, _) => {}
        (false, true) => report.save()?,
        (false, false) => report.save_parts()?,
    }
    if arguments.assert { report.verdict() } else { Ok(()) }
}
