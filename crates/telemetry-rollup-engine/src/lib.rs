//! Computes Gold from Silver: columns in, columns out, no I/O and no clock.
//!
//! [`rollup`] is one pass over the samples of each host in time order. It never sorts what lies in
//! order already: files become runs, runs of a host follow each other, and only where they overlap
//! (late files, duplicates) are rows gathered and sorted. Which Gold column is made how stands in
//! `telemetry_schema`'s rollup table; [`plan`](self) turns the table into positions once.
//!
//! A date is computed from the samples in `[from - reach, to + reach)` ([`RollupConfig::reach_us`])
//! and, for a host without a sample in the first stretch, from its last sample before: pairs of
//! consecutive samples are all that the formulas ever look at.

mod batch;
mod bucket;
mod config;
mod counters;
mod merge;
mod output;
mod pass;
mod plan;

/// The columns that go in and out.
pub use polars::prelude::DataFrame;
use thiserror::Error;

pub use config::{ConfigError, FORMULA_VERSION, GRACE_US, RollupConfig};

use batch::Batches;
use output::Output;
use pass::HostPass;
use plan::Plan;

/// What to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupRequest {
    /// First bucket start, microseconds since 1970; a multiple of the bucket's width.
    pub from_us: i64,
    /// End of the last bucket, exclusive.
    pub to_us: i64,
    /// The time of the run, which alone decides `is_final`.
    pub evaluated_at_us: i64,
}

/// The rollup of a range.
#[derive(Debug)]
pub struct Rollup {
    /// Gold rows with the columns of `HOST_METRICS_ROLLUP`, sorted by host and bucket.
    pub rows: DataFrame,
    /// Silver rows that have no place because `host_id` or `as_of` is null.
    pub unusable_rows: u64,
}

/// Why a rollup could not be computed.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The samples lack a column or have it in another type.
    #[error("samples need a column {column} of type {expected}")]
    Column {
        /// Name of the column.
        column: &'static str,
        /// Its type in the contract.
        expected: telemetry_schema::ColumnType,
    },
    /// Polars refused a column that the engine made.
    #[error("cannot make the rollup's data frame")]
    Frame(#[from] polars::prelude::PolarsError),
}

/// Rolls up samples. Each frame holds the columns of
/// `telemetry_schema::host_metrics_rollup::silver_columns()` (others are ignored), in any order of
/// rows; frames sorted by (`host_id`, `as_of`) are cheapest.
pub fn rollup(
    samples: &[DataFrame],
    request: RollupRequest,
    config: RollupConfig,
) -> Result<Rollup, EngineError> {
    let plan = Plan::new();
    let batches = Batches::read(samples, &plan)?;
    let mut output = Output::new(&plan);
    for host in merge::runs_by_host(&batches, &plan) {
        let mut pass = HostPass::new(&plan, &batches.texts, request, config);
        for stretch in host.stretches(&batches, &plan) {
            pass.consume(&stretch);
        }
        output.push_host(&batches.texts, host.host, pass.finish(), request, config);
    }
    Ok(Rollup { rows: output.into_frame()?, unusable_rows: batches.unusable_rows })
}
