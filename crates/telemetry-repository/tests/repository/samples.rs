//! Made-up samples that are as hard to compress as real ones: counters grow unevenly, temperatures
//! and loads wander, doubles have the decimals of their units.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_schema::host_metrics::names;
use telemetry_schema::{HOST_METRICS, HostMetricsSample, Row as _, Value, round_to_units};

pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// `count` samples ten seconds apart.
pub(crate) fn samples(host: &str, first: DateTime<Utc>, count: usize) -> Vec<HostMetricsSample> {
    let mut random = fastrand::Rng::with_seed(42);
    let mut last = sample(host, first);
    (0..count)
        .map(|index| {
            let jitter = TimeDelta::milliseconds(random.i64(0..40));
            last.as_of = first + TimeDelta::seconds(10 * index as i64) + jitter;
            wander(&mut last, &mut random, index);
            last.clone()
        })
        .collect()
}

fn wander(sample: &mut HostMetricsSample, random: &mut fastrand::Rng, index: usize) {
    let mut step = |value: &mut Option<f64>, width: f64, (low, high): (f64, f64)| {
        *value = value.map(|value| (value + width * (random.f64() - 0.5)).clamp(low, high));
    };
    step(&mut sample.cpu_pct, 6.0, (0.0, 100.0));
    step(&mut sample.cpu_temp_c, 1.0, (30.0, 90.0));
    step(&mut sample.load_avg_1m, 0.1, (0.0, 8.0));
    step(&mut sample.load_avg_5m, 0.02, (0.0, 8.0));
    step(&mut sample.load_avg_15m, 0.01, (0.0, 8.0));
    step(&mut sample.disk_root_free_gb, 0.002, (10.0, 20.0));
    sample.cpu_temp_c = sample.cpu_temp_c.map(|value| (value / 0.487).round() * 0.487);
    let load = |value: Option<f64>| value.map(|value| (value * 100.0).round() / 100.0);
    sample.load_avg_1m = load(sample.load_avg_1m);
    sample.load_avg_5m = load(sample.load_avg_5m);
    sample.load_avg_15m = load(sample.load_avg_15m);
    sample.cpu_freq_mhz = Some(if random.bool() { 1500.0 } else { 600.0 });
    sample.ram_used_mb = sample.ram_used_mb.map(|value| (value + random.i64(-6..=6)).clamp(400, 1500));
    sample.ram_available_mb = sample.ram_total_mb.zip(sample.ram_used_mb).map(|(total, used)| total - used);
    sample.net_rx_bytes = sample.net_rx_bytes.map(|value| value + random.i64(200..60_000));
    sample.net_tx_bytes = sample.net_tx_bytes.map(|value| value + random.i64(200..30_000));
    sample.disk_read_bytes = sample.disk_read_bytes.map(|value| value + 4096 * random.i64(0..3));
    sample.disk_write_bytes = sample.disk_write_bytes.map(|value| value + 4096 * random.i64(0..40));
    sample.process_count = Some(random.i64(148..156));
    sample.active_connections = Some(random.i64(3..9));
    sample.uptime_seconds = Some(86_400.12 + 10.0 * index as f64 + random.f64() * 0.04);
    sample.cpu_interval_seconds = Some(10.0 + random.f64() * 0.01);
    round_to_units(sample);
}

pub(crate) fn sample(host: &str, as_of: DateTime<Utc>) -> HostMetricsSample {
    HostMetricsSample {
        os: Some("linux".to_owned()),
        arch: Some("aarch64".to_owned()),
        cpu_pct: Some(12.5),
        cpu_count_logical: Some(4),
        ram_total_mb: Some(3793),
        ram_used_mb: Some(812),
        ram_available_mb: Some(2981),
        swap_total_mb: Some(199),
        swap_used_mb: Some(0),
        disk_root_total_gb: Some(28.963),
        disk_root_free_gb: Some(17.114),
        net_rx_bytes: Some(8_123_456_789),
        net_tx_bytes: Some(1_234_567_890),
        cpu_temp_c: Some(52.1),
        throttle_flags: Some("0x0".to_owned()),
        cpu_freq_mhz: Some(1500.0),
        boot_id: Some("0f3a6f64-6d0e-4a53-8b05-9d6f2e0d7c11".to_owned()),
        uptime_seconds: Some(86_400.12),
        sample_interval_seconds: Some(10),
        cpu_interval_seconds: Some(10.002),
        load_avg_1m: Some(0.31),
        load_avg_5m: Some(0.28),
        load_avg_15m: Some(0.22),
        process_count: Some(151),
        active_connections: Some(5),
        disk_read_bytes: Some(1_873_408_000),
        disk_write_bytes: Some(9_273_344_000),
        cpu_temp_source: Some("hwmon:cpu_thermal/temp1".to_owned()),
        net_interfaces: Some("eth0,wlan0".to_owned()),
        clock_synced: Some(true),
        ..keys_only(host, as_of)
    }
}

/// A row that says nothing but its key, so that a column added to the dataset needs no line here.
fn keys_only(host: &str, as_of: DateTime<Utc>) -> HostMetricsSample {
    let values = HOST_METRICS.columns.iter().map(|column| match column.name {
        names::as_of => Value::TimestampUs(as_of.timestamp_micros()),
        names::host_id => Value::String(host.into()),
        _ => Value::Null,
    });
    HostMetricsSample::from_values(&values.collect::<Vec<_>>()).unwrap()
}

/// Every path below a directory, relative to it, sorted; directories end with `/`.
pub(crate) fn tree(root: &Path) -> Vec<String> {
    fn walk(directory: &Path, root: &Path, paths: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let relative = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            if path.is_dir() {
                paths.push(format!("{relative}/"));
                walk(&path, root, paths);
            } else {
                paths.push(relative);
            }
        }
    }
    let mut paths = Vec::new();
    walk(root, root, &mut paths);
    paths.sort();
    paths
}

/// A lake directory that does not exist yet, in an existing temporary one.
pub(crate) fn temporary_lake() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let lake = directory.path().join("lake");
    (directory, lake)
}
