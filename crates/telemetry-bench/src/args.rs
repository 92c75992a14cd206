//! The command line.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Parser, Subcommand};

use crate::fleet::{FleetOptions, Profile};
use crate::lake::Layout;

/// Makes samples for benchmarks and tests.
#[derive(Debug, Parser)]
#[command(name = "telemetry-bench", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Append seeded samples to a lake; the same flags make the same samples on every machine
    Generate(Generate),
    /// Read the columns that the rollup needs, and do nothing with them
    Decode(Decode),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// The lake's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) lake: PathBuf,
    /// Number of hosts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    hosts: u32,
    /// Number of UTC dates
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,
    /// First UTC date, as 2026-11-21
    #[arg(long, value_name = "DATE")]
    from: NaiveDate,
    /// Leave out samples later than this, as 2026-11-21T12:00:00Z
    #[arg(long, value_name = "INSTANT")]
    until: Option<DateTime<Utc>>,
    /// Leave out samples up to this instant
    #[arg(long, value_name = "INSTANT")]
    after: Option<DateTime<Utc>>,
    /// Time between samples, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    interval: u32,
    /// Seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What happens to the hosts
    #[arg(long, value_enum, default_value_t = Profile::Steady)]
    profile: Profile,
    /// Into which files the samples go
    #[arg(long, value_enum, default_value_t = Layout::Day)]
    pub(crate) layout: Layout,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Decode {
    /// The lake's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) lake: PathBuf,
    /// Number of threads, each reading a file at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
}

impl Generate {
    pub(crate) fn fleet(&self) -> FleetOptions {
        FleetOptions {
            hosts: self.hosts,
            from: self.from,
            days: self.days,
            until: self.until,
            after: self.after,
            interval_seconds: self.interval,
            seed: self.seed,
            profile: self.profile,
        }
    }
}
