//! `mutate`, `kills` and `faults`: the long form of tests of which the ordinary run makes a few trials.

use std::time::Instant;

use anyhow::Result;

use crate::process;

#[derive(clap::Args)]
pub(crate) struct Mutate {
    /// Inputs of each kind
    #[arg(long, default_value_t = 10_000)]
    count: u32,
    /// Begins another series of inputs
    #[arg(long, default_value_t = 17)]
    seed: u32,
}

#[derive(clap::Args)]
pub(crate) struct Kills {
    /// Runs of the collector; of the rollup, a third as many
    #[arg(long, default_value_t = 300)]
    count: u32,
}

/// Memory is that of the process, and kills are timed.
const ONE_AT_A_TIME: &[&str] = &["--test-threads", "1"];

/// Tests of a package.
type Suite = (&'static str, &'static [&'static str]);

/// Every format that is read; the names of the tests say that they mutate something.
const MUTATIONS: [Suite; 5] = [
    ("telemetry-provider", &["--test", "mutations"]),
    ("telemetry-app", &["--test", "mutations"]),
    ("telemetry-alert-rules", &["--test", "mutations"]),
    ("telemetry-repository", &["--lib", "--test", "repository", "mutated_"]),
    ("telemetry-rollup", &["--test", "executable", "mutated_"]),
];
const PROGRAMS: [&str; 2] = ["telemetry-collect", "telemetry-rollup"];
/// In each of the two programs.
const TESTS_OF_KILLS: u32 = 4;

pub(crate) fn mutate(arguments: &Mutate) -> Result<()> {
    let (count, seed) = (arguments.count.to_string(), arguments.seed.to_string());
    for suite in MUTATIONS {
        run(suite, &[("XTASK_TEST_MUTATIONS", &count), ("XTASK_TEST_SEED", &seed)], ONE_AT_A_TIME)?;
    }
    Ok(())
}

pub(crate) fn kills(arguments: &Kills) -> Result<()> {
    for (program, count) in PROGRAMS.into_iter().zip([arguments.count, arguments.count.div_ceil(3)]) {
        let of_each_test = count.div_ceil(TESTS_OF_KILLS).to_string();
        let suite = (program, &["--test", "executable", "kills::"][..]);
        run(suite, &[("XTASK_TEST_KILLS", &of_each_test)], ONE_AT_A_TIME)?;
    }
    Ok(())
}

pub(crate) fn faults() -> Result<()> {
    for program in PROGRAMS {
        let suite = (program, &["--test", "executable", "faults::"][..]);
        // Side by side: a rollup that publishes waits a second for a collector, and a sweep has hundreds.
        run(suite, &[("XTASK_TEST_FAULTS", &u32::MAX.to_string())], &[])?;
    }
    Ok(())
}

/// Shown as it runs.
fn run((package, tests): Suite, environment: &[(&str, &str)], options: &[&str]) -> Result<()> {
    let begun = Instant::now();
    let mut command = process::cargo(&["test", "--locked", "-p", package]);
    command.args(tests).args(["--", "--nocapture"]).args(options);
    // The Parquet library panics on some of the inputs, which is contained, and said at length.
    process::run(command.envs(environment.iter().copied()).env("RUST_BACKTRACE", "0"))?;
    println!("{package}: {} s", begun.elapsed().as_secs());
    Ok(())
}
