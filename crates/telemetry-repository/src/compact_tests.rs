//! Compaction and expiry where a call fails, an operation is missing, or the process is killed; and
//! what merging makes of large, unsorted and foreign files.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use polars::prelude::*;
use telemetry_schema::{HOST_METRICS, HostMetricsSample, Row as _, Value, host_metrics::names};

use crate::faults::{Faulty, Observer};
use crate::filesystem::{FileSystem, OperatingSystem};
use crate::frame::{frame_from_rows, rows_from_frame};
use crate::parquet::{self, ROW_GROUP_ROWS};
use crate::{DatasetStore, Lake, RepositoryError, is_compact};

fn midnight() -> DateTime<Utc> {
    "2026-11-21T00:00:00Z".parse().unwrap()
}

fn date() -> NaiveDate {
    midnight().date_naive()
}

fn sample(host: &str, second: i64, bytes: i64) -> HostMetricsSample {
    let at = midnight() + TimeDelta::seconds(second);
    let cells = HOST_METRICS.columns.iter().map(|column| match column.name {
        names::as_of => Value::TimestampUs(at.timestamp_micros()),
        names::host_id => Value::String(host.to_owned().into()),
        names::net_rx_bytes => Value::Int64(bytes),
        _ => Value::Null,
    });
    HostMetricsSample::from_values(&cells.collect::<Vec<_>>()).unwrap()
}

/// A lake with a copy of the same files each time: making them is slow.
fn fill(root: &Path) {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        make(&directory.path().join("lake"));
        directory
    });
    let directory = store(root).date_path(date());
    std::fs::create_dir_all(&directory).unwrap();
    for file in store(&made.path().join("lake")).files_on(date()).unwrap() {
        std::fs::copy(&file.path, directory.join(file.path.file_name().unwrap())).unwrap();
    }
}

/// Five files of two hosts, with a row that is there twice and two that conflict.
fn make(root: &Path) {
    let silver = Lake::new(root).host_metrics();
    for (host, second) in [("pi", 0), ("pi", 30), ("nas", 10), ("pi", 3_600)] {
        let rows: Vec<_> = (0..5).map(|n| sample(host, second + 10 * n, n)).collect();
        silver.append(&rows).unwrap();
    }
    silver.append(&[sample("pi", 10, 1), sample("pi", 20, 77)]).unwrap();
}

fn lake_with(root: &Path, system: Faulty) -> (Lake, Arc<Faulty>) {
    let system = Arc::new(system);
    (Lake::with_file_system(root, Arc::clone(&system) as Arc<dyn FileSystem>), system)
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("lake");
    (directory, root)
}

fn store(root: &Path) -> DatasetStore {
    Lake::new(root).host_metrics().store().clone()
}

/// All rows in an order that depends on them alone.
fn rows(root: &Path) -> Vec<String> {
    let store = store(root);
    let columns: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
    let mut rows: Vec<String> = store
        .files_on(date())
        .unwrap()
        .iter()
        .flat_map(|file| rows_from_frame::<HostMetricsSample>(&store.read(file, &columns).unwrap()).unwrap())
        .map(|row| format!("{row:?}"))
        .collect();
    rows.sort_unstable();
    rows
}

/// What the program does: completes what was interrupted, cleans, and makes the date one file.
fn compact(lake: &Lake) -> Result<(), RepositoryError> {
    let store = lake.host_metrics().store().clone();
    lake.clean_staging(midnight())?;
    store.finish_interrupted()?;
    let files = store.files_on(date())?;
    store.compact(date(), &[files]).map(|_| ())
}

/// Nothing is missing; where rows can be seen twice for a while, they are not more than twice there.
/// Windows exchanges nothing.
fn check_seen(root: &Path, before: &[String], has_exchange: bool, what: &str) {
    let seen = rows(root);
    if has_exchange && cfg!(unix) {
        assert_eq!(seen, before, "{what}");
    }
    let mut distinct = seen.clone();
    distinct.dedup();
    let mut expected = before.to_vec();
    expected.dedup();
    assert_eq!(distinct, expected, "{what}");
    assert!(seen.len() <= 2 * before.len(), "{what}");
}

fn check_completed(root: &Path, before: &[String], what: &str) {
    let again = Lake::new(root);
    compact(&again).unwrap();
    assert_eq!(rows(root), before, "{what}");
    let store = again.host_metrics().store().clone();
    assert!(is_compact(&store.files_on(date()).unwrap()), "{what}");
    again.clean_staging(midnight()).unwrap();
    drop((again, store));
    assert_eq!(std::fs::read_dir(root.join(".staging")).unwrap().count(), 0, "{what}");
}

const POOR: [&[&str]; 3] = [&[], &["exchange"], &["exchange", "rename_no_replace", "link"]];

#[test]
fn a_compaction_that_fails_anywhere_loses_nothing_and_is_completed_by_the_next() {
    for lacks in POOR {
        let calls = {
            let (_keep, root) = temporary();
            fill(&root);
            let before = rows(&root);
            let (lake, system) = lake_with(&root, Faulty { lacks, ..Faulty::default() });
            compact(&lake).unwrap();
            assert_eq!(rows(&root), before);
            assert_eq!(store(&root).files_on(date()).unwrap().len(), 1);
            system.log().len()
        };
        assert!(calls >= 15, "{calls}");
        for call in 1..=calls {
            let (_keep, root) = temporary();
            fill(&root);
            let before = rows(&root);
            let (lake, system) =
                lake_with(&root, Faulty { lacks, ..Faulty::failing_at(call, io::ErrorKind::Other) });
            let _ = compact(&lake);
            let what = format!("call {call} of {:?} without {lacks:?}", system.log());
            check_seen(&root, &before, lacks.is_empty(), &what);
            drop(lake);
            check_completed(&root, &before, &what);
        }
    }
}

#[test]
fn a_compaction_is_undone_if_somebody_has_an_old_file_open() {
    let (_keep, root) = temporary();
    fill(&root);
    let before = rows(&root);
    let calls = {
        let (_keep, root) = temporary();
        fill(&root);
        let (lake, system) = lake_with(&root, Faulty { lacks: &["exchange"], ..Faulty::default() });
        compact(&lake).unwrap();
        system.log()
    };
    // The first old file goes to the trash right after the new one and the note are there.
    let published = calls.iter().rposition(|call| *call == "rename_no_replace").unwrap();
    let to_the_trash = published + calls[published..].iter().position(|call| *call == "rename").unwrap();
    let in_use = Faulty::failing_at(to_the_trash + 1, io::ErrorKind::Other);
    let (lake, _) = lake_with(&root, Faulty { lacks: &["exchange"], ..in_use });
    let error = compact(&lake).unwrap_err();
    assert!(error.to_string().contains("move to the trash"), "{error}");
    assert_eq!(rows(&root), before);
    assert!(!is_compact(&store(&root).files_on(date()).unwrap()));
    drop(lake);
    check_completed(&root, &before, "after it was undone");
}

#[test]
fn short_and_interrupted_writes_make_whole_merges() {
    let (_keep, root) = temporary();
    fill(&root);
    let before = rows(&root);
    let (lake, _) = lake_with(&root, Faulty { short_writes: Some(100), ..Faulty::default() });
    compact(&lake).unwrap();
    assert_eq!(rows(&root), before);
    assert_eq!(store(&root).files_on(date()).unwrap().len(), 1);
}

#[test]
fn an_expiry_that_fails_anywhere_shows_all_or_nothing() {
    let expire = |lake: &Lake| {
        let store = lake.host_metrics().store().clone();
        lake.save_rollup_state("expired", "{\"dates\":[\"2026-11-21\"]}")?;
        store.expire_date(date(), &store.files_on(date())?)
    };
    let (_keep, root) = temporary();
    fill(&root);
    let (lake, system) = lake_with(&root, Faulty::default());
    expire(&lake).unwrap();
    assert!(store(&root).dates().unwrap().is_empty());
    for call in 1..=system.log().len() {
        let (_keep, root) = temporary();
        fill(&root);
        let before = rows(&root);
        let (lake, system) = lake_with(&root, Faulty::failing_at(call, io::ErrorKind::Other));
        let result = expire(&lake);
        let seen = rows(&root);
        let what = format!("call {call} of {:?}", system.log());
        assert!(seen == before || seen.is_empty(), "{what}");
        assert!(result.is_err() || seen.is_empty(), "{what}");
        if seen.is_empty() {
            assert!(
                Lake::new(&root).load_rollup_state::<serde_json::Value>("expired").unwrap().is_some(),
                "{what}"
            );
        }
        expire(&Lake::new(&root)).unwrap();
        assert!(store(&root).dates().unwrap().is_empty(), "{what}");
    }
}

#[test]
fn a_date_with_new_files_does_not_expire() {
    let (_keep, root) = temporary();
    fill(&root);
    let store = store(&root);
    let known = store.files_on(date()).unwrap();
    let late = Lake::new(&root).host_metrics().append(&[sample("late", 5, 5)]).unwrap();
    let error = store.expire_date(date(), &known).unwrap_err();
    assert!(matches!(error, RepositoryError::Conflict { .. }), "{error:?}");
    assert!(late.files[0].exists());
}

#[cfg(unix)]
#[test]
fn who_waits_for_the_lock_of_an_expiring_date_gets_one_that_others_see() {
    let (_keep, root) = temporary();
    let name = HOST_METRICS.name;
    let ours = Lake::new(&root);
    std::fs::create_dir_all(root.parent().unwrap()).unwrap();
    let lock = ours.lock_date(name, date(), crate::publish::Exclusion::Exclusive).unwrap();
    let (lake, system) = lake_with(&root, Faulty::default());
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| lake.lock_date(name, date(), crate::publish::Exclusion::Shared).unwrap());
        while system.log().is_empty() {
            std::thread::sleep(DELAY);
        }
        // Between opening the file and waiting for its lock is nothing that could be watched.
        std::thread::sleep(10 * DELAY);
        ours.remove_date_lock(name, date());
        drop(lock);
        let got = waiting.join().unwrap();
        assert!(crate::lock::has_name(&got).unwrap(), "nobody else would find this lock");
        assert_eq!(system.log().iter().filter(|call| **call == "open_lock").count(), 2);
    });
}

/// A foreign file with these rows, in this order.
fn foreign(root: &Path, name: &str, frame: &DataFrame) {
    let directory = store(root).date_path(date());
    std::fs::create_dir_all(&directory).unwrap();
    let file = std::fs::File::create_new(directory.join(name)).unwrap();
    parquet::write(frame, Vec::new(), file).unwrap();
}

fn keys(root: &Path) -> Vec<(String, i64)> {
    let store = store(root);
    let mut keys = Vec::new();
    for file in store.files_on(date()).unwrap() {
        let frame = store.read(&file, &[names::host_id, names::as_of]).unwrap();
        let hosts = frame.column(names::host_id).unwrap().str().unwrap().clone();
        let times = crate::frame::timestamps(frame.column(names::as_of).unwrap()).unwrap().clone();
        keys.extend(
            hosts.iter().zip(times.iter()).map(|(host, time)| (host.unwrap().to_owned(), time.unwrap())),
        );
    }
    keys
}

/// Rows of several hosts over the day, as narrow frames.
fn large(hosts: &[&str], each: usize) -> DataFrame {
    let rows = || hosts.iter().flat_map(|host| (0..each).map(move |n| (*host, n as i64)));
    let start = midnight().timestamp_micros();
    let times: Int64Chunked =
        rows().map(|(_, n)| Some(start + n * 86_000_000_000 / each as i64)).collect::<Int64Chunked>();
    let times =
        times.with_name(names::as_of.into()).into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let hosts: StringChunked = rows().map(|(host, _)| Some(host)).collect();
    let bytes: Int64Chunked = rows().map(|(_, n)| Some(n)).collect();
    let columns = vec![
        times.into_column(),
        hosts.with_name(names::host_id.into()).into_column(),
        bytes.with_name(names::net_rx_bytes.into()).into_column(),
    ];
    DataFrame::new(rows().count(), columns).unwrap()
}

#[test]
fn large_unsorted_and_overlapping_files_become_sorted_parts() {
    let (_keep, root) = temporary();
    fill(&root);
    let many = large(&["a", "pi", "z"], 41_000);
    assert!(many.height() > ROW_GROUP_ROWS);
    foreign(&root, "many.parquet", &many);
    foreign(&root, "more.parquet", &large(&["b", "pi"], 20_000));
    let reversed: Vec<u32> = (0..many.height() as u32).rev().collect();
    foreign(&root, "unsorted.parquet", &many.take(&IdxCa::from_vec("".into(), reversed)).unwrap());
    let mut before = keys(&root);
    before.sort_unstable();
    let store = store(&root);
    let files = store.files_on(date()).unwrap();
    let compacted = store.compact_in_parts(date(), &[files], 200_000).unwrap();
    assert_eq!((compacted.merged, compacted.rows as usize), (8, before.len()));
    assert!(compacted.files.len() > 1);
    let mut stored: Vec<Vec<(String, i64)>> = Vec::new();
    for file in &compacted.files {
        let groups = store.row_groups_at(file, &[names::host_id, names::as_of]).unwrap();
        let frames: Vec<DataFrame> = groups.map(Result::unwrap).collect();
        assert!(frames.iter().all(|frame| frame.height() <= ROW_GROUP_ROWS));
        let mut keys = Vec::new();
        for frame in frames {
            let hosts = frame.column(names::host_id).unwrap().str().unwrap().clone();
            let times = crate::frame::timestamps(frame.column(names::as_of).unwrap()).unwrap().clone();
            keys.extend(
                hosts.iter().zip(times.iter()).map(|(host, time)| (host.unwrap().to_owned(), time.unwrap())),
            );
        }
        stored.push(keys);
    }
    assert_eq!(stored.concat(), before, "sorted, and nothing lost or added");
    let files = store.files_on(date()).unwrap();
    assert!(is_compact(&files) && files.len() == compacted.files.len());
    assert!(!is_compact(&files[1..]));
    assert_eq!(store.compact(date(), &[files]).unwrap().merged, 0);
}

#[test]
fn what_merging_would_lose_is_left_alone() {
    let (_keep, root) = temporary();
    fill(&root);
    let rows = frame_from_rows(&[sample("new", 5, 5)]);
    let mut newer = rows.clone();
    newer.with_column(Column::full_null("of_tomorrow".into(), 1, &DataType::Int64)).unwrap();
    foreign(&root, "newer.parquet", &newer);
    foreign(&root, "other_date.parquet", &frame_from_rows(&[sample("new", -5, 5)]));
    let store = store(&root);
    let files = store.files_on(date()).unwrap();
    assert_eq!(store.compact(date(), &[files]).unwrap().merged, 5);
    let left = store.files_on(date()).unwrap();
    assert_eq!(left.len(), 3);
    for name in ["newer.parquet", "other_date.parquet"] {
        assert!(left.iter().any(|file| file.path.ends_with(name)));
    }
    assert_eq!(store.compact(date(), &[left]).unwrap().merged, 0, "merged again for nothing");
}

/// Set for the process that is to be killed: the lake, and what its file system lacks.
const VICTIM: &str = "REPOSITORY_TEST_VICTIM";
const LACKS: &str = "REPOSITORY_TEST_LACKS";
const STEPS: &str = "steps";
/// Each of these calls takes so long in the victim.
const DELAY: Duration = Duration::from_millis(4);
const SLOW: [&str; 10] = [
    "create_new",
    "write",
    "sync_file",
    "rename_no_replace",
    "link",
    "sync_directory",
    "exchange",
    "rename",
    "open_lock",
    "create_directory",
];
const KILLS: usize = 60;

/// Compacts, writing each step down before it waits and takes it.
fn be_killed(root: &Path) {
    let mut steps =
        std::fs::File::options().append(true).create(true).open(root.with_extension(STEPS)).unwrap();
    let lacks: &'static [&'static str] = if std::env::var(LACKS).is_ok() { &["exchange"] } else { &[] };
    let file = steps.try_clone().unwrap();
    let observer = Observer(Box::new(move |call| {
        writeln!(&file, "{call}").unwrap();
        if SLOW.contains(&call) {
            std::thread::sleep(DELAY);
        }
    }));
    let (lake, _) = lake_with(root, Faulty { lacks, observer: Some(observer), ..Faulty::default() });
    compact(&lake).unwrap();
    writeln!(steps, "done").unwrap();
}

#[test]
fn a_compaction_that_is_killed_anywhere_is_completed_by_the_next() {
    if let Ok(root) = std::env::var(VICTIM) {
        return be_killed(Path::new(&root));
    }
    let mut killed_at: BTreeMap<String, usize> = BTreeMap::new();
    let mut inside = 0;
    let mut most_steps = BTreeMap::new();
    for kill in 0..KILLS + 2 {
        let (_keep, root) = temporary();
        fill(&root);
        let (before, has_exchange) = (rows(&root), !kill.is_multiple_of(2));
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = "compact_tests::a_compaction_that_is_killed_anywhere_is_completed_by_the_next";
        command.args(["--exact", test, "--nocapture"]).env(VICTIM, &root).stdout(Stdio::null());
        if !has_exchange {
            command.env(LACKS, "exchange");
        }
        let mut victim = command.spawn().unwrap();
        let steps = || std::fs::read_to_string(root.with_extension(STEPS)).unwrap_or_default();
        if kill < 2 {
            // The first of each kind is left alone: it tells how many steps there are.
            assert!(victim.wait().unwrap().success());
            most_steps.insert(has_exchange, steps().lines().count());
            check_completed(&root, &before, "not killed");
            continue;
        }
        let moment = fastrand::usize(..most_steps[&has_exchange]);
        while steps().lines().count() < moment && victim.try_wait().unwrap().is_none() {
            std::thread::sleep(DELAY / 8);
        }
        std::thread::sleep(DELAY.mul_f64(fastrand::f64()));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let steps = steps();
        let last = steps.lines().last().unwrap_or("before the first call").to_owned();
        let has_begun = steps.lines().any(|step| step == "create_new");
        inside += usize::from(has_begun && last != "done");
        check_seen(&root, &before, has_exchange, &steps);
        check_completed(&root, &before, &steps);
        *killed_at.entry(last).or_default() += 1;
    }
    println!("killed at: {killed_at:#?}");
    println!(
        "{inside} of {KILLS} between the creation of a file in staging and the last sync of a directory"
    );
    assert!(inside * 3 >= KILLS, "{inside} of {KILLS}: {killed_at:?}");
}

#[test]
fn the_operating_system_has_what_the_tests_rely_on() {
    // Without these the tests above would test the poorer way twice.
    let directory = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
    std::fs::create_dir(&one).unwrap();
    std::fs::create_dir(&other).unwrap();
    if cfg!(target_os = "linux") {
        OperatingSystem.exchange(&one, &other).unwrap();
    }
}
