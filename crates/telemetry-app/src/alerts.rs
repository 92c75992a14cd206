//! The `[[alert]]` tables: the rules of each file over those of the files before it.

use telemetry_alert_rules::{RuleSet, Settings};
use toml::{Table, Value};

use crate::TelemetryConfig;
use crate::layers::{ConfigError, Loaded, Origin};

/// The name of the tables.
pub(crate) const ALERT: &str = "alert";

/// The tables as the files say them, the later file last.
#[derive(Debug, Clone, Default)]
pub(crate) struct AlertTables(Vec<(Origin, Vec<Table>)>);

impl AlertTables {
    pub(crate) fn add(&mut self, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let got = value.type_str();
        match value.try_into::<Vec<Table>>() {
            Ok(tables) => {
                self.0.push((origin, tables));
                Ok(())
            }
            Err(_) => Err(ConfigError::BadValue {
                origin,
                key: ALERT.to_owned(),
                problem: format!("expected tables with two brackets, `[[alert]]`, got {got}"),
            }),
        }
    }

    /// Whether no file says anything of alerts.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The built-in rules with those of the files. An error belongs to the first file with which there
    /// is one.
    pub(crate) fn rules(&self, config: &TelemetryConfig) -> Result<RuleSet, ConfigError> {
        let settings = Settings::new(config.rollup_interval_minutes, config.sample_interval_seconds);
        let mut files = Vec::new();
        for (origin, tables) in &self.0 {
            files.push(tables.clone());
            RuleSet::read(&files, settings).map_err(|source| ConfigError::BadRule {
                origin: origin.clone(),
                source: Box::new(source),
            })?;
        }
        RuleSet::read(&files, settings)
            .map_err(|source| ConfigError::BadRule { origin: Origin::Default, source: Box::new(source) })
    }

    /// The tables as TOML, each with its origin.
    pub(crate) fn to_toml(&self) -> String {
        let tables =
            self.0.iter().flat_map(|(origin, tables)| tables.iter().map(move |table| (origin, table)));
        tables.map(|(origin, table)| format!("\n[[{ALERT}]]  # {origin}\n{table}")).collect()
    }
}

impl Loaded {
    /// The alert rules: the built-in ones, and over them the `[[alert]]` tables of the files.
    ///
    /// # Errors
    /// [`ConfigError::BadRule`]; not for a configuration that was loaded, since that has checked them.
    pub fn alert_rules(&self) -> Result<RuleSet, ConfigError> {
        self.alerts.rules(&self.config)
    }
}
