//! Rows of a dataset as polars data frames, and back.

use std::borrow::Cow;

use polars::prelude::*;
use telemetry_schema::{ColumnType, Row, Value};

use crate::error::RepositoryError;

/// The polars type of a column type.
pub fn data_type(ty: ColumnType) -> DataType {
    match ty {
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::String => DataType::String,
        ColumnType::TimestampUs => DataType::Datetime(TimeUnit::Microseconds, utc()),
    }
}

/// A frame of no rows with these columns.
pub fn empty_frame<'a>(columns: impl IntoIterator<Item = &'a telemetry_schema::Column>) -> DataFrame {
    let fields = columns.into_iter().map(|column| Field::new(column.name.into(), data_type(column.ty)));
    let schema: Schema = fields.collect();
    DataFrame::empty_with_schema(&schema)
}

/// One column a column of the dataset, in schema order.
pub fn frame_from_rows<R: Row>(rows: &[R]) -> DataFrame {
    let columns = R::DATASET
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let name = PlSmallStr::from_static(column.name);
            series(name, column.ty, rows.iter().map(|row| row.value(index))).into_column()
        })
        .collect();
    DataFrame::new(rows.len(), columns).expect("every column has a name of its own and a value for each row")
}

fn series<'a>(name: PlSmallStr, ty: ColumnType, values: impl Iterator<Item = Value<'a>>) -> Series {
    macro_rules! collect {
        ($chunked:ty, $variant:ident) => {{
            let values =
                values.map(|value| if let Value::$variant(value) = value { Some(value) } else { None });
            values.collect::<$chunked>().with_name(name)
        }};
    }
    match ty {
        ColumnType::Int32 => collect!(Int32Chunked, Int32).into_series(),
        ColumnType::Int64 => collect!(Int64Chunked, Int64).into_series(),
        ColumnType::Float64 => collect!(Float64Chunked, Float64).into_series(),
        ColumnType::Boolean => collect!(BooleanChunked, Boolean).into_series(),
        ColumnType::String => collect!(StringChunked, String).into_series(),
        ColumnType::TimestampUs => {
            collect!(Int64Chunked, TimestampUs).into_datetime(TimeUnit::Microseconds, utc()).into_series()
        }
    }
}

/// The rows of a frame. Columns that the frame lacks are null; those that the dataset lacks are
/// ignored. A column of another type, or a null in the key, is an error.
pub fn rows_from_frame<R: Row>(frame: &DataFrame) -> Result<Vec<R>, RepositoryError> {
    let invalid =
        |reason: String| RepositoryError::InvalidFrame { dataset: R::DATASET.name.to_owned(), reason };
    let columns: Vec<Vec<Value<'_>>> = R::DATASET
        .columns
        .iter()
        .map(|column| match frame.column(column.name) {
            Ok(found) => values(found, column.ty).map_err(|error| invalid(error.to_string())),
            Err(_) => Ok(vec![Value::Null; frame.height()]),
        })
        .collect::<Result<_, _>>()?;
    (0..frame.height())
        .map(|row| {
            let cells: Vec<Value<'_>> = columns.iter().map(|column| column[row].clone()).collect();
            R::from_values(&cells).map_err(|error| invalid(error.to_string()))
        })
        .collect()
}

fn values(column: &Column, ty: ColumnType) -> PolarsResult<Vec<Value<'_>>> {
    macro_rules! collect {
        ($values:expr, $variant:ident) => {
            $values
                .iter()
                .map(|value| value.map_or(Value::Null, |value| Value::$variant(value.into())))
                .collect()
        };
    }
    Ok(match ty {
        ColumnType::Int32 => collect!(column.i32()?, Int32),
        ColumnType::Int64 => collect!(column.i64()?, Int64),
        ColumnType::Float64 => collect!(column.f64()?, Float64),
        ColumnType::Boolean => collect!(column.bool()?, Boolean),
        ColumnType::String => column
            .str()?
            .iter()
            .map(|text| text.map_or(Value::Null, |text| Value::String(Cow::Borrowed(text))))
            .collect(),
        ColumnType::TimestampUs => collect!(timestamps(column)?, TimestampUs),
    })
}

/// The microseconds of a timestamp column; an error if it has another type or unit.
pub(crate) fn timestamps(column: &Column) -> PolarsResult<&Int64Chunked> {
    let expected = data_type(ColumnType::TimestampUs);
    polars_ensure!(
        *column.dtype() == expected,
        SchemaMismatch: "column {} is {}, not {}", column.name(), column.dtype(), expected
    );
    Ok(column.datetime()?.physical())
}

fn utc() -> Option<TimeZone> {
    Some(TimeZone::UTC)
}
