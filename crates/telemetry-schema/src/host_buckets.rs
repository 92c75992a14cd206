//! What passes from those who read rollups to those who decide on them, neither of which knows the other.

/// The final buckets of one host as plain columns: one entry of each list a bucket, in time order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostBuckets {
    /// Their ends, microseconds since 1970.
    pub ends_us: Vec<i64>,
    /// The shares of the samples that were expected, 0 to 1.
    pub coverage: Vec<Option<f64>>,
    /// Their last samples, microseconds since 1970.
    pub last_samples_us: Vec<i64>,
    /// The values of columns of `ops_host_metrics_5m_rollup`; which ones, and in which order, is agreed
    /// between the two.
    pub columns: Vec<Vec<Option<f64>>>,
}
