//! Gold: what a host's samples say of one bucket of time.
//!
//! Each line names its formula and the Silver column that it reads, so a further rollup column is
//! one line here.

use chrono::{DateTime, Utc};

use crate::Rule::{Any, AtLeast, HexWord, HostId, Instant, Within};
use crate::Source::Rollup;
use crate::dataset::Formula;
use crate::host_metrics::names as silver;

crate::table::dataset! {
    /// One row per host and bucket that has at least one sample.
    HostMetricsRollup, HOST_METRICS_ROLLUP = "ops_host_metrics_5m_rollup", Gold, version 1;

    /// Start of the bucket, a multiple of its width since 1970.
    bucket_start: DateTime<Utc>, Key, Label, None, Instant, Rollup(Formula::BucketStart);
    /// The host.
    host_id: String, Key, Label, None, HostId, Rollup(Formula::HostId);
    /// Mean of `cpu_pct`.
    cpu_pct_avg: f64, Optional, Gauge, Percent, Within(0.0, 100.0), Rollup(Formula::Average(silver::cpu_pct));
    /// 95th percentile of `cpu_pct`, linear between neighbours.
    cpu_pct_p95: f64, Optional, Gauge, Percent, Within(0.0, 100.0), Rollup(Formula::Percentile95(silver::cpu_pct));
    /// Largest `cpu_pct`.
    cpu_pct_max: f64, Optional, Gauge, Percent, Within(0.0, 100.0), Rollup(Formula::Max(silver::cpu_pct));
    /// Mean of `ram_used_mb`.
    ram_used_mb_avg: f64, Optional, Gauge, Mebibytes, AtLeast(0), Rollup(Formula::Average(silver::ram_used_mb));
    /// Largest `ram_used_mb`.
    ram_used_mb_max: i64, Optional, Gauge, Mebibytes, AtLeast(0), Rollup(Formula::Max(silver::ram_used_mb));
    /// Smallest `disk_root_free_gb`.
    disk_root_free_gb_min: f64, Optional, Gauge, Gibibytes, AtLeast(0), Rollup(Formula::Min(silver::disk_root_free_gb));
    /// Largest `cpu_temp_c`; null where the host has no sensor.
    cpu_temp_c_max: f64, Optional, Gauge, Celsius, Within(0.0, 120.0), Rollup(Formula::Max(silver::cpu_temp_c));
    /// Bits received per covered second.
    net_rx_rate_bps_avg: f64, Optional, Gauge, BitsPerSecond, AtLeast(0), Rollup(Formula::BitRate(silver::net_rx_bytes));
    /// Bits sent per covered second.
    net_tx_rate_bps_avg: f64, Optional, Gauge, BitsPerSecond, AtLeast(0), Rollup(Formula::BitRate(silver::net_tx_bytes));
    /// Largest `ram_total_mb`.
    ram_total_mb_max: i64, Optional, Gauge, Mebibytes, AtLeast(0), Rollup(Formula::Max(silver::ram_total_mb));
    /// Smallest `ram_available_mb`.
    ram_available_mb_min: i64, Optional, Gauge, Mebibytes, AtLeast(0), Rollup(Formula::Min(silver::ram_available_mb));
    /// Largest `swap_total_mb`.
    swap_total_mb_max: i64, Optional, Gauge, Mebibytes, AtLeast(0), Rollup(Formula::Max(silver::swap_total_mb));
    /// Largest `swap_used_mb`.
    swap_used_mb_max: i64, Optional, Gauge, Mebibytes, AtLeast(0), Rollup(Formula::Max(silver::swap_used_mb));
    /// Largest `disk_root_total_gb`.
    disk_root_total_gb_max: f64, Optional, Gauge, Gibibytes, AtLeast(0), Rollup(Formula::Max(silver::disk_root_total_gb));
    /// Received bytes that are credited to the bucket; null where nothing is covered.
    net_rx_bytes: i64, Optional, Gauge, Bytes, AtLeast(0), Rollup(Formula::CounterGrowth(silver::net_rx_bytes));
    /// Sent bytes that are credited to the bucket; null where nothing is covered.
    net_tx_bytes: i64, Optional, Gauge, Bytes, AtLeast(0), Rollup(Formula::CounterGrowth(silver::net_tx_bytes));
    /// Seconds of the bucket over which the received bytes are known.
    net_rx_covered_seconds: f64, Optional, Gauge, Seconds, AtLeast(0), Rollup(Formula::CounterCoveredSeconds(silver::net_rx_bytes));
    /// Seconds of the bucket over which the sent bytes are known.
    net_tx_covered_seconds: f64, Optional, Gauge, Seconds, AtLeast(0), Rollup(Formula::CounterCoveredSeconds(silver::net_tx_bytes));
    /// How often a network counter fell within one boot, receive and transmit each.
    net_reset_count: i64, Optional, Gauge, Count, AtLeast(0), Rollup(Formula::NetworkResets);
    /// Bytes read from disks per covered second.
    disk_read_rate_bytes_avg: f64, Optional, Gauge, BytesPerSecond, AtLeast(0), Rollup(Formula::ByteRate(silver::disk_read_bytes));
    /// Bytes written to disks per covered second.
    disk_write_rate_bytes_avg: f64, Optional, Gauge, BytesPerSecond, AtLeast(0), Rollup(Formula::ByteRate(silver::disk_write_bytes));
    /// Samples in the bucket, after de-duplication.
    sample_count: i64, Required, Gauge, Count, AtLeast(1), Rollup(Formula::SampleCount);
    /// Samples that the schedule promises for the bucket.
    expected_count: i64, Required, Gauge, Count, AtLeast(1), Rollup(Formula::ExpectedCount);
    /// `min(1, sample_count / expected_count)`.
    coverage: f64, Required, Gauge, None, Within(0.0, 1.0), Rollup(Formula::Coverage);
    /// Rows that de-duplication dropped.
    duplicate_count: i64, Required, Gauge, Count, AtLeast(0), Rollup(Formula::DuplicateCount);
    /// Samples with under-voltage at that moment; null if the host has no throttle word.
    undervoltage_samples: i64, Optional, Gauge, Count, AtLeast(0), Rollup(Formula::ThrottleBits(0b0001));
    /// Samples with a capped or throttled clock or at the soft temperature limit; null if the host has no throttle word.
    throttled_samples: i64, Optional, Gauge, Count, AtLeast(0), Rollup(Formula::ThrottleBits(0b1110));
    /// Sticky bits 16 to 19 that rose within one boot, as hexadecimal; null if the host has no throttle word.
    throttle_sticky_new: String, Optional, Label, None, HexWord, Rollup(Formula::ThrottleStickyNew);
    /// Samples whose clock was not synchronised.
    clock_unsynced_samples: i64, Optional, Gauge, Count, AtLeast(0), Rollup(Formula::ClockUnsynced);
    /// Distinct boots that samples came from.
    boot_count: i64, Optional, Gauge, Count, AtLeast(0), Rollup(Formula::BootCount);
    /// Instant of the first sample.
    first_as_of: DateTime<Utc>, Required, Label, None, Instant, Rollup(Formula::FirstAsOf);
    /// Instant of the last sample.
    last_as_of: DateTime<Utc>, Required, Label, None, Instant, Rollup(Formula::LastAsOf);
    /// Whether the run was at least 10 minutes after the end of the bucket.
    is_final: bool, Required, Label, None, Any, Rollup(Formula::IsFinal);
}

/// The dataset's name for buckets of that many minutes.
pub fn dataset_name(interval_minutes: u32) -> String {
    format!("ops_host_metrics_{interval_minutes}m_rollup")
}

/// Silver columns that the formulas need besides those they name: keys, evidence for resets, the
/// schedule, and flags.
pub const EVIDENCE: [&str; 9] = [
    silver::host_id,
    silver::as_of,
    silver::boot_id,
    silver::uptime_seconds,
    silver::sample_interval_seconds,
    silver::net_interfaces,
    silver::net_rx_bytes,
    silver::net_tx_bytes,
    silver::throttle_flags,
];

/// De-duplication keeps the row that comes first by these Silver columns, descending, nulls last;
/// ties are broken by the other columns that Gold reads, in schema order.
pub const DEDUPLICATION: [&str; 6] = [
    silver::uptime_seconds,
    silver::net_rx_bytes,
    silver::net_tx_bytes,
    silver::cpu_pct,
    silver::ram_used_mb,
    silver::boot_id,
];

/// The Silver columns that Gold reads, in schema order.
pub fn silver_columns() -> Vec<&'static str> {
    let read: Vec<&str> =
        HOST_METRICS_ROLLUP.columns.iter().flat_map(|column| formula_source(&column.source)).collect();
    crate::HOST_METRICS
        .columns
        .iter()
        .map(|column| column.name)
        .filter(|name| EVIDENCE.contains(name) || read.contains(name))
        .collect()
}

fn formula_source(source: &crate::Source) -> Option<&'static str> {
    let Rollup(formula) = source else { return None };
    match *formula {
        Formula::Average(column)
        | Formula::Percentile95(column)
        | Formula::Max(column)
        | Formula::Min(column)
        | Formula::CounterGrowth(column)
        | Formula::CounterCoveredSeconds(column)
        | Formula::BitRate(column)
        | Formula::ByteRate(column) => Some(column),
        Formula::ClockUnsynced => Some(silver::clock_synced),
        Formula::ThrottleBits(_) | Formula::ThrottleStickyNew => Some(silver::throttle_flags),
        Formula::BootCount => Some(silver::boot_id),
        Formula::ExpectedCount => Some(silver::sample_interval_seconds),
        Formula::NetworkResets => Some(silver::net_interfaces),
        Formula::BucketStart
        | Formula::HostId
        | Formula::SampleCount
        | Formula::Coverage
        | Formula::DuplicateCount
        | Formula::FirstAsOf
        | Formula::LastAsOf
        | Formula::IsFinal => None,
    }
}
