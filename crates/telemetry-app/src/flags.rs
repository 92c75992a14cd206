//! The flags that every program has.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::layers::{ConfigError, Given, Loaded};

/// Flags for the configuration. Values are checked with the configuration, so they are texts here.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration (the same keys as in the file and the environment)")]
pub struct CommonFlags {
    /// Read this configuration file, after those of the system and the user
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Show the merged configuration with the origin of each value, and do nothing else
    #[arg(long, global = true)]
    pub print_config: bool,
    /// The directory that holds silver/ and gold/
    #[arg(long, value_name = "DIR", global = true)]
    pub lake: Option<String>,
    /// Whether anything is sampled, built and evaluated
    #[arg(long, value_name = "true|false", global = true)]
    pub enabled: Option<String>,
    /// Identifier of this host in all data [default: the host name]
    #[arg(long, value_name = "ID", global = true)]
    pub host_id: Option<String>,
    /// Seconds between two samples
    #[arg(long, value_name = "SECONDS", global = true)]
    pub sample_interval_seconds: Option<String>,
    /// Minutes of a rollup bucket; must divide a day
    #[arg(long, value_name = "MINUTES", global = true)]
    pub rollup_interval_minutes: Option<String>,
    /// Whether to measure the collector's own memory and CPU
    #[arg(long, value_name = "true|false", global = true)]
    pub include_process_metrics: Option<String>,
    /// A path on the file system whose space is measured
    #[arg(long, value_name = "PATH", global = true)]
    pub disk_mount: Option<String>,
    /// Count the traffic of this interface only
    #[arg(long, value_name = "NAME", global = true)]
    pub network_interface: Option<String>,
    /// Write more to standard error; twice for still more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrintFormat {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
}

impl CommonFlags {
    /// The configuration with these flags on top.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Loaded::load(&Given {
            file: self.config.as_deref(),
            environment: environment.collect(),
            flags: self.given(),
        })
    }

    fn given(&self) -> Vec<(String, &'static str, String)> {
        let flags = [
            ("lake", &self.lake),
            ("enabled", &self.enabled),
            ("host_id", &self.host_id),
            ("sample_interval_seconds", &self.sample_interval_seconds),
            ("rollup_interval_minutes", &self.rollup_interval_minutes),
            ("include_process_metrics", &self.include_process_metrics),
            ("disk_mount", &self.disk_mount),
            ("network_interface", &self.network_interface),
        ];
        flags
            .into_iter()
            .filter_map(|(key, text)| Some((format!("--{}", key.replace('_', "-")), key, text.clone()?)))
            .collect()
    }
}
