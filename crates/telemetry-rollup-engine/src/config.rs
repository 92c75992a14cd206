//! The configuration values that enter the formulas.

use serde::{Deserialize, Serialize};
use telemetry_schema::MICROS_PER_SECOND;
use thiserror::Error;

/// Raised when a formula changes, so that Gold is rebuilt.
pub const FORMULA_VERSION: u32 = 1;

/// How long after its end a bucket becomes final: late samples of ordinary age are in by then.
pub const GRACE_US: i64 = 600 * MICROS_PER_SECOND;

const MINUTES_PER_DAY: u32 = 1_440;
const SHORTEST_MAX_GAP_US: i64 = 300 * MICROS_PER_SECOND;
const SHORTEST_REACH_US: i64 = 3_600 * MICROS_PER_SECOND;

/// What a rollup depends on besides the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupConfig {
    interval_minutes: u32,
    sample_interval_seconds: u32,
}

impl Default for RollupConfig {
    fn default() -> Self {
        Self { interval_minutes: 5, sample_interval_seconds: 10 }
    }
}

impl RollupConfig {
    /// Buckets of `interval_minutes`, which must divide a day; `sample_interval_seconds` (at least
    /// 1) stands in for samples that do not say their own.
    pub fn new(interval_minutes: u32, sample_interval_seconds: u32) -> Result<Self, ConfigError> {
        if interval_minutes == 0 || !MINUTES_PER_DAY.is_multiple_of(interval_minutes) {
            return Err(ConfigError::IntervalMinutes(interval_minutes));
        }
        if sample_interval_seconds == 0 {
            return Err(ConfigError::SampleInterval);
        }
        Ok(Self { interval_minutes, sample_interval_seconds })
    }

    /// Width of a bucket in minutes.
    pub fn interval_minutes(&self) -> u32 {
        self.interval_minutes
    }

    /// The schedule of samples that do not say their own, in seconds.
    pub fn sample_interval_seconds(&self) -> u32 {
        self.sample_interval_seconds
    }

    /// Width of a bucket in microseconds.
    pub fn bucket_us(&self) -> i64 {
        i64::from(self.interval_minutes) * 60 * MICROS_PER_SECOND
    }

    /// How far beyond a range samples can matter to it: no span of a counter is longer.
    pub fn reach_us(&self) -> i64 {
        SHORTEST_REACH_US.max(self.bucket_us()).max(2 * self.sample_interval_us(None))
    }

    /// The longest span over which a counter's growth is believed, where no schedule says more.
    pub fn shortest_max_gap_us(&self) -> i64 {
        SHORTEST_MAX_GAP_US.max(self.bucket_us())
    }

    /// The longest span over which a counter's growth is believed, for a sample with that schedule.
    pub(crate) fn max_gap_us(&self, sample_interval_seconds: Option<i64>) -> i64 {
        self.shortest_max_gap_us()
            .max(self.sample_interval_us(sample_interval_seconds).saturating_mul(2))
            .min(self.reach_us())
    }

    fn sample_interval_us(&self, seconds: Option<i64>) -> i64 {
        seconds.unwrap_or_else(|| self.sample_interval_seconds.into()).saturating_mul(MICROS_PER_SECOND)
    }
}

/// A value that no rollup can be computed with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The bucket's width.
    #[error("a rollup interval of {0} minutes does not divide a day")]
    IntervalMinutes(u32),
    /// The sampling schedule.
    #[error("a sample interval must be at least 1 second")]
    SampleInterval,
}
