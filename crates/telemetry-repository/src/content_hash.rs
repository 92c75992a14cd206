//! A hash of rows that does not depend on how a file stores them.

use std::ops::Add;

use polars::prelude::*;
use telemetry_schema::{self as schema, ColumnType, Dataset};

use crate::error::RepositoryError;
use crate::frame::timestamps;

/// BLAKE3 over rows in their order, fed frame by frame (a row group at a time).
///
/// The canonical encoding: the dataset's columns in schema order, without those that a file lacks;
/// for each its name and its type, each as a length in 8 bytes and the text, then the BLAKE3 of its
/// cells. A cell is one byte, 0 for null and 1 for a value, and the value: integers, timestamps and
/// the bits of doubles little-endian, booleans as one byte, texts as their length in 8 bytes and
/// their bytes.
#[derive(Debug)]
pub struct ContentHasher {
    columns: Vec<HashedColumn>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct HashedColumn {
    name: &'static str,
    ty: ColumnType,
    cells: blake3::Hasher,
}

enum Cells<'a> {
    Int32(&'a Int32Chunked),
    Int64(&'a Int64Chunked),
    Float64(&'a Float64Chunked),
    Boolean(&'a BooleanChunked),
    String(&'a StringChunked),
}

impl ContentHasher {
    /// A hash of the dataset's columns that a file has.
    pub fn new(dataset: &'static Dataset, has_column: impl Fn(&str) -> bool) -> Self {
        let columns = dataset.columns.iter().filter(|column| has_column(column.name));
        let hashed = |column: &schema::Column| HashedColumn {
            name: column.name,
            ty: column.ty,
            cells: blake3::Hasher::new(),
        };
        Self { columns: columns.map(hashed).collect(), scratch: Vec::new() }
    }

    /// The hash of the rows of one frame, which need not have all columns of the dataset.
    pub(crate) fn of_frame(dataset: &'static Dataset, frame: &DataFrame) -> Result<String, RepositoryError> {
        let mut hasher = Self::new(dataset, |column| frame.get_column_index(column).is_some());
        hasher.update(frame)?;
        Ok(hasher.finish())
    }

    /// Adds the rows of a frame; its columns can stand in any order, others are left out.
    pub fn update(&mut self, frame: &DataFrame) -> Result<(), RepositoryError> {
        for column in &mut self.columns {
            let found = frame.column(column.name).and_then(|found| cells(found, column.ty));
            let cells = found.map_err(|error| invalid(&error))?;
            // A column at once: the hash is several times as fast over long stretches.
            self.scratch.clear();
            encode_all(&mut self.scratch, &cells);
            column.cells.update(&self.scratch);
        }
        Ok(())
    }

    /// The hash as 64 hexadecimal digits.
    pub fn finish(self) -> String {
        let mut hasher = blake3::Hasher::new();
        for HashedColumn { name, ty, cells } in &self.columns {
            for text in [*name, &ty.to_string()] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
            hasher.update(cells.finalize().as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The rows of files as a multiset: how many, and the sum of their BLAKE3 hashes. Equal for the same
/// rows in any order and any division into files, whatever the number of copies of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowMultiset {
    rows: u64,
    sum: [u64; 4],
}

impl RowMultiset {
    /// Adds the rows of a frame that has all columns of the dataset.
    pub(crate) fn update(
        &mut self,
        dataset: &'static Dataset,
        frame: &DataFrame,
    ) -> Result<(), RepositoryError> {
        let columns = all_cells(frame, dataset.columns.iter().map(|column| (column.name, column.ty)))?;
        let mut scratch = Vec::new();
        for row in 0..frame.height() {
            scratch.clear();
            for column in &columns {
                encode(&mut scratch, column, row);
            }
            let hash = blake3::hash(&scratch);
            let (words, _) = hash.as_bytes().as_chunks::<8>();
            for (sum, word) in self.sum.iter_mut().zip(words) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*word));
            }
        }
        self.rows += frame.height() as u64;
        Ok(())
    }
}

impl Add for RowMultiset {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let sum = std::array::from_fn(|word| self.sum[word].wrapping_add(other.sum[word]));
        Self { rows: self.rows + other.rows, sum }
    }
}

fn all_cells(
    frame: &DataFrame,
    columns: impl Iterator<Item = (&'static str, ColumnType)>,
) -> Result<Vec<Cells<'_>>, RepositoryError> {
    let found = columns.map(|(name, ty)| cells(frame.column(name)?, ty)).collect::<PolarsResult<_>>();
    found.map_err(|error| invalid(&error))
}

fn invalid(error: &PolarsError) -> RepositoryError {
    RepositoryError::InvalidFrame { dataset: "content hash".to_owned(), reason: error.to_string() }
}

fn cells(column: &Column, ty: ColumnType) -> PolarsResult<Cells<'_>> {
    Ok(match ty {
        ColumnType::Int32 => Cells::Int32(column.i32()?),
        ColumnType::Int64 => Cells::Int64(column.i64()?),
        ColumnType::Float64 => Cells::Float64(column.f64()?),
        ColumnType::Boolean => Cells::Boolean(column.bool()?),
        ColumnType::String => Cells::String(column.str()?),
        ColumnType::TimestampUs => Cells::Int64(timestamps(column)?),
    })
}

/// The cell of one row.
fn encode(out: &mut Vec<u8>, cells: &Cells<'_>, row: usize) {
    match cells {
        Cells::Int32(values) => number(out, values.get(row).map(i32::to_le_bytes)),
        Cells::Int64(values) => number(out, values.get(row).map(i64::to_le_bytes)),
        Cells::Float64(values) => number(out, values.get(row).map(f64::to_le_bytes)),
        Cells::Boolean(values) => number(out, values.get(row).map(|value| [u8::from(value)])),
        Cells::String(values) => text(out, values.get(row)),
    }
}

/// The cells of all rows.
fn encode_all(out: &mut Vec<u8>, cells: &Cells<'_>) {
    match cells {
        Cells::Int32(values) => numbers(out, values, i32::to_le_bytes),
        Cells::Int64(values) => numbers(out, values, i64::to_le_bytes),
        Cells::Float64(values) => numbers(out, values, f64::to_le_bytes),
        Cells::Boolean(values) => {
            values.iter().for_each(|value| number(out, value.map(|value| [u8::from(value)])));
        }
        Cells::String(values) => values.iter().for_each(|value| text(out, value)),
    }
}

fn numbers<T: PolarsNumericType, const N: usize>(
    out: &mut Vec<u8>,
    values: &ChunkedArray<T>,
    bytes: impl Fn(T::Native) -> [u8; N],
) {
    if values.null_count() > 0 {
        values.iter().for_each(|value| number(out, value.map(&bytes)));
    } else {
        let present = values.data_views().flatten();
        present.for_each(|value| number(out, Some(bytes(*value))));
    }
}

fn number<const N: usize>(out: &mut Vec<u8>, value: Option<[u8; N]>) {
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(value.as_ref().map_or(&[], |bytes| &bytes[..]));
}

fn text(out: &mut Vec<u8>, value: Option<&str>) {
    number(out, value.map(|text| (text.len() as u64).to_le_bytes()));
    out.extend_from_slice(value.unwrap_or_default().as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use telemetry_schema::{HOST_METRICS, Row as _, Value, host_metrics::names};

    use super::*;
    use crate::frame::frame_from_rows;

    fn frame(bytes: &[i64]) -> DataFrame {
        let row = |bytes: &i64| {
            let cells = HOST_METRICS.columns.iter().map(|column| match column.name {
                names::as_of => Value::TimestampUs(0),
                names::host_id => Value::String("pi".into()),
                names::net_rx_bytes => Value::Int64(*bytes),
                _ => Value::Null,
            });
            telemetry_schema::HostMetricsSample::from_values(&cells.collect::<Vec<_>>()).unwrap()
        };
        frame_from_rows(&bytes.iter().map(row).collect::<Vec<_>>())
    }

    fn rows(frames: &[&[i64]]) -> RowMultiset {
        let mut rows = RowMultiset::default();
        frames.iter().for_each(|bytes| rows.update(&HOST_METRICS, &frame(bytes)).unwrap());
        rows
    }

    #[test]
    fn a_multiset_of_rows_knows_neither_order_nor_files_but_every_row() {
        let all = rows(&[&[1, 2, 2, 3]]);
        assert_eq!(all, rows(&[&[3, 2], &[], &[1, 2]]));
        assert_eq!(all, rows(&[&[2, 1]]) + rows(&[&[2, 3]]));
        for other in [&[1, 2, 3][..], &[1, 2, 3, 3], &[1, 1, 2, 3], &[1, 2, 2, 4], &[1, 2, 2, 3, 3], &[]] {
            assert_ne!(all, rows(&[other]), "{other:?}");
        }
    }
}
