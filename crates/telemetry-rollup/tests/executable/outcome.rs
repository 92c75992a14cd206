//! What a run left behind that did not end as it should, and what the next one makes of it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use chrono::NaiveDate;
use telemetry_repository::{DataFile, DatasetStore, Selection, rows_from_frame};
use telemetry_schema::{HostAlert, HostMetricsRollup, HostMetricsSample, Row};

use crate::support::World;

/// The rows of each date, by dataset, sorted. Of alert events, which say when they were found, the
/// names.
pub(crate) type Rows = BTreeMap<(&'static str, NaiveDate), Vec<String>>;

/// All rows that a reader sees; every file must be whole.
pub(crate) fn rows(world: &World) -> Rows {
    rows_but(world, &[])
}

/// Without the files of these names, which a test has damaged.
pub(crate) fn rows_but(world: &World, damaged: &[OsString]) -> Rows {
    let sample = |row: &HostMetricsSample| format!("{row:?}");
    let rollup = |row: &HostMetricsRollup| format!("{row:?}");
    let name = |row: &HostAlert| row.event_id.clone();
    let mut rows = stored(world.lake().host_metrics().store(), damaged, sample);
    rows.extend(stored(&world.gold(5), damaged, rollup));
    rows.extend(stored(world.lake().host_alerts().store(), damaged, name));
    rows
}

fn stored<R: Row>(store: &DatasetStore, damaged: &[OsString], text: impl Fn(&R) -> String) -> Rows {
    let columns: Vec<&str> = R::DATASET.columns.iter().map(|column| column.name).collect();
    let mut dates = Rows::new();
    let files = store.files(&Selection::all()).unwrap();
    let is_damaged = |file: &DataFile| damaged.iter().any(|name| file.path.file_name() == Some(name));
    for file in files.into_iter().filter(|file| !is_damaged(file)) {
        store.verify(&file).unwrap();
        let rows: Vec<R> = rows_from_frame(&store.read(&file, &columns).unwrap()).unwrap();
        let date = dates.entry((R::DATASET.name, file.date)).or_default();
        date.extend(rows.iter().map(&text));
    }
    dates.values_mut().for_each(|rows| rows.sort_unstable());
    dates
}

/// A reader sees each date as it was or as it will be; without the exchange, at least all of it.
#[track_caller]
pub(crate) fn check_seen(seen: &Rows, (before, after): (&Rows, &Rows), has_exchange: bool, what: &str) {
    for date in before.keys().chain(after.keys()).chain(seen.keys()) {
        let is = |expected: &Rows| {
            let [seen, expected] = [seen, expected].map(|rows| rows.get(date).map_or(&[][..], Vec::as_slice));
            seen == expected || !has_exchange && expected.iter().all(|row| seen.binary_search(row).is_ok())
        };
        assert!(is(before) || is(after), "{date:?} is neither old nor new: {what}");
    }
}

/// Nothing unfinished is left.
#[track_caller]
pub(crate) fn check_staging(world: &World, what: &str) {
    let left: Vec<_> = std::fs::read_dir(world.path().join(".staging")).into_iter().flatten().collect();
    assert!(left.is_empty(), "left in staging: {what}");
}
