use telemetry_repository::{frame_from_rows, instants_us, numbers, texts};
use telemetry_schema::{HOST_METRICS_ROLLUP, HostAlert, HostMetricsRollup, Row, Value};

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
