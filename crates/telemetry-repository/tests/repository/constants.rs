//! Reading what statistics tell instead of the values.

use std::fs;
use std::path::Path;

use chrono::TimeDelta;
use polars::prelude::{Column, DataFrame};
use proptest::prelude::*;
use telemetry_repository::{DataFile, DatasetStore, Lake, RepositoryError, Selection};
use telemetry_schema::{HOST_METRICS, HostMetricsSample};

use crate::samples::{instant, sample, temporary_lake};

fn published(root: &Path, samples: &[HostMetricsSample]) -> (DatasetStore, DataFile) {
    let lake = Lake::new(root);
    lake.host_metrics().append(samples).unwrap();
    let store = lake.host_metrics().store().clone();
    let file = store.files(&Selection::all()).unwrap().remove(0);
    (store, file)
}

/// All rows, once as they are in the column chunks and once with the help of the statistics.
fn both(store: &DatasetStore, file: &DataFile) -> (DataFrame, DataFrame) {
    let columns: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
    let groups = || store.read_row_groups(file, &columns).unwrap();
    let one = |mut frames: Vec<Result<DataFrame, RepositoryError>>| {
        assert_eq!(frames.len(), 1);
        frames.remove(0).unwrap()
    };
    (one(groups().collect()), one(groups().skip_constants().collect()))
}

fn is_constant(frame: &DataFrame, column: &str) -> bool {
    matches!(frame.column(column).unwrap(), Column::Scalar(_))
}

/// Longer than what statistics hold.
const LONG: &str = "a text that is not only longer than what a view holds, but also longer than 64 bytes";

/// One value in all rows, or several, or none.
fn of<T: Clone + std::fmt::Debug + 'static>(a: T, b: T) -> impl Strategy<Value = Vec<Option<T>>> {
    let value = prop_oneof![Just(Some(a)), Just(Some(b)), Just(None)];
    prop_oneof![value.clone().prop_map(|value| vec![value; 3]), proptest::collection::vec(value, 3)]
}

proptest! {
    #[test]
    fn statistics_tell_what_the_values_are(
        os in of("linux".to_owned(), LONG.to_owned()),
        processes in of(1, 300),
        bytes in of(i64::MIN, i64::MAX),
        synced in of(false, true),
        cpu in of(0.0, -0.0),
    ) {
        let (_keep, root) = temporary_lake();
        let first = instant("2026-11-21T12:00:00Z");
        let samples: Vec<_> = (0..3).map(|row| HostMetricsSample {
            os: os[row].clone(),
            process_count: processes[row],
            net_rx_bytes: bytes[row].map(|bytes: i64| bytes.max(0)),
            clock_synced: synced[row],
            cpu_pct: cpu[row],
            ..sample("pi", first + TimeDelta::seconds(10 * row as i64))
        }).collect();
        let (store, file) = published(&root, &samples);
        let (decoded, told) = both(&store, &file);
        prop_assert!(decoded.equals_missing(&told));
        prop_assert_eq!(decoded.schema(), told.schema());
        let is_one = |same: bool, column: &str| same == is_constant(&told, column);
        // A bound that is shortened tells nothing.
        let is_told = |text: &Option<String>| text.as_deref() != Some(LONG);
        prop_assert!(is_one(os.iter().all(|value| *value == os[0] && is_told(value)), "os"));
        prop_assert!(is_one(synced.iter().all(|value| *value == synced[0]), "clock_synced"));
        prop_assert!(is_one(processes.iter().all(|value| *value == processes[0]), "process_count"));
        // A double is 0 on both sides of zero.
        prop_assert!(is_one(cpu.iter().all(Option::is_none), "cpu_pct"));
        store.verify(&file).unwrap();
    }
}

#[test]
fn statistics_that_lie_are_damage() {
    let (_keep, root) = temporary_lake();
    let (store, file) = published(&root, &[sample("pi", instant("2026-11-21T12:00:00Z"))]);
    let mut content = fs::read(&file.path).unwrap();
    let trailer = content.len() - 8;
    let length = u32::from_le_bytes(content[trailer..trailer + 4].try_into().unwrap()) as usize;
    let (true_value, lie) = (b"linux", b"minix");
    let mut lies = 0;
    for at in trailer - length..trailer - lie.len() {
        if &content[at..at + lie.len()] == true_value {
            content[at..at + lie.len()].copy_from_slice(lie);
            lies += 1;
        }
    }
    assert!(lies >= 2, "smallest and largest value of os are in the footer");
    fs::write(&file.path, content).unwrap();
    let error = store.verify(&file).unwrap_err().to_string();
    assert!(error.contains("the statistics of os are not those of its values"), "{error}");
}
