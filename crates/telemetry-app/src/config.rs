//! The configuration that all programs read.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use telemetry_provider::{ProviderConfig, ProviderSection, RaspberryPiSection};
use telemetry_rollup_engine::RollupConfig;
use telemetry_schema::HostId;

use crate::collect::CollectSection;
use crate::paths;
use crate::retention::{CompactSection, RetentionSection};

/// A sample a second is the finest schedule, one a day the coarsest.
const SAMPLE_INTERVAL_SECONDS: RangeInclusive<u32> = 1..=86_400;

/// The user's keys at the top level, everything else in sections that their crates own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Whether anything is sampled, built and evaluated.
    pub enabled: bool,
    /// Identifier of this host; the host name if absent.
    pub host_id: Option<String>,
    /// Seconds between two samples.
    pub sample_interval_seconds: u32,
    /// Minutes of a rollup bucket.
    pub rollup_interval_minutes: u32,
    /// Whether to measure the calling process.
    pub include_process_metrics: bool,
    /// A path on the file system whose space is measured.
    pub disk_mount: PathBuf,
    /// The one interface to count; all physical ones if absent.
    pub network_interface: Option<String>,
    /// The directory that holds `silver/` and `gold/`.
    pub lake: PathBuf,
    /// Logging.
    pub log: LogConfig,
    /// When samples are published.
    pub collect: CollectSection,
    /// When files are merged.
    pub compact: CompactSection,
    /// How long dates are kept.
    pub retention: RetentionSection,
    /// All providers.
    pub provider: ProviderSection,
    /// The Raspberry Pi provider.
    pub raspberry_pi: RaspberryPiSection,
}

/// The section `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The least urgent messages that are written.
    pub level: LogLevel,
}

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Data was lost or somebody must act.
    Error,
    /// Unexpected, nothing lost.
    Warn,
    /// What the program did.
    Info,
    /// Why it did so.
    Debug,
    /// Everything.
    Trace,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            host_id: None,
            sample_interval_seconds: 10,
            rollup_interval_minutes: 5,
            include_process_metrics: false,
            disk_mount: PathBuf::from(if cfg!(windows) { r"C:\" } else { "/" }),
            network_interface: None,
            lake: paths::default_lake(),
            log: LogConfig::default(),
            collect: CollectSection::default(),
            compact: CompactSection::default(),
            retention: RetentionSection::default(),
            provider: ProviderSection::default(),
            raspberry_pi: RaspberryPiSection::default(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LogLevel::Warn }
    }
}

impl TelemetryConfig {
    /// What a user may not say although the types allow it; the text says what is allowed.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(host_id) = &self.host_id {
            HostId::parse(host_id).map_err(|error| error.to_string())?;
        }
        if self.network_interface.as_deref().is_some_and(|name| name.trim().is_empty()) {
            return Err("expected the name of an interface (leave the key out for all physical ones)".into());
        }
        for (path, what) in
            [(&self.disk_mount, "a path on the file system to measure"), (&self.lake, "a directory")]
        {
            if path.as_os_str().is_empty() {
                return Err(format!("expected {what}, got nothing"));
            }
        }
        if !SAMPLE_INTERVAL_SECONDS.contains(&self.sample_interval_seconds) {
            return Err(format!(
                "expected seconds from {} to {}",
                SAMPLE_INTERVAL_SECONDS.start(),
                SAMPLE_INTERVAL_SECONDS.end()
            ));
        }
        self.rollup().map(|_| ()).map_err(|error| error.to_string())
    }

    /// The part of the configuration that the providers read.
    pub fn providers(&self) -> ProviderConfig {
        ProviderConfig { provider: self.provider.clone(), raspberry_pi: self.raspberry_pi.clone() }
    }

    /// The part of the configuration that enters the rollup's formulas.
    pub fn rollup(&self) -> Result<RollupConfig, telemetry_rollup_engine::ConfigError> {
        RollupConfig::new(self.rollup_interval_minutes, self.sample_interval_seconds)
    }
}
