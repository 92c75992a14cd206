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
    let levels = std::mem::take(&mut table.levels);
    let columns = plan
        .outputs
        .iter()
        .zip(levels)
        .map(|(output, cells)| match cells {
            Cells::Int(cells) => typed(output, cells.into_column(output.column.name)),
            Cells::Float(cells) => {
                let cells: Float64Chunked = cells.into_column(output.column.name);
                Ok(cells.into_column())
            }
            Cells::Other => other(output, &table, hosts, request, config),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(DataFrame::new(table.starts_us.len(), columns)?)
}

/// A column that is not made of levels.
fn other(
    output: &PlannedOutput,
    table: &Table,
    hosts: &[(&str, Range<usize>)],
    request: RollupRequest,
    config: RollupConfig,
) -> Result<Series, EngineError> {
    let name = || output.column.name.into();
    let growth = || table.growth.iter().map(|growth| growth[output.slot]);
    let all = |values: &[i64]| typed(output, Int64Chunked::from_slice(name(), values));
    match output.formula {
        Formula::BucketStart => all(&table.starts_us),
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
        Formula::NetworkResets => all(&table.network_resets),
        Formula::DuplicateCount => all(&table.duplicates),
        Formula::SampleCount => all(&table.samples),
        Formula::FirstAsOf => all(&table.first_us),
        Formula::LastAsOf => all(&table.last_us),
        Formula::ExpectedCount => ints(output, expected_counts(table, config).map(Some)),
        Formula::Coverage => {
            let counts = table.samples.iter().zip(expected_counts(table, config));
            let coverage = |samples: i64, expected: i64| (samples as f64 / expected as f64).min(1.0);
            Ok(floats(output, counts.map(|(samples, expected)| Some(coverage(*samples, expected)))))
        }
        Formula::BootCount => ints(output, if_any(&table.boots, table.boots.iter().copied())),
        Formula::ClockUnsynced => {
            ints(output, if_any(&table.clock_known, table.clock_unsynced.iter().copied()))
        }
        Formula::ThrottleBits(_) => {
            let counts = table.throttled.iter().map(|counts| counts[output.slot]);
            ints(output, if_any(&table.throttle_known, counts))
        }
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

/// The count of each bucket, where there is anything that it counts.
fn if_any(known: &[i64], counts: impl Iterator<Item = i64>) -> impl Iterator<Item = Option<i64>> {
    known.iter().zip(counts).map(|(known, count)| (*known > 0).then_some(count))
}

/// How many samples each bucket should have.
fn expected_counts(table: &Table, config: RollupConfig) -> impl Iterator<Item = i64> {
    let bucket_seconds = i64::from(config.interval_minutes()) * 60;
    table.sample_interval_seconds.iter().map(move |interval| {
        let interval = interval.unwrap_or_else(|| config.sample_interval_seconds().into());
        bucket_seconds.checked_div(interval).unwrap_or(1).max(1)
    })
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
