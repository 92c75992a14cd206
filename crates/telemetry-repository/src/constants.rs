//! Columns that hold one value in all rows of a row group, as its statistics tell: they need not be
//! decoded. In a host's own files that is a third of what the rollup reads.

use polars::io::parquet::metadata::FileMetadata;
use polars::prelude::*;
use telemetry_schema::{Column as SchemaColumn, ColumnType};

use crate::frame::data_type;

/// The wanted columns of a row group, divided by how their values are found.
pub(crate) struct Divided {
    /// These are in its column chunks only.
    pub(crate) decoded: Vec<&'static SchemaColumn>,
    /// These have one value, or none, in all rows.
    pub(crate) constant: Vec<Column>,
}

/// Divides the columns of a row group. Smallest and largest value may be shortened or simply wide, but
/// no value lies outside of them: where they are the same, every value is.
pub(crate) fn divide(
    metadata: &FileMetadata,
    group: usize,
    columns: &[&'static SchemaColumn],
) -> PolarsResult<Divided> {
    let mut divided = Divided { decoded: Vec::new(), constant: Vec::new() };
    for column in columns {
        match constant(metadata, group, column)? {
            Some(constant) => divided.constant.push(constant),
            None => divided.decoded.push(column),
        }
    }
    Ok(divided)
}

fn constant(metadata: &FileMetadata, group: usize, column: &SchemaColumn) -> PolarsResult<Option<Column>> {
    let group = &metadata.row_groups[group];
    let rows = group.num_rows();
    let chunk = group.columns_under_root_iter(column.name).and_then(|mut chunks| chunks.next());
    let Some(statistics) = chunk.and_then(|chunk| chunk.statistics(&metadata.footer_buf)).transpose()? else {
        return Ok(None);
    };
    let value = match statistics.null_count().and_then(|nulls| usize::try_from(nulls).ok()) {
        Some(nulls) if nulls == rows => Some(AnyValue::Null),
        Some(0) => match column.ty {
            ColumnType::String => statistics.as_binary().and_then(|of| {
                let bytes = only(of.min_value.as_deref(), of.max_value.as_deref())?;
                Some(AnyValue::StringOwned(std::str::from_utf8(bytes).ok()?.into()))
            }),
            ColumnType::Int64 => {
                statistics.as_int64().and_then(|of| only(of.min_value, of.max_value)).map(AnyValue::Int64)
            }
            ColumnType::Int32 => {
                statistics.as_int32().and_then(|of| only(of.min_value, of.max_value)).map(AnyValue::Int32)
            }
            ColumnType::Boolean => {
                statistics.as_boolean().and_then(|of| only(of.min_value, of.max_value)).map(AnyValue::Boolean)
            }
            // Doubles do not tell the signs of zeros, and instants differ anyway.
            ColumnType::Float64 | ColumnType::TimestampUs => None,
        },
        _ => None,
    };
    let scalar = value.map(|value| Scalar::new(data_type(column.ty), value));
    Ok(scalar.map(|scalar| Column::new_scalar(column.name.into(), scalar, rows)))
}

/// The only value that there can be between the smallest and the largest.
fn only<T: PartialEq>(min: Option<T>, max: Option<T>) -> Option<T> {
    min.filter(|min| max.as_ref() == Some(min))
}
