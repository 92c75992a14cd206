use telemetry_repository::{FinalBuckets, frame_from_rows, instants_us, numbers, texts};
use telemetry_schema::{HOST_METRICS_ROLLUP, HostAlert, HostBuckets, HostMetricsRollup, Row, Value};

use crate::samples::{instant, temporary_lake};

fn event(host: &str, at: &str, id: &str) -> HostAlert {
    let mut values = vec![Value::Null; HostAlert::DATASET.columns.len()];
    values[0] = Value::TimestampUs(instant(at).timestamp_micros());
    values[1] = Value::String(host.to_owned().into());
    values[6] = Value::String(id.to_owned().into());
    HostAlert::from_values(&values).unwrap()
}

#[test]
fn events_are_appended_by_date_and_read_again() {
    let (_keep, root) = temporary_lake();
    let alerts = telemetry_repository::Lake::new(&root).host_alerts();
    assert_eq!(alerts.append(&[]).unwrap(), Vec::<std::path::PathBuf>::new());
    assert!(!root.exists(), "nothing to store touched the disk");
    let events = [
        event("pi", "2026-11-21T00:05:00Z", "c"),
        event("pi", "2026-11-20T23:55:00Z", "b"),
        event("nas", "2026-11-20T23:57:00Z", "a"),
    ];
    let files = alerts.append(&events).unwrap();
    let name = |index: usize| files[index].file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name(0).starts_with("@all__20261120T235500Z__20261120T235700Z__r2__"), "{files:?}");
    assert!(name(1).starts_with("@all__20261121T000500Z__20261121T000500Z__r1__"), "{files:?}");
    let on = |date: &str| -> Vec<HostAlert> {
        let files = alerts.store().files_on(date.parse().unwrap()).unwrap();
        files.iter().flat_map(|file| alerts.read(file).unwrap()).collect()
    };
    assert_eq!(on("2026-11-20"), [events[2].clone(), events[1].clone()]);
    assert_eq!(on("2026-11-21"), [events[0].clone()]);

    let again = alerts.append(&events[..1]).unwrap();
    assert!(files.iter().all(|file| file.exists()) && again[0] != files[1]);
    assert_eq!(on("2026-11-21").len(), 2);
    assert_eq!(on("2026-11-22"), []);
}

#[test]
fn final_buckets_come_by_host_and_in_time_order() {
    let bucket = |host: &str, minute: i64, is_final: bool| {
        let mut values = vec![Value::Null; HOST_METRICS_ROLLUP.columns.len()];
        values[0] = Value::TimestampUs(minute * 60_000_000);
        values[1] = Value::String(host.to_owned().into());
        let mut row = HostMetricsRollup::from_values(&values).unwrap();
        (row.is_final, row.coverage, row.cpu_pct_avg) = (Some(is_final), Some(0.5), Some(minute as f64));
        row.last_as_of = (minute > 0).then(|| row.bucket_start + chrono::TimeDelta::seconds(9));
        row
    };
    let mut buckets = FinalBuckets::new(300_000_000, &["cpu_pct_avg", "coverage"]);
    let columns = buckets.needed_columns();
    for rows in [
        vec![bucket("nas", 0, true), bucket("nas", 5, false), bucket("pi", 5, true), bucket("pi", 10, true)],
        vec![bucket("pi", 15, true), bucket("router", 15, false)],
    ] {
        buckets.add(&frame_from_rows(&rows).select(columns.clone()).unwrap()).unwrap();
    }
    let pi = HostBuckets {
        ends_us: vec![600_000_000, 900_000_000, 1_200_000_000],
        coverage: vec![Some(0.5); 3],
        last_samples_us: vec![309_000_000, 609_000_000, 909_000_000],
        columns: vec![vec![Some(5.0), Some(10.0), Some(15.0)], vec![Some(0.5); 3]],
    };
    let nas = HostBuckets {
        ends_us: vec![300_000_000],
        coverage: vec![Some(0.5)],
        last_samples_us: vec![0],
        columns: vec![vec![Some(0.0)], vec![Some(0.5)]],
    };
    assert_eq!(buckets.hosts().collect::<Vec<_>>(), [("nas", &nas), ("pi", &pi)]);
    let frame = frame_from_rows(&[bucket("pi", 20, true)]);
    let error = FinalBuckets::of(&frame, 300_000_000, &["cpu_pct"]).unwrap_err().to_string();
    assert!(error.contains("cpu_pct"), "{error}");
}

#[test]
fn columns_are_read_as_plain_values() {
    let mut values = vec![Value::Null; HOST_METRICS_ROLLUP.columns.len()];
    values[0] = Value::TimestampUs(300_000_000);
    values[1] = Value::String("pi".into());
    let mut row = HostMetricsRollup::from_values(&values).unwrap();
    let empty = row.clone();
    (row.cpu_pct_avg, row.sample_count, row.throttle_sticky_new) =
        (Some(1.5), Some(30), Some("0x50000".into()));
    let frame = frame_from_rows(&[row, empty]);
    assert_eq!(numbers(&frame, "cpu_pct_avg").unwrap(), [Some(1.5), None]);
    assert_eq!(numbers(&frame, "sample_count").unwrap(), [Some(30.0), None]);
    assert_eq!(numbers(&frame, "throttle_sticky_new").unwrap(), [Some(327_680.0), None]);
    assert_eq!(numbers(&frame, "host_id").unwrap(), [None, None]);
    assert_eq!(instants_us(&frame, "bucket_start").unwrap(), [Some(300_000_000); 2]);
    assert_eq!(texts(&frame, "host_id").unwrap(), [Some("pi"); 2]);
    assert!(numbers(&frame, "is_final").unwrap_err().to_string().contains("is_final"));
    assert!(texts(&frame, "cpu_pct").unwrap_err().to_string().contains("cpu_pct"));
}
