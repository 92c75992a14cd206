//! Finished buckets as columns of Gold.

use polars::prelude::{
    BooleanChunked, Column as Series, DataFrame, Float64Chunked, Int32Chunked, Int64Chunked, IntoColumn,
    IntoSeries, NewChunkedArray, StringChunked, TimeUnit, TimeZone,
};
use telemetry_schema::{ColumnType, Formula, MICROS_PER_SECOND, Value};

use crate::batch::Texts;
use crate::bucket::{Bucket, Growth};
use crate::plan::{Plan, PlannedOutput};
use crate::{EngineError, GRACE_US, RollupConfig, RollupRequest};

const BITS_PER_BYTE: f64 = 8.0;

/// The columns of Gold while they grow, in schema order.
pub(crate) struct Output<'a> {
    plan: &'a Plan,
    columns: Vec<Cells>,
}

enum Cells {
    Int32(Vec<Option<i32>>),
    Int64(Vec<Option<i64>>),
    Float64(Vec<Option<f64>>),
    Boolean(Vec<Option<bool>>),
    String(Vec<Option<String>>),
    TimestampUs(Vec<Option<i64>>),
}

impl<'a> Output<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self { plan, columns: plan.outputs.iter().map(|output| Cells::new(output.column.ty)).collect() }
    }

    /// Appends the buckets of one host.
    pub(crate) fn push_host(
        &mut self,
        texts: &Texts,
        host: u32,
        buckets: Vec<Bucket>,
        request: RollupRequest,
        config: RollupConfig,
    ) {
        let host = texts.get(host).unwrap_or_default();
        for mut bucket in buckets {
            for (cells, output) in self.columns.iter_mut().zip(&self.plan.outputs) {
                cells.push(value(output, &mut bucket, host, request, config));
            }
        }
    }

    pub(crate) fn into_frame(self) -> Result<DataFrame, EngineError> {
        let columns = self
            .columns
            .into_iter()
            .zip(&self.plan.outputs)
            .map(|(cells, output)| cells.into_column(output.column.name))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(DataFrame::new_infer_height(columns)?)
    }
}

/// The value of one Gold column.
fn value<'v>(
    output: &PlannedOutput,
    bucket: &mut Bucket,
    host: &'v str,
    request: RollupRequest,
    config: RollupConfig,
) -> Value<'v> {
    let slot = output.slot;
    let is_int = output.column.ty == ColumnType::Int64;
    let expected = expected_count(bucket, config);
    match output.formula {
        Formula::BucketStart => Value::TimestampUs(bucket.start_us),
        Formula::HostId => Value::String(host.into()),
        Formula::Average(_) => float(bucket.levels[slot].average()),
        Formula::Percentile95(_) => float(bucket.levels[slot].percentile_95()),
        Formula::Max(_) if is_int => int(bucket.levels[slot].int_max()),
        Formula::Max(_) => float(bucket.levels[slot].float_max()),
        Formula::Min(_) if is_int => int(bucket.levels[slot].int_min()),
        Formula::Min(_) => float(bucket.levels[slot].float_min()),
        Formula::CounterGrowth(_) => {
            let growth = bucket.growth[slot];
            int((growth.covered_us > 0).then_some(growth.bytes))
        }
        Formula::CounterCoveredSeconds(_) => {
            Value::Float64(bucket.growth[slot].covered_us as f64 / MICROS_PER_SECOND as f64)
        }
        Formula::BitRate(_) => float(rate(bucket.growth[slot], BITS_PER_BYTE)),
        Formula::ByteRate(_) => float(rate(bucket.growth[slot], 1.0)),
        Formula::NetworkResets => Value::Int64(bucket.network_resets),
        Formula::SampleCount => Value::Int64(bucket.samples),
        Formula::ExpectedCount => Value::Int64(expected),
        Formula::Coverage => Value::Float64((bucket.samples as f64 / expected as f64).min(1.0)),
        Formula::DuplicateCount => Value::Int64(bucket.duplicates),
        Formula::ThrottleBits(_) => int((bucket.throttle_known > 0).then(|| bucket.throttle_counts[slot])),
        Formula::ThrottleStickyNew => {
            let text = || format!("0x{:x}", bucket.throttle_sticky_new);
            (bucket.throttle_known > 0).then(text).map_or(Value::Null, |text| Value::String(text.into()))
        }
        Formula::ClockUnsynced => int((bucket.clock_known > 0).then_some(bucket.clock_unsynced)),
        Formula::BootCount => int((!bucket.boots.is_empty()).then_some(bucket.boots.len() as i64)),
        Formula::FirstAsOf => Value::TimestampUs(bucket.first_us),
        Formula::LastAsOf => Value::TimestampUs(bucket.last_us),
        Formula::IsFinal => {
            Value::Boolean(request.evaluated_at_us >= bucket.start_us + config.bucket_us() + GRACE_US)
        }
    }
}

fn expected_count(bucket: &Bucket, config: RollupConfig) -> i64 {
    let interval = bucket.sample_interval_seconds.unwrap_or_else(|| config.sample_interval_seconds().into());
    let bucket_seconds = i64::from(config.interval_minutes()) * 60;
    bucket_seconds.checked_div(interval).unwrap_or(1).max(1)
}

fn rate(growth: Growth, per_byte: f64) -> Option<f64> {
    let per_microsecond = per_byte * MICROS_PER_SECOND as f64 * growth.bytes as f64;
    (growth.covered_us > 0).then(|| per_microsecond / growth.covered_us as f64)
}

fn float(value: Option<f64>) -> Value<'static> {
    value.map_or(Value::Null, Value::Float64)
}

fn int(value: Option<i64>) -> Value<'static> {
    value.map_or(Value::Null, Value::Int64)
}

impl Cells {
    fn new(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Int32 => Cells::Int32(Vec::new()),
            ColumnType::Int64 => Cells::Int64(Vec::new()),
            ColumnType::Float64 => Cells::Float64(Vec::new()),
            ColumnType::Boolean => Cells::Boolean(Vec::new()),
            ColumnType::String => Cells::String(Vec::new()),
            ColumnType::TimestampUs => Cells::TimestampUs(Vec::new()),
        }
    }

    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Cells::Int32(cells), value) => cells.push(match value {
                Value::Int32(value) => Some(value),
                _ => None,
            }),
            (Cells::Int64(cells), value) => cells.push(match value {
                Value::Int64(value) => Some(value),
                _ => None,
            }),
            (Cells::Float64(cells), value) => cells.push(match value {
                Value::Float64(value) => Some(value),
                _ => None,
            }),
            (Cells::Boolean(cells), value) => cells.push(match value {
                Value::Boolean(value) => Some(value),
                _ => None,
            }),
            (Cells::String(cells), value) => cells.push(match value {
                Value::String(value) => Some(value.into_owned()),
                _ => None,
            }),
            (Cells::TimestampUs(cells), value) => cells.push(match value {
                Value::TimestampUs(value) => Some(value),
                _ => None,
            }),
        }
    }

    fn into_column(self, name: &str) -> Result<Series, EngineError> {
        let name = name.into();
        Ok(match self {
            Cells::Int32(cells) => Int32Chunked::from_iter_options(name, cells.into_iter()).into_column(),
            Cells::Int64(cells) => Int64Chunked::from_iter_options(name, cells.into_iter()).into_column(),
            Cells::Float64(cells) => Float64Chunked::from_iter_options(name, cells.into_iter()).into_column(),
            Cells::Boolean(cells) => BooleanChunked::from_iter_options(name, cells.into_iter()).into_column(),
            Cells::String(cells) => StringChunked::from_iter_options(name, cells.into_iter()).into_column(),
            Cells::TimestampUs(cells) => Int64Chunked::from_iter_options(name, cells.into_iter())
                .into_datetime(TimeUnit::Microseconds, TimeZone::opt_try_new(Some("UTC"))?)
                .into_series()
                .into_column(),
        })
    }
}
