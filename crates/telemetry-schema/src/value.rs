//! Cells and rows without a data frame: how a struct field becomes a typed value and back.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use thiserror::Error;

use crate::{ColumnType, Dataset};

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// Not measured.
    Null,
    /// See [`ColumnType::Int32`].
    Int32(i32),
    /// See [`ColumnType::Int64`].
    Int64(i64),
    /// See [`ColumnType::Float64`].
    Float64(f64),
    /// See [`ColumnType::Boolean`].
    Boolean(bool),
    /// See [`ColumnType::String`].
    String(Cow<'a, str>),
    /// See [`ColumnType::TimestampUs`].
    TimestampUs(i64),
}

impl Value<'_> {
    /// The number in the cell, if there is one.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::Int32(value) => Some(f64::from(value)),
            Value::Int64(value) => Some(value as f64),
            Value::Float64(value) => Some(value),
            Value::Null | Value::Boolean(_) | Value::String(_) | Value::TimestampUs(_) => None,
        }
    }

    /// Whether the cell holds no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

/// A field type that can stand in a row struct.
pub trait Cell: Sized {
    /// The column type.
    const TYPE: ColumnType;
    /// The value of the field.
    fn to_value(&self) -> Value<'_>;
    /// The field from a value; `None` if the value has another type, or is null and the field is
    /// not an `Option`.
    fn from_value(value: &Value<'_>) -> Option<Self>;
}

macro_rules! cell {
    ($($ty:ty => $variant:ident),* $(,)?) => { $(
        impl Cell for $ty {
            const TYPE: ColumnType = ColumnType::$variant;
            fn to_value(&self) -> Value<'_> { Value::$variant(*self) }
            fn from_value(value: &Value<'_>) -> Option<Self> {
                match value { Value::$variant(value) => Some(*value), _ => None }
            }
        }
    )* };
}
cell!(i32 => Int32, i64 => Int64, f64 => Float64, bool => Boolean);

impl Cell for String {
    const TYPE: ColumnType = ColumnType::String;

    fn to_value(&self) -> Value<'_> {
        Value::String(Cow::Borrowed(self))
    }

    fn from_value(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::String(text) => Some(text.clone().into_owned()),
            _ => None,
        }
    }
}

impl Cell for DateTime<Utc> {
    const TYPE: ColumnType = ColumnType::TimestampUs;

    fn to_value(&self) -> Value<'_> {
        Value::TimestampUs(self.timestamp_micros())
    }

    fn from_value(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::TimestampUs(us) => DateTime::from_timestamp_micros(*us),
            _ => None,
        }
    }
}

impl<T: Cell> Cell for Option<T> {
    const TYPE: ColumnType = T::TYPE;

    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, Cell::to_value)
    }

    fn from_value(value: &Value<'_>) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// A row struct made from a dataset's table.
pub trait Row: Sized {
    /// The dataset whose rows these are.
    const DATASET: &'static Dataset;

    /// The cell in that column (a position in [`Dataset::columns`]).
    fn value(&self, column: usize) -> Value<'_>;

    /// Replaces the cell in that column; false, and nothing done, if the value has another type or
    /// the column cannot be null.
    fn set(&mut self, column: usize, value: &Value<'_>) -> bool;

    /// A row from its cells, in schema order.
    fn from_values(values: &[Value<'_>]) -> Result<Self, RowError>;

    /// All cells with their names, in schema order.
    fn to_row(&self) -> Vec<(&'static str, Value<'_>)> {
        Self::DATASET
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| (column.name, self.value(index)))
            .collect()
    }
}

/// Cells that do not make a row of the dataset.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column} must be {expected}, but the cell is {got}")]
pub struct RowError {
    /// Name of the column.
    pub column: &'static str,
    /// What the column holds.
    pub expected: ColumnType,
    /// The cell, as text.
    pub got: String,
}

/// The next cell as a field; the dataset macro reads a row's fields with it, in schema order.
pub(crate) fn next_cell<'a, T: Cell>(
    cells: &mut impl Iterator<Item = (&'static crate::Column, &'a Value<'a>)>,
    column: &'static str,
) -> Result<T, RowError> {
    let cell = cells.next().map_or(&Value::Null, |(_, value)| value);
    T::from_value(cell).ok_or_else(|| RowError { column, expected: T::TYPE, got: format!("{cell:?}") })
}
