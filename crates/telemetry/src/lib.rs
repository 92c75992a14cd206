//! `telemetry`: the operator's program.

mod args;
mod doctor;

use std::process::ExitCode;

use chrono::Utc;
use clap::CommandFactory;
use telemetry_app::{Exit, Loaded, main_with};

pub use args::{Args, DoctorFlags, Verb};

/// The program.
pub fn main() -> ExitCode {
    main_with(|args: &Args| &args.common, run)
}

/// The command line, for documentation and completions.
pub fn command() -> clap::Command {
    Args::command()
}

fn run(args: Args, loaded: Loaded) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Doctor(flags) => doctor::run(&flags, &args.common, &loaded, Utc::now()),
    }
}
