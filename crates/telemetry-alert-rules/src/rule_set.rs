//! All rules: the built-in ones with what the configuration changes of them, and its own.

use std::collections::BTreeSet;

use telemetry_schema::MICROS_PER_SECOND;
use toml::{Table, Value};

use crate::error::RuleError;
use crate::keys::Keys;
use crate::kind::{Columns, LEAST_POINTS};
use crate::rule::{ID, Rule, is_id};
use crate::span::Span;

/// The built-in rules, as a configuration would spell them.
pub const BUILT_IN: &str = include_str!("built_in.toml");

/// A host is silent after so many intervals of its schedule at least.
const SILENT_INTERVALS: i64 = 3;

/// What the rules depend on besides themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Width of a bucket, microseconds.
    pub bucket_us: i64,
    /// The schedule of the samples, microseconds.
    pub sample_interval_us: i64,
}

impl Settings {
    /// Of buckets that are so many minutes wide, and samples that are so many seconds apart.
    pub fn new(interval_minutes: u32, sample_interval_seconds: u32) -> Self {
        Self {
            bucket_us: i64::from(interval_minutes) * 60 * MICROS_PER_SECOND,
            sample_interval_us: i64::from(sample_interval_seconds) * MICROS_PER_SECOND,
        }
    }
}

/// The rules of an evaluation.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    columns: Columns,
    settings: Settings,
}

impl RuleSet {
    /// The built-in rules as they are.
    ///
    /// # Errors
    /// [`RuleError`] if one cannot be used with these settings.
    pub fn built_in(settings: Settings) -> Result<Self, RuleError> {
        Self::read(&[], settings)
    }

    /// The built-in rules, and over them the `[[alert]]` tables of one configuration file after the
    /// other: keys of a table with a known id replace those before, another id is a further rule.
    ///
    /// # Errors
    /// [`RuleError`] for the first rule that cannot be used; rules that are not enabled are checked too.
    pub fn read(files: &[Vec<Table>], settings: Settings) -> Result<Self, RuleError> {
        let mut tables = built_in(settings);
        for file in files {
            add(&mut tables, file)?;
        }
        let mut columns = Columns::default();
        let mut rules = Vec::new();
        for (id, table) in &tables {
            let rule = Rule::read(id, table, &mut columns, settings)?;
            rules.extend(Some(rule).filter(|rule| rule.is_enabled));
        }
        Ok(Self { rules, columns, settings })
    }

    /// The rules that are enabled.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The Gold columns that [`crate::evaluate`] must be given, in their order.
    pub fn columns(&self) -> &[&'static str] {
        &self.columns.0
    }

    /// Width of a bucket, microseconds.
    pub fn bucket_us(&self) -> i64 {
        self.settings.bucket_us
    }

    /// How far before the first new bucket the rules look, microseconds.
    pub fn lookback_us(&self) -> i64 {
        self.rules.iter().map(|rule| rule.kind.lookback_us()).max().unwrap_or(0)
    }

    /// How long before an instant an evaluation must begin to know what is pending or recovers then.
    pub fn memory_us(&self) -> i64 {
        let spans = |rule: &Rule| {
            rule.hold_for.max(rule.keep_firing_for).max(rule.expire_after).us.max(rule.kind.memory_us())
        };
        self.rules.iter().map(spans).max().unwrap_or(0) + self.bucket_us()
    }
}

/// The built-in rules, wide enough for the buckets and the schedule.
fn built_in(settings: Settings) -> Vec<(String, Table)> {
    let document: Table = toml::from_str(BUILT_IN).expect("a test reads the built-in rules");
    let mut rules = Vec::new();
    for table in tables(&document) {
        let mut table = table.clone();
        widen(&mut table, "window", settings.bucket_us * LEAST_POINTS as i64);
        widen(&mut table, "after", settings.sample_interval_us * SILENT_INTERVALS);
        let id = table.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        rules.push((id, table));
    }
    rules
}

/// The tables `[[alert]]` of a document.
fn tables(document: &Table) -> impl Iterator<Item = &Table> {
    let alerts = document.get("alert").and_then(Value::as_array);
    alerts.into_iter().flatten().filter_map(Value::as_table)
}

/// Makes a length of time at least so long.
fn widen(table: &mut Table, key: &str, least_us: i64) {
    let given = table.get(key).cloned().and_then(|span| span.try_into::<Span>().ok());
    if given.is_some_and(|span| span.us < least_us) {
        let seconds = (least_us + MICROS_PER_SECOND - 1) / MICROS_PER_SECOND;
        table.insert(key.to_owned(), Value::String(format!("{seconds}s")));
    }
}

/// Lays the tables of one file over those before.
fn add(rules: &mut Vec<(String, Table)>, file: &[Table]) -> Result<(), RuleError> {
    let mut seen = BTreeSet::new();
    for (number, table) in file.iter().enumerate() {
        let mut keys = Keys::new(format!("number {}", number + 1), table.clone());
        let id: String = keys.required("id", ID)?;
        if !is_id(&id) {
            return Err(keys.bad("id", ID, id));
        }
        if !seen.insert(id.clone()) {
            return Err(RuleError::Duplicate { rule: id });
        }
        match rules.iter_mut().find(|(known, _)| *known == id) {
            // Another kind has other keys.
            Some((_, base)) if table.get("kind").is_none_or(|kind| base.get("kind") == Some(kind)) => {
                base.extend(table.clone());
            }
            Some((_, base)) => *base = table.clone(),
            None => rules.push((id, table.clone())),
        }
    }
    Ok(())
}
