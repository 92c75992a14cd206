//! The data-quality rules, applied to rows.

use std::borrow::Cow;

use chrono::DateTime;
use thiserror::Error;

use crate::{Column, Presence, Row, Rule, Value, host_id};

/// A value that breaks its column's rule.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{column} = {value} breaks the rule {rule}")]
pub struct Violation {
    /// Name of the column.
    pub column: &'static str,
    /// The value, as text.
    pub value: String,
    /// The rule.
    pub rule: Rule,
}

/// Checks a row against the rules of its dataset. An optional value that breaks its rule becomes
/// null and is returned; a key or required value that breaks its rule refuses the row. Null passes
/// everywhere but in the key.
pub fn validate<R: Row>(row: &mut R) -> Result<Vec<Violation>, Violation> {
    let mut dropped = Vec::new();
    for (index, column) in R::DATASET.columns.iter().enumerate() {
        let Some(violation) = violation(column, &row.value(index)) else { continue };
        if column.presence != Presence::Optional || !row.set(index, &Value::Null) {
            return Err(violation);
        }
        dropped.push(violation);
    }
    Ok(dropped)
}

/// The required columns that hold no value, because their reading failed.
pub fn missing_required<R: Row>(row: &R) -> Vec<&'static str> {
    R::DATASET
        .columns
        .iter()
        .enumerate()
        .filter(|(index, column)| column.presence == Presence::Required && row.value(*index).is_null())
        .map(|(_, column)| column.name)
        .collect()
}

/// Rounds every double to the decimals of its unit.
pub fn round_to_units<R: Row>(row: &mut R) {
    for (index, column) in R::DATASET.columns.iter().enumerate() {
        let (Some(decimals), Value::Float64(value)) = (column.unit.decimals(), row.value(index)) else {
            continue;
        };
        let scale = 10f64.powi(decimals);
        row.set(index, &Value::Float64((value * scale).round() / scale));
    }
}

fn violation(column: &Column, value: &Value<'_>) -> Option<Violation> {
    let passes = match value {
        Value::Null => true,
        Value::Float64(number) if !number.is_finite() => false,
        value => passes(column.rule, value),
    };
    (!passes).then(|| Violation { column: column.name, value: text(value).into_owned(), rule: column.rule })
}

fn passes(rule: Rule, value: &Value<'_>) -> bool {
    match (rule, value) {
        (Rule::Any, _) => true,
        (Rule::Within(low, high), value) => {
            value.as_f64().is_some_and(|number| (low..=high).contains(&number))
        }
        (Rule::AtLeast(low), value) => value.as_f64().is_some_and(|number| number >= low as f64),
        (Rule::HostId, Value::String(text)) => host_id::is_valid(text),
        (Rule::HexWord, Value::String(text)) => text
            .strip_prefix("0x")
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit())),
        (Rule::Instant, Value::TimestampUs(us)) => (0..INSTANT_END_US).contains(us),
        (Rule::Measured, Value::TimestampUs(us)) => (FIRST_MEASURED_US..INSTANT_END_US).contains(us),
        (Rule::HostId | Rule::HexWord | Rule::Instant | Rule::Measured, _) => false,
    }
}

/// 2026-01-01, before the first release, in microseconds since 1970: no sample is older.
pub const FIRST_MEASURED_US: i64 = 1_767_225_600_000_000;

/// 10000-01-01, the first instant without a date directory of four digits for the year.
const INSTANT_END_US: i64 = 253_402_300_800_000_000;

fn text<'a>(value: &'a Value<'_>) -> Cow<'a, str> {
    match value {
        Value::Null => Cow::Borrowed("null"),
        Value::Int32(number) => number.to_string().into(),
        Value::Int64(number) => number.to_string().into(),
        Value::Float64(number) => number.to_string().into(),
        Value::Boolean(flag) => flag.to_string().into(),
        Value::String(text) => format!("{text:?}").into(),
        Value::TimestampUs(us) => DateTime::from_timestamp_micros(*us)
            .map_or_else(|| format!("{us} µs").into(), |t| t.to_rfc3339().into()),
    }
}
