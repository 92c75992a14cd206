//! Configuration in layers: defaults, files, environment, flags; later wins, key by key.
//!
//! Every value is set into the merged table on its own and the whole is read again, so an error
//! belongs to the value that was set last, and its origin is known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use telemetry_alert_rules::RuleError;
use thiserror::Error;
use toml::{Table, Value};

use crate::alerts::{ALERT, AlertTables};
use crate::{TelemetryConfig, paths};

/// The commented default file: the documentation of every key.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// The environment variable for the correlation identifier of one run, which is no configuration.
pub const RUN_ID_VARIABLE: &str = "TELEMETRY_RUN_ID";

const ENVIRONMENT_PREFIX: &str = "TELEMETRY_";
const SECTION_SEPARATOR: &str = "__";

/// The merged configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: TelemetryConfig,
    pub(crate) alerts: AlertTables,
    origins: BTreeMap<KeyPath, Origin>,
}

/// Where a value was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Environment(String),
    /// By this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file that was named, or that exists, cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{} is not valid TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that no program reads.
    #[error("{origin}: unknown key `{key}`{}", nearest.as_ref().map_or(String::new(), |name| format!(", did you mean `{name}`?")))]
    UnknownKey {
        /// Where it was said.
        origin: Origin,
        /// The key, with its section.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A value that the key cannot have.
    #[error("{origin}: bad value for `{key}`: {problem}")]
    BadValue {
        /// Where it was said.
        origin: Origin,
        /// The key, with its section.
        key: String,
        /// What was expected.
        problem: String,
    },
    /// A table `[[alert]]` that makes no rule.
    #[error("{origin}: bad alert rule")]
    BadRule {
        /// Where it was said.
        origin: Origin,
        /// The rule, its key, and what is allowed.
        source: Box<RuleError>,
    },
}

impl ConfigError {
    /// Whether the command line is at fault rather than a file or the environment.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            ConfigError::UnknownKey { origin: Origin::Flag(_), .. }
                | ConfigError::BadValue { origin: Origin::Flag(_), .. }
        )
    }
}

/// What a program was given besides its files.
pub(crate) struct Given<'a> {
    /// `--config FILE`.
    pub(crate) file: Option<&'a Path>,
    /// The environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Flags that were given, as (flag, key, text).
    pub(crate) flags: Vec<(String, &'static str, String)>,
}

impl Loaded {
    pub(crate) fn load(given: &Given<'_>) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        for path in paths::config_files() {
            if path.exists() {
                layers.add_file(&path)?;
            }
        }
        if let Some(path) = given.file {
            layers.add_file(path)?;
        }
        for (name, text) in &given.environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX)
                && name != RUN_ID_VARIABLE
            {
                layers.add_text(KeyPath::from_environment(key), text, Origin::Environment(name.clone()))?;
            }
        }
        for (flag, key, text) in &given.flags {
            layers.add_text(KeyPath::top(key), text, Origin::Flag(flag.clone()))?;
        }
        layers.finish()
    }

    /// Where a key of the top level was said.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(&KeyPath::top(key)).cloned().unwrap_or(Origin::Default)
    }

    /// The keys that are said anywhere, each as `key = value` in TOML with its origin.
    pub fn settings(&self) -> Vec<(String, Origin)> {
        let Ok(table) = Table::try_from(&self.config) else { return Vec::new() };
        let said = self.origins.iter().filter_map(|(path, origin)| Some((path, path.get(&table)?, origin)));
        said.map(|(path, value, origin)| (format!("{path} = {value}"), origin.clone())).collect()
    }

    /// Every key with its value and origin, as TOML with comments.
    pub fn to_toml(&self) -> String {
        let Ok(table) = Table::try_from(&self.config) else { return String::new() };
        let mut lines = Vec::new();
        for path in leaves(&reference()) {
            let value = path.get(&table);
            let origin = self.origins.get(&path).unwrap_or(&Origin::Default);
            lines.push((path, value.cloned(), origin.to_string()));
        }
        render(&lines) + &self.alerts.to_toml()
    }
}

fn render(lines: &[(KeyPath, Option<Value>, String)]) -> String {
    let assignment = |path: &KeyPath, value: &Option<Value>| match value {
        Some(value) => format!("{} = {value}", path.key),
        None => format!("# {} is not set", path.key),
    };
    let width =
        lines.iter().map(|(path, value, _)| assignment(path, value).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let mut section: Option<&str> = None;
    for (path, value, origin) in lines {
        if path.section.as_deref() != section {
            section = path.section.as_deref();
            text.push_str(&format!("\n[{}]\n", section.unwrap_or_default()));
        }
        text.push_str(&format!("{:<width$}  # {origin}\n", assignment(path, value)));
    }
    text
}

/// A key, at the top level or in a section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct KeyPath {
    section: Option<String>,
    key: String,
}

impl KeyPath {
    fn top(key: &str) -> Self {
        Self { section: None, key: key.to_owned() }
    }

    /// `HOST_ID` is a key of the top level, `_LOG__LEVEL` one of a section.
    fn from_environment(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let in_section = name.strip_prefix('_').and_then(|name| name.split_once(SECTION_SEPARATOR));
        match in_section {
            Some((section, key)) => Self { section: Some(section.to_owned()), key: key.to_owned() },
            None => Self::top(&name),
        }
    }

    fn get<'t>(&self, table: &'t Table) -> Option<&'t Value> {
        match &self.section {
            None => table.get(&self.key),
            Some(section) => table.get(section)?.as_table()?.get(&self.key),
        }
    }

    fn set(&self, table: &mut Table, value: Value) {
        let table = match &self.section {
            None => table,
            Some(section) => {
                let slot = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
                match slot.as_table_mut() {
                    Some(table) => table,
                    None => return,
                }
            }
        };
        table.insert(self.key.clone(), value);
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.section {
            None => f.write_str(&self.key),
            Some(section) => write!(f, "{section}.{}", self.key),
        }
    }
}

struct Layers {
    reference: Table,
    merged: Table,
    config: TelemetryConfig,
    alerts: AlertTables,
    origins: BTreeMap<KeyPath, Origin>,
}

impl Layers {
    fn new() -> Self {
        Self {
            reference: reference(),
            merged: Table::new(),
            config: TelemetryConfig::default(),
            alerts: AlertTables::default(),
            origins: BTreeMap::new(),
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let syntax = |source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) };
        let table: Table = toml::from_str(&text).map_err(syntax)?;
        let origin = Origin::File(path.to_owned());
        for (name, value) in table {
            match value {
                value if name == ALERT => self.alerts.add(value, origin.clone())?,
                Value::Table(section) if self.reference.get(&name).is_none_or(Value::is_table) => {
                    if !self.reference.contains_key(&name) {
                        return Err(self.unknown(&KeyPath::top(&name), origin));
                    }
                    for (key, value) in section {
                        let path = KeyPath { section: Some(name.clone()), key };
                        self.set(path, value, origin.clone())?;
                    }
                }
                value => self.set(KeyPath::top(&name), value, origin.clone())?,
            }
        }
        Ok(())
    }

    /// A value given as text takes the type that the key has in the default file.
    fn add_text(&mut self, path: KeyPath, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let value = match path.get(&self.reference) {
            None => return Err(self.unknown(&path, origin)),
            Some(Value::Boolean(_)) => text.parse().map(Value::Boolean).ok(),
            Some(Value::Integer(_)) => text.parse().map(Value::Integer).ok(),
            Some(Value::Float(_)) => text.parse().map(Value::Float).ok(),
            Some(_) => None,
        };
        self.set(path, value.unwrap_or_else(|| Value::String(text.to_owned())), origin)
    }

    fn set(&mut self, path: KeyPath, value: Value, origin: Origin) -> Result<(), ConfigError> {
        if path.get(&self.reference).is_none() {
            return Err(self.unknown(&path, origin));
        }
        path.set(&mut self.merged, value.clone());
        let config = TelemetryConfig::deserialize(Value::Table(self.merged.clone()))
            .map_err(|error| plain(error.message()))
            .and_then(|config| config.check().map(|()| config));
        match config {
            Ok(config) => self.config = config,
            Err(problem) => {
                let problem = format!("{problem}, got {value}");
                return Err(ConfigError::BadValue { origin, key: path.to_string(), problem });
            }
        }
        self.origins.insert(path, origin);
        Ok(())
    }

    /// The alert rules depend on the other keys, so they are checked last.
    fn finish(self) -> Result<Loaded, ConfigError> {
        let Self { config, alerts, origins, .. } = self;
        if !alerts.is_empty() {
            alerts.rules(&config)?;
        }
        Ok(Loaded { config, alerts, origins })
    }

    fn unknown(&self, path: &KeyPath, origin: Origin) -> ConfigError {
        let key = path.to_string();
        let nearest = leaves(&self.reference)
            .into_iter()
            .map(|known| known.to_string())
            .chain([ALERT.to_owned()])
            .map(|known| (strsim::jaro_winkler(&key, &known), known))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness >= 0.8)
            .map(|(_, known)| known);
        ConfigError::UnknownKey { origin, key, nearest }
    }
}

/// The deserializer speaks of Rust's types; users do not.
fn plain(message: &str) -> String {
    message
        .replace("expected u32", "expected a whole number")
        .replace("expected u64", "expected a whole number")
}

/// The default file with the examples of keys without a default taken as values: every key that
/// exists, with a value of its type.
pub(crate) fn reference() -> Table {
    let is_example = |line: &&str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    let text: String = DEFAULT_TOML
        .lines()
        .map(|line| if is_example(&line) { &line[1..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    toml::from_str(&text).expect("a test parses the default file")
}

fn leaves(table: &Table) -> Vec<KeyPath> {
    let sections = table.iter().filter_map(|(name, value)| Some((name, value.as_table()?)));
    let top = table.iter().filter(|(_, value)| !value.is_table()).map(|(key, _)| KeyPath::top(key));
    let nested = sections.flat_map(|(section, keys)| {
        keys.keys().map(|key| KeyPath { section: Some(section.clone()), key: key.clone() })
    });
    top.chain(nested).collect()
}

#[cfg(test)]
#[path = "layers_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
