//! The worked examples of the contract: one host, the bucket 12:00 to 12:05, a sample every 10 s at
//! :03 seconds, 12,500 received bytes each.
#![allow(clippy::unwrap_used)]

mod support;

use support::{MINUTE_US, NOON_US, SECOND_US, frame, gold_rows, instant, sample};
use telemetry_rollup_engine::{RollupConfig, RollupRequest, rollup};
use telemetry_schema::{HostMetricsRollup, HostMetricsSample};

const STEP: i64 = 12_500;
const UPTIME_AT_NOON: f64 = 90_000.0;

/// Samples from 11:50 to 12:15.
fn steady() -> Vec<HostMetricsSample> {
    (-60..90)
        .map(|step| {
            let us = NOON_US + (3 + 10 * step) * SECOND_US;
            let mut row = sample("pi", us);
            row.boot_id = Some("boot-a".into());
            row.uptime_seconds = Some(UPTIME_AT_NOON + (3 + 10 * step) as f64);
            row.net_rx_bytes = Some(10_000_000 + STEP * step);
            row.net_tx_bytes = Some(1_000);
            row.net_interfaces = Some("eth0".into());
            row
        })
        .collect()
}

fn at(minute: i64, second: i64) -> i64 {
    NOON_US + minute * MINUTE_US + second * SECOND_US
}

fn roll(rows: &[HostMetricsSample]) -> Vec<HostMetricsRollup> {
    let request = RollupRequest {
        from_us: NOON_US,
        to_us: NOON_US + 10 * MINUTE_US,
        evaluated_at_us: NOON_US + 60 * MINUTE_US,
    };
    gold_rows(&rollup(&[frame(rows)], request, RollupConfig::default()).unwrap().rows)
}

/// Bucket of the minute: bytes, covered seconds, rate.
#[track_caller]
fn check(rows: &[HostMetricsRollup], minute: i64, bytes: i64, covered: f64, rate: f64) {
    let row = rows.iter().find(|row| row.bucket_start == instant(at(minute, 0))).unwrap();
    assert_eq!(row.net_rx_bytes, Some(bytes));
    assert_eq!(row.net_rx_covered_seconds, Some(covered));
    let got = row.net_rx_rate_bps_avg.unwrap();
    assert!((got - rate).abs() < 0.05, "{got} bps instead of {rate}");
}

#[test]
fn steady_traffic() {
    let rows = roll(&steady());
    assert_eq!(rows.len(), 2);
    check(&rows, 0, 375_000, 300.0, 10_000.0);
    check(&rows, 5, 375_000, 300.0, 10_000.0);
    assert_eq!(
        (rows[0].sample_count, rows[0].expected_count, rows[0].coverage),
        (Some(30), Some(30), Some(1.0))
    );
    assert_eq!((rows[0].boot_count, rows[0].net_reset_count), (Some(1), Some(0)));
    assert_eq!(rows[0].first_as_of, Some(instant(at(0, 3))));
    assert_eq!(rows[0].last_as_of, Some(instant(at(4, 53))));
    assert_eq!(rows[0].net_tx_bytes, Some(0));
    assert_eq!(rows[0].net_tx_rate_bps_avg, Some(0.0));
}

#[test]
fn reboot() {
    let booted = at(2, 33);
    let rows: Vec<_> = steady()
        .into_iter()
        .filter(|row| !(at(2, 4)..at(3, 13)).contains(&row.as_of.timestamp_micros()))
        .map(|mut row| {
            let us = row.as_of.timestamp_micros();
            if us > booted {
                row.boot_id = Some("boot-b".into());
                row.uptime_seconds = Some((us - booted) as f64 / 1e6);
                row.net_rx_bytes = Some(200_000 + (us - at(3, 13)) / (10 * SECOND_US) * STEP);
            }
            row
        })
        .collect();
    let rows = roll(&rows);
    check(&rows, 0, 487_500, 270.0, 14_444.4);
    assert_eq!(rows[0].boot_count, Some(2));
    assert_eq!(rows[0].net_reset_count, Some(0));
}

#[test]
fn counter_falls_within_a_boot() {
    let mut rows = steady();
    for row in &mut rows {
        if row.as_of.timestamp_micros() >= at(2, 3) {
            let steps = (row.as_of.timestamp_micros() - at(2, 3)) / (10 * SECOND_US);
            row.net_rx_bytes = Some(1_000 + steps * STEP);
        }
    }
    let rows = roll(&rows);
    check(&rows, 0, 362_500, 290.0, 10_000.0);
    assert_eq!(rows[0].net_reset_count, Some(1));
}

#[test]
fn collector_off_for_longer_than_the_gap() {
    let off = at(1, 4)..at(8, 3);
    let rows: Vec<_> =
        steady().into_iter().filter(|row| !off.contains(&row.as_of.timestamp_micros())).collect();
    let rows = roll(&rows);
    check(&rows, 0, 63 * 1_250, 63.0, 10_000.0);
    check(&rows, 5, 117 * 1_250, 117.0, 10_000.0);
}

#[test]
fn gap_of_240_seconds() {
    let off = at(3, 4)..at(7, 3);
    let rows: Vec<_> =
        steady().into_iter().filter(|row| !off.contains(&row.as_of.timestamp_micros())).collect();
    let rows = roll(&rows);
    check(&rows, 0, 375_000, 300.0, 10_000.0);
    check(&rows, 5, 375_000, 300.0, 10_000.0);
}

#[test]
fn one_pair_only() {
    let mut rows: Vec<_> = steady()
        .into_iter()
        .filter(|row| (at(2, 0)..at(2, 20)).contains(&row.as_of.timestamp_micros()))
        .collect();
    rows[1].net_rx_bytes = rows[0].net_rx_bytes.map(|bytes| bytes + 1_250_000);
    check(&roll(&rows), 0, 1_250_000, 10.0, 1_000_000.0);
}

#[test]
fn a_bucket_is_final_ten_minutes_after_its_end() {
    let rows = [frame(&steady())];
    let is_final = |run_us: i64| {
        let request = RollupRequest { from_us: NOON_US, to_us: at(5, 0), evaluated_at_us: run_us };
        gold_rows(&rollup(&rows, request, RollupConfig::default()).unwrap().rows)[0].is_final
    };
    assert_eq!(is_final(at(15, 0) - 1), Some(false));
    assert_eq!(is_final(at(15, 0)), Some(true));
}

#[test]
fn sticky_bits_count_when_they_rise() {
    let mut rows = steady();
    for row in &mut rows {
        let us = row.as_of.timestamp_micros();
        row.throttle_flags = Some(
            match us {
                us if us < at(1, 0) => "0x10000",
                us if us < at(2, 0) => "0x50005",
                _ => "0x50000",
            }
            .into(),
        );
    }
    let rows = roll(&rows);
    assert_eq!(rows[0].throttle_sticky_new.as_deref(), Some("0x40000"));
    assert_eq!(rows[0].undervoltage_samples, Some(6));
    assert_eq!(rows[0].throttled_samples, Some(6));
    assert_eq!(rows[1].throttle_sticky_new.as_deref(), Some("0x0"));
    assert_eq!(rows[1].throttled_samples, Some(0));
}

#[test]
fn a_column_of_another_type_is_an_error_that_names_it() {
    let mut frame = frame(&steady());
    let wrong = polars::prelude::Column::new("cpu_pct".into(), vec!["x"; frame.height()]);
    frame.replace("cpu_pct", wrong).unwrap();
    let request = RollupRequest { from_us: NOON_US, to_us: at(5, 0), evaluated_at_us: NOON_US };
    let error = rollup(&[frame], request, RollupConfig::default()).unwrap_err();
    assert_eq!(error.to_string(), "samples need a column cpu_pct of type double");
}
