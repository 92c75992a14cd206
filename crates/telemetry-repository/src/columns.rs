//! Columns of a frame as plain values, for callers that know nothing of data frames.

use polars::prelude::*;

use crate::error::RepositoryError;
use crate::frame::timestamps;

/// A column of numbers as doubles. Words of flags (`0x50000`) count as the number that they spell.
///
/// # Errors
/// [`RepositoryError::InvalidFrame`] if there is no such column, or it is of another type.
pub fn numbers(frame: &DataFrame, name: &str) -> Result<Vec<Option<f64>>, RepositoryError> {
    let word = |text: &str| {
        let digits = text.strip_prefix("0x")?;
        u32::from_str_radix(digits, 16).ok().map(f64::from)
    };
    column(frame, name, |column| {
        Ok(match column.dtype() {
            DataType::Int32 => column.i32()?.iter().map(|value| value.map(f64::from)).collect(),
            DataType::Int64 => column.i64()?.iter().map(|value| value.map(|value| value as f64)).collect(),
            DataType::String => column.str()?.iter().map(|text| text.and_then(word)).collect(),
            _ => column.f64()?.iter().collect(),
        })
    })
}

/// A column of instants, in microseconds since 1970.
///
/// # Errors
/// As [`numbers`].
pub fn instants_us(frame: &DataFrame, name: &str) -> Result<Vec<Option<i64>>, RepositoryError> {
    column(frame, name, |column| Ok(timestamps(column)?.iter().collect()))
}

/// A column of texts.
///
/// # Errors
/// As [`numbers`].
pub fn texts<'f>(frame: &'f DataFrame, name: &str) -> Result<Vec<Option<&'f str>>, RepositoryError> {
    column(frame, name, |column| Ok(column.str()?.iter().collect()))
}

/// A column of booleans.
///
/// # Errors
/// As [`numbers`].
pub fn flags(frame: &DataFrame, name: &str) -> Result<Vec<Option<bool>>, RepositoryError> {
    column(frame, name, |column| Ok(column.bool()?.iter().collect()))
}

fn column<'f, T>(
    frame: &'f DataFrame,
    name: &str,
    values: impl Fn(&'f Column) -> PolarsResult<Vec<T>>,
) -> Result<Vec<T>, RepositoryError> {
    let found = frame.column(name).and_then(values);
    found.map_err(|error| RepositoryError::InvalidFrame {
        dataset: format!("column {name}"),
        reason: error.to_string(),
    })
}
