//! The final buckets of one host, as columns.

use telemetry_schema::HostBuckets;
use thiserror::Error;

/// The final buckets of one host in time order, one entry of each slice a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostTicks<'a> {
    pub(crate) host_id: &'a str,
    pub(crate) ends_us: &'a [i64],
    pub(crate) coverage: &'a [Option<f64>],
    pub(crate) last_samples_us: &'a [i64],
    pub(crate) columns: &'a [Vec<Option<f64>>],
}

/// Slices that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TicksError {
    /// A slice of another length.
    #[error("{what} has {got} entries, expected one for each of {expected} buckets")]
    Length {
        /// The slice.
        what: String,
        /// Its length.
        got: usize,
        /// Number of buckets.
        expected: usize,
    },
    /// Buckets that are not in time order, or one that is there twice.
    #[error("bucket {index} ends no later than the one before it, expected time order")]
    Order {
        /// Position of the bucket.
        index: usize,
    },
}

impl<'a> HostTicks<'a> {
    /// `buckets` has the columns of [`crate::RuleSet::columns`], in that order.
    pub(crate) fn new(host_id: &'a str, buckets: &'a HostBuckets) -> Result<Self, TicksError> {
        let HostBuckets { ends_us, coverage, last_samples_us, columns } = buckets;
        let lengths =
            [("coverage".to_owned(), coverage.len()), ("last samples".to_owned(), last_samples_us.len())];
        let of_columns =
            columns.iter().enumerate().map(|(index, values)| (format!("column {index}"), values.len()));
        for (what, got) in lengths.into_iter().chain(of_columns) {
            if got != ends_us.len() {
                return Err(TicksError::Length { what, got, expected: ends_us.len() });
            }
        }
        match ends_us.windows(2).position(|pair| pair[0] >= pair[1]) {
            Some(index) => Err(TicksError::Order { index: index + 1 }),
            None => Ok(Self { host_id, ends_us, coverage, last_samples_us, columns }),
        }
    }

    /// A host of which nothing is known.
    pub(crate) fn none(host_id: &'a str) -> Self {
        Self { host_id, ends_us: &[], coverage: &[], last_samples_us: &[], columns: &[] }
    }

    pub(crate) fn value(&self, column: usize, index: usize) -> Option<f64> {
        *self.columns.get(column)?.get(index)?
    }

    /// Position of the first bucket that ends after the instant.
    pub(crate) fn after(&self, instant_us: i64) -> usize {
        self.ends_us.partition_point(|end_us| *end_us <= instant_us)
    }
}
