//! `telemetry-bench`: lakes of seeded samples, steady or faulty, for benchmarks and tests.
//!
//! The distributions are TSBS-like: those of the devops case of the Time Series Benchmark Suite, in the
//! columns of this project. The faults are what the rollup has to get right, far more often than any
//! real fleet has them.

mod args;
mod decode;
mod faults;
mod fleet;
mod lake;
mod machine;
mod random;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use telemetry_repository::Lake;

pub use faults::Fault;
pub use fleet::{Fleet, FleetOptions, HostDay, Profile};
pub use lake::{Layout, Written, write};

/// The program.
pub fn main() -> ExitCode {
    let outcome = match args::Args::parse().verb {
        args::Verb::Generate(arguments) => generate(&arguments),
        args::Verb::Decode(arguments) => decode(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if standard error is closed.
            let _ = writeln!(std::io::stderr(), "telemetry-bench: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn generate(arguments: &args::Generate) -> anyhow::Result<()> {
    let started = Instant::now();
    if let Some(parent) = arguments.lake.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let written = write(&Lake::new(&arguments.lake), arguments.fleet(), arguments.layout)?;
    let (Written { files, rows }, seconds) = (written, started.elapsed().as_secs_f64());
    writeln!(std::io::stdout(), "{rows} samples in {files} files, {seconds:.1} s")?;
    Ok(())
}

fn decode(arguments: &args::Decode) -> anyhow::Result<()> {
    let started = Instant::now();
    let rows = decode::decode(&Lake::new(&arguments.lake), arguments.threads)?;
    writeln!(std::io::stdout(), "{rows} samples, {:.3} s", started.elapsed().as_secs_f64())?;
    Ok(())
}
