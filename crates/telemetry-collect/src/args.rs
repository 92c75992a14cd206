//! The command line.

use std::time::Duration;

use clap::Parser;
use telemetry_app::{CommonFlags, PrintFormat, RUN_ID_VARIABLE, TelemetryConfig};

const EXAMPLES: &str = "\
Examples:
  telemetry-collect
      One sample into the lake.
  telemetry-collect --samples 6 --interval 10s
      The line for cron, once a minute: one at once, the others at :10, :20, ...
  telemetry-collect --watch
      As a service: samples until SIGTERM or Ctrl-C, and publishes every minute,
      or as often as publish_interval_minutes of the section collect says.
  telemetry-collect --print table
      Also shows the sample.
  telemetry-collect --publish
      Publishes what waits in the spool, without sampling.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some values could not be read or \
stored, or the clock is not set; 72 the lake's directory or file system is missing; 73 no room; \
74 the disk fails; 75 another collector of this host is at work; 77 no permission; \
78 bad configuration.";

/// Samples this host: CPU, memory, swap, disk, network, temperature, Raspberry Pi throttling. Appends
/// the samples as Parquet to LAKE/silver. What a host cannot measure is null.
#[derive(Debug, Parser)]
#[command(name = "telemetry-collect", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// Take this many samples, the first at once, the others at full multiples of the interval. Samples
    /// that fill whole minutes end 5 s before the next one, in which a scheduler begins the next run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub samples: u32,
    /// Time between samples, in whole seconds [default: sample_interval_seconds]
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds, conflicts_with = "sample_interval_seconds")]
    pub interval: Option<u32>,
    /// Sample until SIGTERM or Ctrl-C; publish every minute and at the end, if nothing else is configured
    #[arg(long, conflicts_with = "samples")]
    pub watch: bool,
    /// Publish the samples that wait in the spool, and take none
    #[arg(long, conflicts_with_all = ["samples", "interval", "watch", "print"])]
    pub publish: bool,
    /// Show the samples on standard output
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub print: Option<PrintFormat>,
    /// Write this correlation identifier on every sample
    #[arg(long, value_name = "ID", env = RUN_ID_VARIABLE)]
    pub run_id: Option<String>,
    /// Flags of all programs.
    #[command(flatten)]
    pub common: CommonFlags,
}

impl Args {
    /// The time between samples, in seconds.
    pub(crate) fn interval_seconds(&self, config: &TelemetryConfig) -> u32 {
        self.interval.unwrap_or(config.sample_interval_seconds)
    }
}

fn whole_seconds(text: &str) -> Result<u32, String> {
    let expected = "expected whole seconds from 1s to 1day, as in `10s` or `1m`";
    let duration: Duration =
        humantime::parse_duration(text).map_err(|error| format!("{error}; {expected}"))?;
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    if duration.subsec_nanos() == 0 && (1..=86_400).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(expected.to_owned())
    }
}
