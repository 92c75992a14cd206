//! What the programs share: flags, configuration layers, logging, exit codes, tables. For binaries
//! only; libraries take plain values.

mod config;
mod exit;
mod flags;
mod layers;
mod log;
mod paths;
mod rows;

pub use config::{LogConfig, LogLevel, TelemetryConfig};
pub use exit::{Exit, main_with};
pub use flags::{CommonFlags, PrintFormat};
pub use layers::{ConfigError, DEFAULT_TOML, Loaded, Origin};
pub use rows::print_rows;
