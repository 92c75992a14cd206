//! A finished table as columns of Gold.

use std::ops::Range;

use polars::prelude::{
    BooleanChunked, Column as Series, DataFrame, Float64Chunked, Int64Chunked, IntoColumn, IntoSeries,
    NewChunkedArray, StringChunked, TimeUnit, TimeZone,
};
use telemetry_schema::{ColumnType, Formula, MICROS_PER_SECOND};

use crate::plan::{Plan, PlannedOutput};
use crate::table::{Cells, Growth, Table, Values};
use crate::{EngineError, GRACE_US, RollupConfig, RollupRequest};

const BITS_PER_BYTE: f64 = 8.0;

/// The columns, hosts in the given order, which is that of the table's rows.
pub(crate) fn frame(
    mut table: Table,
    hosts: &[(&str, Range<usize>)],
    plan: &Plan,
    request: RollupRequest,
    config: RollupConfig,
) -> Result<DataFrame, EngineError> {
    let closed = std::mem::take(&mut table.closed);
    let columns = plan
        .outputs
        .iter()
        .zip(closed)
        .map(|(output, cells)| match cells {
            Cells::Int(cells) => typed(output, cells.into_column(output.column.name)),
            Cells::Float(cells) => {
                let cells: Float64Chunked = cells.into_column(output.column.name);
                Ok(cells.into_column())
            }
            Cells::Late => late(output, &table, hosts, request, config),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(DataFrame::new(table.starts_us.len(), columns)?)
}

/// A column that later samples could still change, or that needs no sample.
fn late(
    output: &PlannedOutput,
    table: &Table,
    hosts: &[(&str, Range<usize>)],
    request: RollupRequest,
    config: RollupConfig,
) -> Result<Series, EngineError> {
    let name = || output.column.name.into();
    let growth = || table.growth.iter().map(|growth| growth[output.slot]);
    match output.formula {
        Formula::BucketStart => ints(output, table.starts_us.iter().copied().map(Some)),
        Formula::HostId => {
            let ids = hosts.iter().flat_map(|(host, rows)| rows.clone().map(|_| Some(*host)));
            Ok(StringChunked::from_iter_options(name(), ids).into_column())
        }
        Formula::CounterGrowth(_) => {
            ints(output, growth().map(|growth| (growth.covered_us > 0).then_some(growth.bytes)))
        }
        Formula::CounterCoveredSeconds(_) => {
            let seconds = |growth: Growth| growth.covered_us as f64 / MICROS_PER_SECOND as f64;
            Ok(floats(output, growth().map(|growth| Some(seconds(growth)))))
        }
        Formula::BitRate(_) => Ok(floats(output, growth().map(|growth| rate(growth, BITS_PER_BYTE)))),
        Formula::ByteRate(_) => Ok(floats(output, growth().map(|growth| rate(growth, 1.0)))),
        Formula::NetworkResets => ints(output, table.network_resets.iter().copied().map(Some)),
        Formula::DuplicateCount => ints(output, table.duplicates.iter().copied().map(Some)),
        Formula::ThrottleStickyNew => {
            let rows = table.sticky_new.iter().zip(&table.throttle_known);
            let texts = rows.map(|(bits, known)| (*known > 0).then(|| format!("0x{bits:x}")));
            Ok(StringChunked::from_iter_options(name(), texts).into_column())
        }
        Formula::IsFinal => {
            let is_final =
                |start_us: &i64| request.evaluated_at_us >= start_us + config.bucket_us() + GRACE_US;
            let flags = table.starts_us.iter().map(|start_us| Some(is_final(start_us)));
            Ok(BooleanChunked::from_iter_options(name(), flags).into_column())
        }
        _ => Err(EngineError::Column { column: output.column.name, expected: output.column.ty }),
    }
}

fn rate(growth: Growth, per_byte: f64) -> Option<f64> {
    let per_microsecond = per_byte * MICROS_PER_SECOND as f64 * growth.bytes as f64;
    (growth.covered_us > 0).then(|| per_microsecond / growth.covered_us as f64)
}

fn floats(output: &PlannedOutput, cells: impl Iterator<Item = Option<f64>>) -> Series {
    let cells: Float64Chunked = cells.collect::<Values<f64>>().into_column(output.column.name);
    cells.into_column()
}

fn ints(output: &PlannedOutput, cells: impl Iterator<Item = Option<i64>>) -> Result<Series, EngineError> {
    typed(output, cells.collect::<Values<i64>>().into_column(output.column.name))
}

fn typed(output: &PlannedOutput, cells: Int64Chunked) -> Result<Series, EngineError> {
    Ok(match output.column.ty {
        ColumnType::TimestampUs => cells
            .into_datetime(TimeUnit::Microseconds, TimeZone::opt_try_new(Some("UTC"))?)
            .into_series()
            .into_column(),
        _ => cells.into_column(),
    })
}
