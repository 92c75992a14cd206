use std::fs;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use proptest::prelude::*;
use telemetry_repository::{
    FileName, Lake, RepositoryError, Selection, frame_from_rows, keys, rows_from_frame,
};
use telemetry_schema::{HOST_METRICS, HostId, HostMetricsSample};

use crate::samples::{instant, sample, samples, temporary_lake, tree};

fn columns() -> Vec<&'static str> {
    HOST_METRICS.columns.iter().map(|column| column.name).collect()
}

fn read_all(lake: &Lake) -> Vec<HostMetricsSample> {
    let store = lake.host_metrics().store().clone();
    let files = store.files(&Selection::all()).unwrap();
    files.iter().flat_map(|file| rows_from_frame(&store.read(file, &columns()).unwrap()).unwrap()).collect()
}

#[test]
fn samples_come_back_as_they_went_in() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let stored = samples("pi", instant("2026-11-21T12:00:03Z"), 6);
    let appended = lake.host_metrics().append(&stored).unwrap();
    assert_eq!((appended.rows, appended.files.len(), appended.refused.len()), (6, 1, 0));
    assert_eq!(read_all(&lake), stored);

    let store = lake.host_metrics().store().clone();
    let file = &store.files(&Selection::all()).unwrap()[0];
    let FileName::Sample(name) = &file.name else { panic!("{file:?} has a foreign name") };
    assert_eq!((name.host.as_ref().unwrap().as_str(), name.rows), ("pi", 6));
    let footer = store.footer(file).unwrap();
    assert_eq!(footer.get(keys::DATASET), Some("ops_host_metrics"));
    assert_eq!((footer.rows, footer.row_groups, footer.schema_version()), (6, 1, Some(1)));
    let times = stored.iter().map(|sample| sample.as_of.timestamp_micros());
    assert_eq!(footer.time_range_us(), Some((times.clone().min().unwrap(), times.max().unwrap())));
}

#[test]
fn nothing_to_store_touches_nothing() {
    let (keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    assert_eq!(lake.host_metrics().append(&[]).unwrap(), Default::default());
    let mut nameless = sample("pi", instant("2026-11-21T12:00:00Z"));
    nameless.host_id = "../x".to_owned();
    let appended = lake.host_metrics().append(&[nameless]).unwrap();
    assert_eq!((appended.rows, appended.files.len(), appended.refused.len()), (0, 0, 1));
    assert!(lake.host_metrics().store().files(&Selection::all()).unwrap().is_empty());
    lake.clean_staging(instant("2026-11-21T12:00:00Z")).unwrap();
    assert_eq!(tree(keep.path()), [""; 0]);
}

#[test]
fn rules_refuse_samples_and_null_values() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let mut given = samples("pi", instant("2026-11-21T12:00:00Z"), 5);
    given[0].cpu_pct = Some(f64::NAN);
    given[1].ram_total_mb = Some(-1);
    given[2].cpu_temp_c = Some(250.0);
    given[2].throttle_flags = Some("none".to_owned());
    given[3].cpu_pct = None;
    given[4].host_id = String::new();
    let appended = lake.host_metrics().append(&given).unwrap();
    let refused: Vec<&str> = appended.refused.iter().map(|refused| refused.violation.column).collect();
    assert_eq!(refused, ["cpu_pct", "ram_total_mb", "host_id"]);
    let nulled: Vec<&str> = appended.nulled.iter().map(|nulled| nulled.violation.column).collect();
    assert_eq!(nulled, ["cpu_temp_c", "throttle_flags"]);
    given[2].cpu_temp_c = None;
    given[2].throttle_flags = None;
    assert_eq!(read_all(&lake), [given[2].clone(), given[3].clone()]);
}

#[test]
fn a_file_never_crosses_midnight_and_is_sorted() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let mut given = samples("b", instant("2026-11-20T23:59:40Z"), 4);
    given.extend(samples("a", instant("2026-11-20T23:59:40Z"), 4));
    given.reverse();
    let appended = lake.host_metrics().append(&given).unwrap();
    assert_eq!((appended.files.len(), appended.rows), (2, 8));
    let stored = read_all(&lake);
    let keys = |rows: &[HostMetricsSample]| -> Vec<_> {
        rows.iter().map(|row| (row.as_of.date_naive(), row.host_id.clone(), row.as_of)).collect()
    };
    let mut expected = keys(&given);
    expected.sort();
    assert_eq!(keys(&stored), expected);
    for file in &appended.files {
        assert!(file.file_name().unwrap().to_str().unwrap().starts_with("@all__"), "{file:?}");
    }
}

#[test]
fn files_stay_within_their_budgets() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    for (rows, budget) in [(6, 15_000), (360, 27_000), (8640, 290_000)] {
        let given = samples("pi", instant("2026-11-21T00:00:00Z"), rows);
        let appended = lake.host_metrics().append(&given).unwrap();
        let size = fs::metadata(&appended.files[0]).unwrap().len();
        assert!(size <= budget, "{rows} rows take {size} bytes");
    }
}

#[test]
fn two_appenders_at_once_lose_nothing_and_show_nothing_unfinished() {
    let (_keep, root) = temporary_lake();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let walker = scope.spawn(|| {
            let mut walks = 0;
            while !done.load(Ordering::Relaxed) || walks == 0 {
                assert_only_whole_files(&root);
                walks += 1;
            }
            walks
        });
        let appenders: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|host| {
                let lake = Lake::new(&root);
                scope.spawn(move || {
                    for minute in 0..20 {
                        let first = instant("2026-11-20T23:50:00Z") + TimeDelta::minutes(minute);
                        lake.host_metrics().append(&samples(host, first, 6)).unwrap();
                    }
                })
            })
            .collect();
        appenders.into_iter().for_each(|appender| appender.join().unwrap());
        done.store(true, Ordering::Relaxed);
        assert!(walker.join().unwrap() > 0);
    });
    assert_eq!(read_all(&Lake::new(&root)).len(), 240);
    assert!(!tree(&root).iter().any(|path| path.starts_with(".staging/") && path != ".staging/"));
}

/// Below a dataset there are only `date=` directories and whole Parquet files.
fn assert_only_whole_files(root: &std::path::Path) {
    let dataset = root.join("silver/ops_host_metrics");
    for path in tree(&dataset) {
        if let Some(directory) = path.strip_suffix('/') {
            assert!(directory.starts_with("date=") && !directory.contains('/'), "{path}");
            continue;
        }
        assert!(path.ends_with(".parquet"), "{path}");
        let mut bytes = Vec::new();
        fs::File::open(dataset.join(&path)).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{path}");
    }
}

#[test]
fn files_are_selected_by_their_names_alone() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let repository = lake.host_metrics();
    for (host, first) in
        [("a", "2026-11-20T12:00:00Z"), ("a", "2026-11-21T12:00:00Z"), ("b", "2026-11-21T13:00:00Z")]
    {
        repository.append(&samples(host, instant(first), 6)).unwrap();
    }
    let store = repository.store();
    // Content that is no Parquet: a file that is opened would be an error.
    for file in store.files(&Selection::all()).unwrap() {
        fs::write(&file.path, "").unwrap();
    }
    let foreign = store.directory().join("date=2026-11-21/part-0.parquet");
    fs::write(&foreign, "").unwrap();
    fs::write(store.directory().join("date=2026-11-21/notes.txt"), "").unwrap();
    let count = |selection: &Selection| store.files(selection).unwrap().len();
    let us = |text: &str| instant(text).timestamp_micros();
    assert_eq!(count(&Selection::all()), 4);
    assert_eq!(store.dates().unwrap().len(), 2);
    let host = |name: &str| Some(vec![HostId::parse(name).unwrap()]);
    assert_eq!(count(&Selection { hosts: host("a"), ..Selection::all() }), 3);
    assert_eq!(count(&Selection { hosts: host("c"), ..Selection::all() }), 1);
    let noon = Selection::between(us("2026-11-21T12:00:00Z"), us("2026-11-21T12:05:00Z"));
    assert_eq!(count(&noon), 2);
    assert_eq!(count(&Selection::between(us("2026-11-21T12:00:51Z"), us("2026-11-21T12:05:00Z"))), 2);
    assert_eq!(count(&Selection::between(us("2026-11-21T12:00:52Z"), us("2026-11-21T12:05:00Z"))), 1);
    assert_eq!(count(&Selection::between(us("2026-11-21T11:00:00Z"), us("2026-11-21T12:00:00Z"))), 1);
    assert_eq!(count(&Selection::on("2026-11-20".parse().unwrap())), 1);
    let error = store.read(&store.files(&noon).unwrap()[0], &["as_of"]).unwrap_err();
    assert!(matches!(error, RepositoryError::Damaged { .. }), "{error}");
}

#[test]
fn a_lake_is_not_made_where_its_parent_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path().join("mnt/usb/lake"));
    let error = lake.host_metrics().append(&[sample("pi", instant("2026-11-21T12:00:00Z"))]).unwrap_err();
    assert!(
        matches!(&error, RepositoryError::MissingParent { path } if path.ends_with("mnt/usb")),
        "{error:?}"
    );
    assert_eq!(tree(directory.path()), [""; 0]);

    fs::write(directory.path().join("file"), "").unwrap();
    let lake = Lake::new(directory.path().join("file"));
    let error = lake.host_metrics().append(&[sample("pi", instant("2026-11-21T12:00:00Z"))]).unwrap_err();
    assert!(matches!(&error, RepositoryError::NotADirectory { .. }), "{error:?}");
    assert!(!error.to_string().ends_with('.'));
}

#[test]
fn reads_project_and_go_by_row_groups() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let start = instant("2026-11-21T00:00:00Z");
    let template = sample("pi", start);
    let given: Vec<_> = (0..130_000)
        .map(|index| HostMetricsSample {
            as_of: start + TimeDelta::milliseconds(index),
            net_rx_bytes: Some(index),
            ..template.clone()
        })
        .collect();
    lake.host_metrics().append(&given).unwrap();
    let store = lake.host_metrics().store().clone();
    let file = &store.files(&Selection::all()).unwrap()[0];
    let groups: Vec<_> =
        store.read_row_groups(file, &["net_rx_bytes", "host_id"]).unwrap().map(Result::unwrap).collect();
    let heights: Vec<usize> = groups.iter().map(|group| group.height()).collect();
    assert_eq!(heights, [122_880, 7_120]);
    assert_eq!(groups[1].get_column_names(), ["net_rx_bytes", "host_id"]);
    assert_eq!(groups[1].column("net_rx_bytes").unwrap().i64().unwrap().get(0), Some(122_880));
    assert_eq!(store.read(file, &["as_of"]).unwrap().height(), 130_000);
    assert_eq!(store.read(file, &[]).unwrap().width(), 0);
    assert!(matches!(store.read(file, &["nonsense"]), Err(RepositoryError::InvalidFrame { .. })));
}

fn any_sample() -> impl Strategy<Value = HostMetricsSample> {
    let values = (
        proptest::option::of(0.0..=100.0),
        proptest::option::of(0..=i64::MAX),
        proptest::option::of(".{0,20}"),
        proptest::option::of(any::<bool>()),
        proptest::option::of(1..=i32::MAX),
        0..86_400_000_i64,
        "[a-z]{1,8}",
    );
    values.prop_map(|(double, integer, text, flag, small, ms, host)| HostMetricsSample {
        cpu_pct: double,
        net_rx_bytes: integer,
        boot_id: text.clone(),
        run_id: text,
        clock_synced: flag,
        sample_interval_seconds: small,
        uptime_seconds: None,
        ..sample(&host, instant("2026-11-21T00:00:00Z") + TimeDelta::milliseconds(ms))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_rows_come_back_from_parquet(mut given in proptest::collection::vec(any_sample(), 1..40)) {
        prop_assert_eq!(&rows_from_frame::<HostMetricsSample>(&frame_from_rows(&given)).unwrap(), &given);
        let (_keep, root) = temporary_lake();
        let lake = Lake::new(&root);
        lake.host_metrics().append(&given).unwrap();
        given.sort_by(|one, other| (&one.host_id, one.as_of).cmp(&(&other.host_id, other.as_of)));
        prop_assert_eq!(read_all(&lake), given);
    }
}
