//! The project's own chores: `cargo xtask --help` lists them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who started it")]

mod bench;
mod check;
mod ci;
mod compare;
mod cost;
mod cross;
mod debian;
mod demo;
mod device_writes;
mod dist;
mod endurance;
mod generate;
mod performance;
mod process;
mod test;
mod tidy;
mod tree;
mod trials;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

/// The program.
pub fn main() -> ExitCode {
    match verbs::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
