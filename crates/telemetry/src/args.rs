//! The command line.

use std::time::Duration;

use clap::{Parser, Subcommand};
use telemetry_app::{CommonFlags, PrintFormat};

const EXAMPLES: &str = "\
Examples:
  telemetry doctor
      What is wrong on this host, and the command that mends it.
  sudo -u telemetry telemetry doctor --lake /var/lib/telemetry
      As the user that the collector runs as, since rights are those of a user.
  telemetry doctor --format json
      One JSON object a line: check, level, text, remedy.

Exit codes: 0 nothing is wrong; 1 failed; 2 wrong usage; 3 something is wrong (a warning or a \
problem); 78 bad configuration.";

/// What a person asks about a host and its lake.
#[derive(Debug, Parser)]
#[command(name = "telemetry", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Flags of all programs.
    #[command(flatten)]
    pub common: CommonFlags,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Show what is wrong on this host, and the command that mends it; changes nothing
    Doctor(DoctorFlags),
}

/// How to show the findings.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct DoctorFlags {
    /// How to show the findings
    #[arg(long, value_enum, default_value = "table")]
    pub format: PrintFormat,
    /// How long to wait for the lake, sensors and firmware
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub deadline: Duration,
}
