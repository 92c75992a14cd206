//! The keys of one `[[alert]]` table, taken out one by one, so that every error names its key.

use serde::de::DeserializeOwned;
use telemetry_schema::{Column, ColumnType, HOST_METRICS_ROLLUP, Rule as QualityRule};
use toml::Table;

use crate::error::{RuleError, nearest};
use crate::span::{self, Span};

/// The keys that have not been taken yet.
pub(crate) struct Keys {
    rule: String,
    table: Table,
    known: Vec<&'static str>,
}

impl Keys {
    /// `rule` names it in errors.
    pub(crate) fn new(rule: String, table: Table) -> Self {
        Self { rule, table, known: Vec::new() }
    }

    pub(crate) fn bad(
        &self,
        key: &'static str,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> RuleError {
        RuleError::BadValue { rule: self.rule.clone(), key, expected: expected.into(), got: got.to_string() }
    }

    fn missing(&self, key: &'static str, expected: &str) -> RuleError {
        RuleError::MissingKey { rule: self.rule.clone(), key, expected: expected.to_owned() }
    }

    /// The value of a key; `expected` says what it can be.
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Result<Option<T>, RuleError> {
        self.known.push(key);
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        let got = value.to_string();
        value.try_into().map(Some).map_err(|_| self.bad(key, expected, got))
    }

    /// The value of a key that must be there.
    pub(crate) fn required<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Result<T, RuleError> {
        self.optional(key, expected)?.ok_or_else(|| self.missing(key, expected))
    }

    /// A finite number.
    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<f64>, RuleError> {
        let number = self.optional::<f64>(key, NUMBER)?;
        match number {
            Some(number) if !number.is_finite() => Err(self.bad(key, NUMBER, number)),
            number => Ok(number),
        }
    }

    pub(crate) fn required_number(&mut self, key: &'static str) -> Result<f64, RuleError> {
        self.number(key)?.ok_or_else(|| self.missing(key, NUMBER))
    }

    pub(crate) fn span(&mut self, key: &'static str, default: Span) -> Result<Span, RuleError> {
        Ok(self.optional(key, span::EXPECTED)?.unwrap_or(default))
    }

    /// A length of time that is at least `least`.
    pub(crate) fn span_of_at_least(
        &mut self,
        key: &'static str,
        least: Span,
        default: Span,
    ) -> Result<Span, RuleError> {
        let given = self.span(key, default.max(least))?;
        if given >= least { Ok(given) } else { Err(self.bad(key, format!("at least {least}"), given)) }
    }

    /// A length of time that must be given and is at least `least`.
    pub(crate) fn required_span(&mut self, key: &'static str, least: Span) -> Result<Span, RuleError> {
        if !self.table.contains_key(key) {
            return Err(self.missing(key, span::EXPECTED));
        }
        self.span_of_at_least(key, least, least)
    }

    /// A column of the rollup that holds numbers.
    pub(crate) fn column(&mut self, key: &'static str) -> Result<Option<&'static Column>, RuleError> {
        let Some(name) = self.optional::<String>(key, COLUMN)? else { return Ok(None) };
        let Some((_, column)) = HOST_METRICS_ROLLUP.column(&name) else {
            let numeric = HOST_METRICS_ROLLUP.columns.iter().filter(|column| is_number(column));
            let nearest = nearest(&name, numeric.map(|column| column.name));
            return Err(RuleError::UnknownColumn { rule: self.rule.clone(), key, column: name, nearest });
        };
        if is_number(column) {
            Ok(Some(column))
        } else {
            Err(self.bad(key, COLUMN, format!("{name}, a {}", column.ty)))
        }
    }

    pub(crate) fn required_column(&mut self, key: &'static str) -> Result<&'static Column, RuleError> {
        self.column(key)?.ok_or_else(|| self.missing(key, COLUMN))
    }

    /// The tables of a list of tables, none if the key is absent.
    pub(crate) fn tables(&mut self, key: &'static str, expected: &str) -> Result<Vec<Self>, RuleError> {
        let tables: Vec<Table> = self.optional(key, expected)?.unwrap_or_default();
        let rule = |number: usize| format!("{}, `{key}` {}", self.rule, number + 1);
        Ok(tables.into_iter().enumerate().map(|(number, table)| Self::new(rule(number), table)).collect())
    }

    /// Refuses what has not been taken.
    pub(crate) fn finish(self) -> Result<(), RuleError> {
        match self.table.into_iter().next() {
            None => Ok(()),
            Some((key, _)) => {
                let nearest = nearest(&key, self.known);
                Err(RuleError::UnknownKey { rule: self.rule, key, nearest })
            }
        }
    }
}

const NUMBER: &str = "a number";
const COLUMN: &str = "a column of the rollup that holds numbers";

/// Numbers, and words of flags, which count as the number that they spell.
fn is_number(column: &Column) -> bool {
    match column.ty {
        ColumnType::Int32 | ColumnType::Int64 | ColumnType::Float64 => true,
        ColumnType::String => column.rule == QualityRule::HexWord,
        ColumnType::Boolean | ColumnType::TimestampUs => false,
    }
}
