//! Rows to frames and back, for the tests of the engine.

use chrono::{DateTime, Utc};
use polars::prelude::*;
use telemetry_schema::{ColumnType, HOST_METRICS, HostMetricsRollup, HostMetricsSample, Row, Value};

/// 2026-11-21 12:00:00 UTC.
pub(crate) const NOON_US: i64 = 1_795_262_400_000_000;
pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;

pub(crate) fn instant(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap()
}

/// A sample with everything but network counters at rest.
pub(crate) fn sample(host: &str, us: i64) -> HostMetricsSample {
    let columns = HOST_METRICS.columns.len();
    let mut values = vec![Value::Null; columns];
    values[0] = Value::TimestampUs(us);
    values[1] = Value::String(host.to_owned().into());
    HostMetricsSample::from_values(&values).unwrap()
}

pub(crate) fn frame(rows: &[HostMetricsSample]) -> DataFrame {
    let columns = HOST_METRICS
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let values: Vec<Value<'_>> = rows.iter().map(|row| row.value(index)).collect();
            let name: PlSmallStr = column.name.into();
            let series = match column.ty {
                ColumnType::Int32 => Series::new(
                    name,
                    pick(&values, |v| if let Value::Int32(v) = v { Some(*v) } else { None }),
                ),
                ColumnType::Int64 => Series::new(
                    name,
                    pick(&values, |v| if let Value::Int64(v) = v { Some(*v) } else { None }),
                ),
                ColumnType::Float64 => Series::new(
                    name,
                    pick(&values, |v| if let Value::Float64(v) = v { Some(*v) } else { None }),
                ),
                ColumnType::Boolean => Series::new(
                    name,
                    pick(&values, |v| if let Value::Boolean(v) = v { Some(*v) } else { None }),
                ),
                ColumnType::String => Series::new(
                    name,
                    pick(&values, |v| if let Value::String(v) = v { Some(v.to_string()) } else { None }),
                ),
                ColumnType::TimestampUs => {
                    let us = pick(&values, |v| if let Value::TimestampUs(v) = v { Some(*v) } else { None });
                    Int64Chunked::from_slice_options(name, &us)
                        .into_datetime(TimeUnit::Microseconds, TimeZone::opt_try_new(Some("UTC")).unwrap())
                        .into_series()
                }
            };
            series.into()
        })
        .collect();
    DataFrame::new(rows.len(), columns).unwrap()
}

fn pick<T>(values: &[Value<'_>], take: impl Fn(&Value<'_>) -> Option<T>) -> Vec<Option<T>> {
    values.iter().map(take).collect()
}

pub(crate) fn gold_rows(frame: &DataFrame) -> Vec<HostMetricsRollup> {
    (0..frame.height())
        .map(|row| {
            let values: Vec<Value<'_>> = frame
                .columns()
                .iter()
                .map(|column| match column.get(row).unwrap() {
                    AnyValue::Null => Value::Null,
                    AnyValue::Int32(v) => Value::Int32(v),
                    AnyValue::Int64(v) => Value::Int64(v),
                    AnyValue::Float64(v) => Value::Float64(v),
                    AnyValue::Boolean(v) => Value::Boolean(v),
                    AnyValue::String(v) => Value::String(v.to_owned().into()),
                    AnyValue::StringOwned(v) => Value::String(v.to_string().into()),
                    AnyValue::Datetime(v, _, _) | AnyValue::DatetimeOwned(v, _, _) => Value::TimestampUs(v),
                    other => panic!("no column has the type of {other:?}"),
                })
                .collect();
            HostMetricsRollup::from_values(&values).unwrap()
        })
        .collect()
}
