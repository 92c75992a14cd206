//! The contract of the data: every dataset is one table of columns, and this is the only crate that
//! spells their names.
//!
//! A table ([`datasets`]) has one line a column; a macro makes the row struct, the static
//! [`Dataset`] and, for measured datasets, one reading struct per provider group from it. Parquet
//! schemas, validation, the rollup plan and `docs/datasets.md` are derived from the [`Dataset`].
//!
//! `mb` is 1024² bytes and `gb` is 1024³ bytes everywhere, `bps` is bits per second, times are UTC.
//! Null means *not measured* and is never written as zero.

mod dataset;
pub mod datasets;
mod host_buckets;
mod host_id;
mod table;
mod validate;
mod value;

pub use dataset::{Column, ColumnType, Dataset, Formula, Kind, Layer, Presence, Rule, Source, Unit};
pub use datasets::host_alerts::{self, HOST_ALERTS, HostAlert};
pub use datasets::host_metrics::{self, HOST_METRICS, HostMetricsSample};
pub use datasets::host_metrics_rollup::{self, HOST_METRICS_ROLLUP, HostMetricsRollup};
pub use host_buckets::HostBuckets;
pub use host_id::{HostId, HostIdError};
pub use validate::{FIRST_MEASURED_US, Violation, missing_required, round_to_units, validate};
pub use value::{Cell, Row, RowError, Value};

/// Microseconds in a second, the unit of every timestamp column.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in a UTC day, the unit of partitioning.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
