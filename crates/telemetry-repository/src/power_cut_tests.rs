//! The power is cut after every step of every operation: what was acknowledged is there, what is
//! visible is whole, and the next run finishes the work.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use polars::prelude::{Column, DataFrame};
use telemetry_schema::host_metrics::names;
use telemetry_schema::host_metrics_rollup::names::bucket_start;
use telemetry_schema::{HOST_METRICS_ROLLUP, HostId, HostMetricsSample, Row as _, Value};

use crate::filesystem::FileSystem;
use crate::frame::{frame_from_rows, rows_from_frame};
use crate::power_cut::{Recorder, cut_everywhere};
use crate::{DatasetStore, Lake, RollupFileName, Selection, is_compact};

fn midnight() -> DateTime<Utc> {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

fn date() -> NaiveDate {
    midnight().date_naive()
}

fn sample(second: i64) -> HostMetricsSample {
    let at = midnight() + TimeDelta::seconds(second);
    let cells = HostMetricsSample::DATASET.columns.iter().map(|column| match column.name {
        names::as_of => Value::TimestampUs(at.timestamp_micros()),
        names::host_id => Value::String("pi".into()),
        _ => Value::Null,
    });
    HostMetricsSample::from_values(&cells.collect::<Vec<_>>()).unwrap()
}

/// A minute's samples. The first minute begins before midnight: two files.
fn minute(number: i64) -> Vec<HostMetricsSample> {
    (0..4).map(|n| sample(60 * number - 10 + 10 * n)).collect()
}

fn seconds(minutes: std::ops::Range<i64>) -> Vec<i64> {
    minutes.flat_map(minute).map(|sample| (sample.as_of - midnight()).num_seconds()).collect()
}

/// All that a reader sees of Silver, in order; every file is whole.
fn seen(root: &Path) -> Vec<i64> {
    let store = Lake::new(root).host_metrics().store().clone();
    let mut seconds = Vec::new();
    for file in store.files(&Selection::all()).unwrap() {
        store.verify(&file).unwrap();
        let frame = store.read(&file, &[names::as_of, names::host_id]).unwrap();
        let rows: Vec<HostMetricsSample> = rows_from_frame(&frame).unwrap();
        seconds.extend(rows.iter().map(|row| (row.as_of - midnight()).num_seconds()));
    }
    seconds.sort_unstable();
    seconds
}

fn check_rows(found: &[i64], acknowledged: &[i64], what: &str) {
    assert!(found.windows(2).all(|pair| pair[0] != pair[1]), "twice in {found:?}: {what}");
    assert!(acknowledged.iter().all(|second| found.contains(second)), "{acknowledged:?}, {found:?}: {what}");
}

/// Records what is done with a lake; returns when each of the parts was over.
fn record(
    prepare: impl FnOnce(&Lake),
    lacks: &'static [&'static str],
    parts: i64,
    mut run: impl FnMut(&Lake, i64),
) -> (Arc<Recorder>, Vec<usize>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("lake");
    prepare(&Lake::new(&root));
    let recorder = Arc::new(Recorder::new(directory.path(), lacks));
    let lake = Lake::with_file_system(&root, Arc::clone(&recorder) as Arc<dyn FileSystem>);
    let mut over = Vec::new();
    for part in 0..parts {
        run(&lake, part);
        over.push(recorder.count());
    }
    (recorder, over, directory)
}

const POOR: [&[&str]; 3] = [&[], &["exchange"], &["exchange", "rename_no_replace", "link"]];

fn append(lacks: &'static [&'static str]) {
    let append = |lake: &Lake, part| {
        lake.host_metrics().append(&minute(part)).unwrap();
    };
    let (recorder, over, _keep) = record(|_| {}, lacks, 2, append);
    cut_everywhere(&recorder, &over, &|root, acknowledged, what| {
        check_rows(&seen(root), &seconds(0..acknowledged as i64), what);
        let again = Lake::new(root);
        again.clean_staging(midnight()).unwrap();
        again.host_metrics().append(&minute(9)).unwrap();
        check_rows(&seen(root), &seconds(9..10), what);
    });
}

#[test]
fn appended_samples_are_durable() {
    append(POOR[0]);
    append(POOR[2]);
}

/// These tests would see it if the lake did not sync what it must.
#[test]
fn a_sync_that_does_nothing_is_found() {
    let finds = |run: fn(&'static [&'static str]), lacks| std::panic::catch_unwind(|| run(lacks)).is_err();
    assert!(finds(append, &["sync_file"]) && finds(append, &["sync_directory"]));
    assert!(finds(spool, &["sync_data"]) && finds(spool, &["sync_file"]));
    assert!(finds(replace_twice, &["sync_file"]) && finds(replace_twice, &["sync_directory"]));
    assert!(finds(merge, &["sync_file"]) && finds(merge, &["exchange", "sync_directory"]));
}

fn host() -> HostId {
    HostId::parse("pi").unwrap()
}

#[test]
fn samples_in_the_spool_are_durable_and_published_once() {
    spool(&[]);
}

fn spool(lacks: &'static [&'static str]) {
    // Each minute is acknowledged by the append; every other one is published.
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("lake");
    Lake::new(&root).open_spool(&host()).unwrap();
    shorten(&root);
    let recorder = Arc::new(Recorder::new(directory.path(), lacks));
    let lake = Lake::with_file_system(&root, Arc::clone(&recorder) as Arc<dyn FileSystem>);
    let mut over = Vec::new();
    for part in 0..4 {
        let mut spool = lake.open_spool(&host()).unwrap();
        spool.append(&mut minute(part), Some("note"), true).unwrap();
        over.push(recorder.count());
        if part % 2 == 1 {
            spool.publish().unwrap();
        }
    }
    cut_everywhere(&recorder, &over, &|root, acknowledged, what| {
        check_rows(&seen(root), &[], what);
        let again = Lake::new(root);
        again.clean_staging(midnight()).unwrap();
        again.open_spool(&host()).unwrap().publish().unwrap();
        check_rows(&seen(root), &seconds(0..acknowledged as i64), what);
    });
}

#[test]
fn a_spool_that_is_made_is_there_or_not() {
    let make = |lake: &Lake, _| {
        lake.open_spool(&host()).unwrap();
        shorten(lake.root());
    };
    let (recorder, over, _keep) = record(|_| {}, &[], 1, make);
    // Thousands of bytes of zeros: a few of the steps do.
    for steps in [0, 1, 2, recorder.count() / 2, recorder.count() - 2, recorder.count() - 1, over[0]] {
        let image = tempfile::tempdir().unwrap();
        recorder.image(steps, crate::power_cut::Loss::All, image.path());
        let lake = Lake::new(image.path().join("lake"));
        let mut spool = lake.open_spool(&host()).unwrap();
        assert!(spool.damage().is_empty(), "after {steps} steps");
        spool.append(&mut minute(1), None, true).unwrap();
        assert_eq!(spool.publish().unwrap().rows, 4);
    }
}

/// The smallest ring, as images are written often.
fn shorten(root: &Path) {
    let journal = root.join(".spool/pi/journal");
    let file = std::fs::OpenOptions::new().write(true).open(journal).unwrap();
    file.set_len(3 * 64 * 1024).unwrap();
}

fn rollup(lake: &Lake) -> DatasetStore {
    lake.store(&HOST_METRICS_ROLLUP, HOST_METRICS_ROLLUP.name.to_owned())
}

/// Gold of which only the key matters here.
fn replace(lake: &Lake, generation: u64) {
    let frame = frame_from_rows(&minute(1));
    let mut columns: Vec<Column> =
        [names::as_of, names::host_id].iter().map(|name| frame.column(name).unwrap().clone()).collect();
    columns[0].rename(bucket_start.into());
    let buckets = DataFrame::new(frame.height(), columns).unwrap();
    let name = RollupFileName { date: date(), generation, digest: generation, is_final: false };
    rollup(lake).replace_date(date(), &buckets, &name, &[]).unwrap();
}

fn generations(root: &Path) -> Vec<u64> {
    let store = rollup(&Lake::new(root));
    let files = store.files_on(date()).unwrap();
    let generation = |file: &crate::DataFile| {
        store.verify(file).unwrap();
        file.name.rollup().unwrap().generation
    };
    files.iter().map(generation).collect()
}

#[test]
fn a_replaced_date_is_the_old_or_the_new_one() {
    POOR.iter().for_each(|lacks| replace_twice(lacks));
}

fn replace_twice(lacks: &'static [&'static str]) {
    let (recorder, over, _keep) =
        record(|_| {}, lacks, 2, |lake, part| replace(lake, part.cast_unsigned() + 1));
    cut_everywhere(&recorder, &over, &|root, acknowledged, what| {
        let (found, acknowledged) = (generations(root), acknowledged as u64);
        let newest = found.last().copied().unwrap_or(0);
        let is_one = found.len() == 1 || found.is_empty() && acknowledged == 0;
        assert!(is_one || lacks.contains(&"exchange") && found.len() == 2, "{found:?}: {what}");
        assert!(newest == acknowledged || newest == acknowledged + 1, "{found:?}: {what}");
        let again = Lake::new(root);
        again.clean_staging(midnight()).unwrap();
        replace(&again, 9);
        assert_eq!(generations(root), [9], "{what}");
    });
}

/// What the program does.
fn compact(lake: &Lake) {
    let store = lake.host_metrics().store().clone();
    lake.clean_staging(midnight()).unwrap();
    store.finish_interrupted().unwrap();
    let files = store.files_on(date()).unwrap();
    store.compact(date(), &[files]).unwrap();
}

#[test]
fn a_compaction_loses_nothing() {
    POOR.iter().for_each(|lacks| merge(lacks));
}

fn merge(lacks: &'static [&'static str]) {
    let fill = |lake: &Lake| {
        for part in 1..5 {
            lake.host_metrics().append(&minute(part)).unwrap();
        }
    };
    let (recorder, over, _keep) = record(fill, lacks, 1, |lake, _| compact(lake));
    cut_everywhere(&recorder, &over, &|root, _, what| {
        let mut found = seen(root);
        if lacks.contains(&"exchange") {
            // A row may be seen twice until the next run.
            found.dedup();
        }
        assert_eq!(found, seconds(1..5), "{what}");
        let again = Lake::new(root);
        compact(&again);
        assert_eq!(seen(root), seconds(1..5), "{what}");
        assert!(is_compact(&again.host_metrics().store().files_on(date()).unwrap()), "{what}");
    });
}

#[test]
fn an_expired_date_is_there_or_written_down() {
    let fill = |lake: &Lake| drop(lake.host_metrics().append(&minute(1)).unwrap());
    let expire = |lake: &Lake, _| {
        let store = lake.host_metrics().store().clone();
        lake.save_rollup_state("expired", "{\"dates\":[\"2026-11-21\"]}").unwrap();
        store.expire_date(date(), &store.files_on(date()).unwrap()).unwrap();
    };
    let (recorder, over, _keep) = record(fill, &[], 1, expire);
    cut_everywhere(&recorder, &over, &|root, acknowledged, what| {
        let found = seen(root);
        assert!(found == seconds(1..2) || found.is_empty(), "{found:?}: {what}");
        if found.is_empty() {
            assert!(
                Lake::new(root).load_rollup_state::<serde_json::Value>("expired").unwrap().is_some(),
                "{what}"
            );
        }
        assert!(found.is_empty() || acknowledged == 0, "{what}");
    });
}

#[test]
fn a_damaged_file_is_in_its_place_or_in_the_quarantine() {
    let fill = |lake: &Lake| drop(lake.host_metrics().append(&minute(1)).unwrap());
    let set_aside = |lake: &Lake, _| {
        let store = lake.host_metrics().store().clone();
        store.quarantine(&store.files_on(date()).unwrap()[0]).unwrap();
    };
    let (recorder, over, _keep) = record(fill, &[], 1, set_aside);
    cut_everywhere(&recorder, &over, &|root, acknowledged, what| {
        let quarantine: PathBuf = root.join(".quarantine/ops_host_metrics/date=2026-11-21");
        let aside = std::fs::read_dir(&quarantine).into_iter().flatten().count();
        let found = seen(root);
        assert!((aside == 1) != (found == seconds(1..2)), "{aside} aside, {found:?}: {what}");
        assert!(aside == 1 || acknowledged == 0, "{what}");
    });
}
