//! The tables against themselves, and what the macros make of them.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use chrono::DateTime;
use proptest::prelude::*;
use telemetry_schema::host_metrics::{CpuReading, HostMetricsReadings, NetworkReading, names};
use telemetry_schema::host_metrics_rollup::{DEDUPLICATION, EVIDENCE, silver_columns};
use telemetry_schema::{
    ColumnType, HOST_METRICS, HOST_METRICS_ROLLUP, HostAlert, HostMetricsRollup, HostMetricsSample, Kind,
    Presence, Row, Source, Unit, Value, datasets, missing_required, round_to_units, validate,
};

fn sample() -> HostMetricsSample {
    let mut values = vec![Value::Null; HOST_METRICS.columns.len()];
    values[0] = Value::TimestampUs(1_795_262_400_000_000);
    values[1] = Value::String("pi".into());
    HostMetricsSample::from_values(&values).unwrap()
}

#[test]
fn every_dataset_is_well_formed() {
    for dataset in datasets::ALL {
        let names: HashSet<&str> = dataset.columns.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), dataset.columns.len(), "{} names a column twice", dataset.name);
        assert_eq!(dataset.time_column().ty, ColumnType::TimestampUs);
        for column in dataset.columns {
            assert!(column.doc.trim().ends_with('.'), "{} needs a sentence", column.name);
            if matches!(column.source, Source::Measured(_)) {
                assert_ne!((column.kind, column.unit), (Kind::Counter, Unit::None), "{}", column.name);
            }
        }
    }
}

#[test]
fn names_end_with_their_unit() {
    for column in datasets::ALL.iter().flat_map(|dataset| dataset.columns) {
        let suffix = match column.unit {
            Unit::Percent => "_pct",
            Unit::Mebibytes => "_mb",
            Unit::Gibibytes => "_gb",
            Unit::Bytes => "_bytes",
            Unit::BytesPerSecond => "_rate_bytes",
            Unit::BitsPerSecond => "_rate_bps",
            Unit::Celsius => "_c",
            Unit::Megahertz => "_mhz",
            Unit::Seconds => "_seconds",
            Unit::None | Unit::Count => continue,
        };
        let stem = ["_avg", "_max", "_min", "_p95"].iter().find_map(|end| column.name.strip_suffix(end));
        assert!(stem.unwrap_or(column.name).ends_with(suffix), "{} is in {:?}", column.name, column.unit);
    }
}

#[test]
fn gold_reads_only_silver_columns() {
    let silver: HashSet<&str> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
    let read = silver_columns();
    for name in EVIDENCE.iter().chain(&DEDUPLICATION) {
        assert!(silver.contains(name) && read.contains(name), "{name}");
    }
    for column in HOST_METRICS_ROLLUP.columns {
        let Source::Rollup(formula) = column.source else { panic!("{} has no formula", column.name) };
        let text = format!("{formula:?}");
        if let Some(source) = text.split('"').nth(1) {
            assert!(read.contains(&source), "{} reads {source}", column.name);
        }
    }
}

#[test]
fn later_readings_win_value_by_value() {
    let network = |rx, tx, interfaces: Option<&str>| HostMetricsReadings {
        network: Some(NetworkReading {
            net_rx_bytes: rx,
            net_tx_bytes: tx,
            net_interfaces: interfaces.map(str::to_owned),
        }),
        ..HostMetricsReadings::default()
    };
    let mut merged = network(Some(1), Some(2), None);
    merged.merge(network(Some(10), None, Some("eth0")));
    merged.merge(HostMetricsReadings {
        cpu: Some(CpuReading {
            cpu_pct: Some(5.0),
            cpu_count_logical: None,
            cpu_freq_mhz: None,
            cpu_interval_seconds: None,
        }),
        ..HostMetricsReadings::default()
    });
    let mut row = sample();
    merged.apply_to(&mut row);
    assert_eq!((row.net_rx_bytes, row.net_tx_bytes), (Some(10), Some(2)));
    assert_eq!(row.net_interfaces.as_deref(), Some("eth0"));
    assert_eq!(row.cpu_pct, Some(5.0));
}

#[test]
fn a_required_value_that_breaks_its_rule_refuses_the_row() {
    type Spoil = fn(&mut HostMetricsSample);
    let cases: [(Spoil, &str); 7] = [
        (|row| row.cpu_pct = Some(100.01), "cpu_pct = 100.01 breaks the rule 0..100"),
        (|row| row.cpu_pct = Some(f64::NAN), "cpu_pct = NaN breaks the rule 0..100"),
        (|row| row.ram_used_mb = Some(-1), "ram_used_mb = -1 breaks the rule >= 0"),
        (|row| row.net_rx_bytes = Some(i64::MIN), "net_rx_bytes = -9223372036854775808 breaks the rule >= 0"),
        (|row| row.cpu_count_logical = Some(0), "cpu_count_logical = 0 breaks the rule >= 1"),
        (
            |row| row.host_id = "../x".into(),
            "host_id = \"../x\" breaks the rule [A-Za-z0-9][A-Za-z0-9._-]{0,62} without `__`",
        ),
        (
            |row| row.as_of = "2025-12-31T23:59:59.999Z".parse().unwrap(),
            "as_of = 2025-12-31T23:59:59.999+00:00 breaks the rule year 2026..9999, by a clock that is set",
        ),
    ];
    for (spoil, message) in cases {
        let mut row = sample();
        spoil(&mut row);
        assert_eq!(validate(&mut row).unwrap_err().to_string(), message);
    }
}

#[test]
fn an_optional_value_that_breaks_its_rule_becomes_null() {
    let mut row = sample();
    row.cpu_temp_c = Some(127.5);
    row.throttle_flags = Some("throttled".into());
    row.load_avg_1m = Some(f64::INFINITY);
    row.process_cpu_pct = Some(3.0);
    let broken: Vec<&str> = validate(&mut row).unwrap().iter().map(|violation| violation.column).collect();
    assert_eq!(broken, [names::cpu_temp_c, names::throttle_flags, names::load_avg_1m]);
    assert_eq!((row.cpu_temp_c, row.throttle_flags.clone(), row.load_avg_1m), (None, None, None));
    assert_eq!(row.process_cpu_pct, Some(3.0));
    assert!(validate(&mut row).unwrap().is_empty());
}

#[test]
fn missing_required_values_are_named() {
    let mut row = sample();
    row.os = Some("linux".into());
    row.arch = Some("x86_64".into());
    row.cpu_pct = Some(1.0);
    let missing = missing_required(&row);
    assert!(missing.contains(&names::net_rx_bytes) && missing.contains(&names::disk_root_free_gb));
    assert!(!missing.contains(&names::cpu_pct) && !missing.contains(&names::cpu_temp_c));
}

#[test]
fn values_are_rounded_by_their_unit() {
    let mut row = sample();
    row.cpu_pct = Some(12.345_678);
    row.disk_root_free_gb = Some(0.123_456);
    row.uptime_seconds = Some(1.000_4);
    row.load_avg_1m = Some(0.123_456);
    round_to_units(&mut row);
    assert_eq!((row.cpu_pct, row.disk_root_free_gb), (Some(12.35), Some(0.123)));
    assert_eq!((row.uptime_seconds, row.load_avg_1m), (Some(1.0), Some(0.123_456)));
}

#[test]
fn rows_serialize_with_nulls_and_utc() {
    let json = serde_json::to_value(sample()).unwrap();
    assert_eq!(json["as_of"], "2026-11-21T12:00:00Z");
    assert!(json["cpu_temp_c"].is_null());
    assert_eq!(json.as_object().unwrap().len(), HOST_METRICS.columns.len());
}

#[test]
fn cells_of_the_wrong_type_are_refused_by_name() {
    let mut values = vec![Value::Null; HOST_METRICS.columns.len()];
    let missing_key = HostMetricsSample::from_values(&values).unwrap_err();
    assert_eq!(missing_key.to_string(), "column as_of must be timestamp µs UTC, but the cell is Null");
    values[0] = Value::TimestampUs(0);
    values[1] = Value::Int64(5);
    let wrong = HostMetricsSample::from_values(&values).unwrap_err();
    assert_eq!((wrong.column, wrong.expected), ("host_id", ColumnType::String));
}

/// Any cell that a column can hold.
fn cell(ty: ColumnType, presence: Presence) -> BoxedStrategy<Value<'static>> {
    let some = match ty {
        ColumnType::Int32 => any::<i32>().prop_map(Value::Int32).boxed(),
        ColumnType::Int64 => any::<i64>().prop_map(Value::Int64).boxed(),
        ColumnType::Float64 => (-1e12..1e12f64).prop_map(Value::Float64).boxed(),
        ColumnType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ColumnType::String => ".{0,8}".prop_map(|text| Value::String(text.into())).boxed(),
        ColumnType::TimestampUs => (0..4_000_000_000_000_000i64).prop_map(Value::TimestampUs).boxed(),
    };
    match presence {
        Presence::Key => some,
        Presence::Required | Presence::Optional => prop_oneof![1 => Just(Value::Null), 3 => some].boxed(),
    }
}

fn cells<R: Row>() -> Vec<BoxedStrategy<Value<'static>>> {
    R::DATASET.columns.iter().map(|column| cell(column.ty, column.presence)).collect()
}

fn round_trip<R: Row>(values: &[Value<'static>]) {
    let row = R::from_values(values).unwrap();
    for (index, value) in values.iter().enumerate() {
        assert_eq!(&row.value(index), value);
    }
    assert!(row.value(values.len()).is_null());
}

proptest! {
    #[test]
    fn rows_keep_their_cells(
        silver in cells::<HostMetricsSample>(), gold in cells::<HostMetricsRollup>(), alert in cells::<HostAlert>(),
    ) {
        round_trip::<HostMetricsSample>(&silver);
        round_trip::<HostMetricsRollup>(&gold);
        round_trip::<HostAlert>(&alert);
    }

    #[test]
    fn what_passes_validation_passes_again(silver in cells::<HostMetricsSample>()) {
        let mut row = HostMetricsSample::from_values(&silver).unwrap();
        if validate(&mut row).is_ok() {
            prop_assert_eq!(validate(&mut row).unwrap(), vec![]);
            prop_assert!(DateTime::from_timestamp_micros(row.as_of.timestamp_micros()).is_some());
        }
    }
}
