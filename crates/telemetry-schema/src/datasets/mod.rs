//! The tables: one file a dataset.

pub mod host_alerts;
pub mod host_metrics;
pub mod host_metrics_rollup;

use crate::Dataset;

/// Every dataset of the lake.
pub static ALL: [&Dataset; 3] =
    [&host_metrics::HOST_METRICS, &host_metrics_rollup::HOST_METRICS_ROLLUP, &host_alerts::HOST_ALERTS];
