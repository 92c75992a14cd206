//! The command line.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    bench, check, ci, compare, cost, cross, demo, device_writes, dist, endurance, generate, test, tidy,
    trials,
};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Sample this machine, roll up, and show the result and the query to go on with
    Demo(demo::Arguments),
    /// Set up what the tests need and run all of them
    Test(test::Arguments),
    /// Compare a sample with what sar, free, df and the kernel say (Linux; installs sysstat as root)
    Compare(compare::Arguments),
    /// Measure rollups beside DuckDB, ClickHouse, DataFusion and Polars; writes docs/performance.md (Linux)
    Bench(bench::Arguments),
    /// Measure what a run of the collector and a sample cost (Linux)
    Cost(cost::Arguments),
    /// Measure what reaches the disk, in an hour; writes docs/performance.md (Linux, as root)
    DeviceWrites(device_writes::Arguments),
    /// Let collectors run for long, and fail if their memory or descriptors grow (Linux)
    Endurance(endurance::Arguments),
    /// Read many inputs of every format that are nearly right; `test` reads some
    Mutate(trials::Mutate),
    /// Kill many runs of the programs, most of them while they publish; `test` kills some (Linux)
    Kills(trials::Kills),
    /// Let every file-system call of every verb fail once; `test` takes some of the calls (Linux)
    Faults,
    /// Pack the programs: archives, Debian packages, licences and checksums (Linux)
    Dist(dist::Arguments),
    /// Build the programs for aarch64 Linux and for Windows, and run what can be run of them here (Linux)
    Cross(cross::Arguments),
    /// Everything that guards the main branch: `check`, then `test`
    Ci,
    /// rustfmt, clippy, rustdoc, `gen --check` and `tidy`, with warnings denied
    Check,
    /// Write the generated pages of docs/
    Gen(generate::Arguments),
    /// Check the rules of docs/style.md that compilers do not know
    Tidy,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<()> {
        match self.verb {
            Verb::Demo(arguments) => demo::run(&arguments),
            Verb::Test(arguments) => test::run(&arguments),
            Verb::Compare(arguments) => compare::run(&arguments),
            Verb::Bench(arguments) => bench::run(&arguments),
            Verb::Cost(arguments) => cost::run(&arguments),
            Verb::DeviceWrites(arguments) => device_writes::run(&arguments),
            Verb::Endurance(arguments) => endurance::run(&arguments),
            Verb::Mutate(arguments) => trials::mutate(&arguments),
            Verb::Kills(arguments) => trials::kills(&arguments),
            Verb::Faults => trials::faults(),
            Verb::Dist(arguments) => dist::run(&arguments),
            Verb::Cross(arguments) => cross::run(&arguments),
            Verb::Ci => ci::run(),
            Verb::Check => check::run(),
            Verb::Gen(arguments) => generate::run(&arguments),
            Verb::Tidy => tidy::run(),
        }
    }
}
