//! Parquet files and spools that are nearly right: rows or damage, for every reader that there is.

use std::fs;
use std::path::{Path, PathBuf};

use telemetry_repository::{
    DataFile, DatasetStore, Lake, RepositoryError, RollupFileName, Selection, frame_from_rows,
};
use telemetry_schema::{
    HOST_ALERTS, HOST_METRICS_ROLLUP, HostAlert, HostId, HostMetricsRollup, HostMetricsSample, Row, Value,
};
use telemetry_trials::mutation;

use crate::samples::{instant, samples, temporary_lake};

/// Rows with something in every column.
fn filled<R: Row>(rows: usize) -> Vec<R> {
    use telemetry_schema::ColumnType;
    let start_us = instant("2026-11-21T12:00:00Z").timestamp_micros();
    let cell = |n: usize, index: usize| match R::DATASET.columns[index].ty {
        ColumnType::TimestampUs => Value::TimestampUs(start_us + 300_000_000 * n as i64),
        ColumnType::String => Value::String(format!("pi-{}", n % 3).into()),
        ColumnType::Float64 => Value::Float64(n as f64 / 7.0),
        ColumnType::Int64 => Value::Int64((n * n) as i64),
        ColumnType::Int32 => Value::Int32(n as i32 % 10),
        ColumnType::Boolean => Value::Boolean(n.is_multiple_of(2)),
    };
    let mut all: Vec<(String, R)> = (0..rows)
        .map(|n| {
            let cells: Vec<_> = (0..R::DATASET.columns.len()).map(|index| cell(n, index)).collect();
            (format!("pi-{}", n % 3), R::from_values(&cells).unwrap())
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all.into_iter().map(|(_, row)| row).collect()
}

/// Reads a file in every way; anything but rows or damage fails. Whether it is whole.
fn read(store: &DatasetStore, file: &DataFile) -> bool {
    let columns: Vec<_> = store.dataset().columns.iter().map(|column| column.name).collect();
    let whole = |result: Result<(), RepositoryError>| match result {
        Ok(()) => true,
        Err(RepositoryError::Damaged { path, reason }) => {
            assert!(path == file.path && !reason.is_empty());
            false
        }
        Err(error) => panic!("{error:?}"),
    };
    whole(store.footer(file).map(drop));
    whole(store.read(file, &columns[..2]).map(drop));
    let is_read = whole(store.read(file, &columns).map(drop));
    let is_verified = whole(store.verify(file));
    assert!(is_read || !is_verified, "verified, but not read");
    is_verified
}

fn only_file(store: &DatasetStore) -> DataFile {
    store.files(&Selection::all()).unwrap().remove(0)
}

/// Mutates the only file of a dataset.
fn mutate(what: &str, store: &DatasetStore) {
    let file = only_file(store);
    let original = fs::read(&file.path).unwrap();
    assert!(read(store, &file));
    let (mut whole, mut damaged) = (0, 0);
    mutation::each(what, 300, |mutator| {
        fs::write(&file.path, mutator.bytes(&original)).unwrap();
        let file = only_file(store);
        if read(store, &file) { whole += 1 } else { damaged += 1 }
    });
    assert!(damaged > whole, "{damaged} damaged, {whole} whole");
}

#[test]
fn mutated_samples() {
    for rows in [6, 1_000] {
        let (_keep, root) = temporary_lake();
        let lake = Lake::new(&root);
        lake.host_metrics().append(&samples("pi", instant("2026-11-21T12:00:00Z"), rows)).unwrap();
        mutate(&format!("{rows} samples"), lake.host_metrics().store());
    }
}

#[test]
fn mutated_rollups() {
    let (_keep, root) = temporary_lake();
    let store = Lake::new(&root).store(&HOST_METRICS_ROLLUP, HOST_METRICS_ROLLUP.name.to_owned());
    let date = instant("2026-11-21T12:00:00Z").date_naive();
    let name = RollupFileName { date, generation: 1, digest: 1, is_final: false };
    let frame = frame_from_rows(&filled::<HostMetricsRollup>(100));
    store.replace_date(date, &frame, &name, &[]).unwrap();
    mutate("rollups", &store);
}

#[test]
fn mutated_alerts() {
    let (_keep, root) = temporary_lake();
    let alerts = Lake::new(&root).host_alerts();
    alerts.append(&filled::<HostAlert>(40)).unwrap();
    assert_eq!(alerts.store().dataset().name, HOST_ALERTS.name);
    mutate("alerts", alerts.store());
}

#[test]
fn mutated_files_are_merged_or_left_alone() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let date = instant("2026-11-21T12:00:00Z").date_naive();
    let store = lake.host_metrics().store().clone();
    for minute in 0..4 {
        let from = instant("2026-11-21T12:00:00Z") + chrono::TimeDelta::minutes(minute);
        lake.host_metrics().append(&samples("pi", from, 6)).unwrap();
    }
    let originals: Vec<(PathBuf, Vec<u8>)> = store
        .files_on(date)
        .unwrap()
        .into_iter()
        .map(|file| (file.path.clone(), fs::read(&file.path).unwrap()))
        .collect();
    let directory = originals[0].0.parent().unwrap();
    mutation::each("files to merge", 100, |mutator| {
        fs::remove_dir_all(directory).unwrap();
        fs::create_dir(directory).unwrap();
        for (path, original) in &originals {
            let bytes = if mutator.random.u8(..2) == 0 { mutator.bytes(original) } else { original.clone() };
            fs::write(path, bytes).unwrap();
        }
        let files = store.files_on(date).unwrap();
        match store.compact(date, std::slice::from_ref(&files)) {
            Ok(_) | Err(RepositoryError::Damaged { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    });
}

/// The smallest ring: a case writes and reads all of it.
fn shorten(journal: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal).unwrap();
    bytes.truncate(3 * 64 * 1024);
    fs::write(journal, &bytes).unwrap();
    bytes
}

#[test]
fn mutated_spools() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(&root);
    let host = HostId::parse("pi").unwrap();
    lake.open_spool(&host).unwrap();
    let journal = root.join(".spool/pi/journal");
    shorten(&journal);
    let acknowledged: Vec<HostMetricsSample> = samples("pi", instant("2026-11-21T12:00:00Z"), 120);
    let mut spool = lake.open_spool(&host).unwrap();
    for minute in acknowledged.chunks(6) {
        spool.append(&mut minute.to_vec(), Some("note"), true).unwrap();
    }
    drop(spool);
    let original = fs::read(&journal).unwrap();
    let used = original.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let store = lake.host_metrics().store().clone();
    let mut lost = 0;
    mutation::each("spools", 200, |mutator| {
        let mut mutated = mutator.bytes(&original[..used]);
        // Mostly of the length that it had, as rot is.
        if mutator.random.u8(..8) > 0 {
            mutated.resize(original.len(), 0);
        }
        fs::write(&journal, mutated).unwrap();
        let mut spool = lake.open_spool(&host).unwrap();
        spool.publish().unwrap();
        let files = store.files(&Selection::all()).unwrap();
        let columns = [telemetry_schema::host_metrics::names::as_of];
        let mut seen: Vec<i64> = Vec::new();
        for file in &files {
            let frame = store.read(file, &columns).unwrap();
            seen.extend(frame.column(columns[0]).unwrap().datetime().unwrap().physical().iter().flatten());
            fs::remove_file(&file.path).unwrap();
        }
        seen.sort_unstable();
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "twice");
        let is_known = |us: &i64| acknowledged.iter().any(|sample| sample.as_of.timestamp_micros() == *us);
        assert!(seen.iter().all(is_known), "invented");
        lost += usize::from(seen.len() < acknowledged.len());
        let _ = fs::remove_dir_all(root.join(".quarantine"));
    });
    assert!(lost > 0);
}
