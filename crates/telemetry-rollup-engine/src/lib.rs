//! Computes Gold from Silver: columns in, columns out, no I/O and no clock.
//!
//! A [`Partial`] is one pass over the samples of a range, each host's in time order. It never sorts
//! what lies in order already: files become runs, runs of a host follow each other, and only where
//! they overlap (late files, duplicates) are rows gathered and sorted. A file is read a row group at
//! a time, when its host's turn has come. [`rollup`] does all of it for samples in memory.
//!
//! Pairs of consecutive samples are all that the formulas ever look at; those across the ends of a
//! range are joined from the [`Ends`] of what lies around it.

mod batch;
mod config;
mod counters;
mod levels;
mod merge;
mod output;
mod partial;
mod pass;
mod plan;
mod source;
mod splice;
mod table;

use std::convert::Infallible;

/// The columns that go in and out.
pub use polars::prelude::DataFrame;
use thiserror::Error;

pub use config::{ConfigError, FORMULA_VERSION, GRACE_US, RollupConfig};
pub use partial::{Ends, Partial};
pub use source::Source;
pub use splice::{next_final_us, splice};

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
    /// A source that was said to be sorted is not; reading it as an unsorted one helps.
    #[error("source {source_number} is not sorted by host")]
    Unsorted {
        /// Its position in the list of sources.
        source_number: usize,
    },
    /// Polars refused a column that the engine made.
    #[error("cannot make the rollup's data frame")]
    Frame(#[from] polars::prelude::PolarsError),
}

/// Why a pass over sources ended early.
#[derive(Debug, Error)]
pub enum PassError<E> {
    /// A source could not be read.
    #[error("cannot read the samples")]
    Source(E),
    /// The samples could not be rolled up.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Rolls up samples in memory. Each frame holds the columns of
/// `telemetry_schema::host_metrics_rollup::silver_columns()` (others are ignored), in any order of
/// rows. For files, see [`Partial`].
pub fn rollup(
    samples: &[DataFrame],
    request: RollupRequest,
    config: RollupConfig,
) -> Result<Rollup, EngineError> {
    let sources = samples
        .iter()
        .map(|frame| Source::<Infallible>::unsorted(std::iter::once_with(|| Ok(frame.clone()))))
        .collect();
    let partial = Partial::compute(sources, request, config).map_err(|error| match error {
        PassError::Engine(error) => error,
        PassError::Source(never) => match never {},
    })?;
    let unusable_rows = partial.unusable_rows();
    Ok(Rollup { rows: partial.into_frame()?, unusable_rows })
}
