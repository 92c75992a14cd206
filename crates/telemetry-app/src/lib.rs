//! What the programs share: flags, configuration layers, logging, exit codes, tables. For binaries
//! only; libraries take plain values.

mod alerts;
mod collect;
mod config;
mod exit;
mod flags;
mod lake;
mod layers;
mod log;
mod output;
mod paths;
mod remedy;
mod retention;
mod windows_remedy;

pub use collect::{CollectSection, Durability};
pub use config::{LogConfig, LogLevel, TelemetryConfig};
pub use exit::{Exit, main_with};
pub use flags::{CommonFlags, PrintFormat};
pub use lake::{holder, missing_mount, with_lake_hint};
pub use layers::{ConfigError, DEFAULT_TOML, Loaded, Origin, RUN_ID_VARIABLE};
pub use output::{new_table, print_json, print_rows, print_text};
pub use remedy::{SYSTEM_LOG, quoted, remedy};
pub use retention::{CompactSection, Days, RetentionSection};
pub use windows_remedy::{grant_rights, windows_remedy};
