#![allow(clippy::unwrap_used)]
//! Spools of real samples, and their way into Silver.

use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use telemetry_schema::{HOST_METRICS, HostId, HostMetricsSample, Row as _, Value, host_metrics::names};

use super::dating::Announcement;
use super::*;
use crate::faults::Faulty;
use crate::filesystem::{FileSystem, OperatingSystem};

fn sample(second: i64) -> HostMetricsSample {
    let cell = |name| match name {
        names::as_of => Value::TimestampUs(1_795_305_590_000_000 + 1_000_000 * second),
        names::host_id => Value::String("pi".into()),
        _ => Value::Null,
    };
    let cells: Vec<_> = HOST_METRICS.columns.iter().map(|column| cell(column.name)).collect();
    HostMetricsSample::from_values(&cells).unwrap()
}

fn host() -> HostId {
    HostId::parse("pi").unwrap()
}

/// Samples around midnight: two files.
fn samples() -> Vec<HostMetricsSample> {
    (0..4).map(|n| sample(5 * n)).collect()
}

/// The seconds of all samples in Silver.
fn silver(root: &Path) -> Vec<i64> {
    let lake = Lake::new(root);
    let store = lake.host_metrics().store().clone();
    let files = store.files(&crate::Selection::all()).unwrap();
    let mut seconds: Vec<i64> = files
        .iter()
        .flat_map(|file| {
            let frame = store.read(file, &[names::as_of, names::host_id]).unwrap();
            crate::frame::rows_from_frame::<HostMetricsSample>(&frame).unwrap()
        })
        .map(|sample| sample.as_of.timestamp() - 1_795_305_590)
        .collect();
    seconds.sort_unstable();
    seconds
}

/// Room for the smallest spool, which is made soonest.
const SMALL: Option<Space> = Some(Space { free_bytes: 700_000, total_bytes: 1 << 20 });

/// A minute's run: opens, appends, publishes; returns the seconds that were acknowledged.
fn minute(lake: &Lake, first: i64) -> (Vec<i64>, Result<(), RepositoryError>) {
    let mut rows: Vec<_> = (0..4).map(|n| sample(first + 5 * n)).collect();
    let mut spool = match lake.open_spool(&host()) {
        Ok(spool) => spool,
        Err(error) => return (Vec::new(), Err(error)),
    };
    match spool.append(&mut rows, Some("note"), true) {
        Ok(_) => ((0..4).map(|n| first + 5 * n).collect(), spool.publish().map(|_| ())),
        Err(error) => (Vec::new(), Err(error)),
    }
}

#[test]
fn a_fault_at_any_call_loses_nothing_and_doubles_nothing() {
    let calls = {
        let directory = tempfile::tempdir().unwrap();
        let system = Arc::new(Faulty { space: SMALL, ..Faulty::default() });
        let lake = Lake::with_file_system(directory.path().join("lake"), Arc::clone(&system) as Arc<_>);
        minute(&lake, 0).1.unwrap();
        minute(&lake, 1).1.unwrap();
        system.log().len()
    };
    for (call, kind) in (1..=calls).flat_map(|call| {
        [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other].map(|kind| (call, kind))
    }) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("lake");
        let system = Arc::new(Faulty { space: SMALL, ..Faulty::failing_at(call, kind) });
        let lake = Lake::with_file_system(&root, Arc::clone(&system) as Arc<_>);
        let mut acknowledged = Vec::new();
        let mut outcomes = Vec::new();
        for first in [0, 1] {
            let (seconds, outcome) = minute(&lake, first);
            acknowledged.extend(seconds);
            outcomes.push(outcome.is_ok());
        }
        drop(lake);
        let again = Lake::new(&root);
        again.open_spool(&host()).unwrap().publish().unwrap();
        again.clean_staging(DateTime::UNIX_EPOCH).unwrap();
        let seen = silver(&root);
        let log = system.log();
        let what = log.get(call - 1).copied().unwrap_or("none");
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "twice in {seen:?}, call {call} {what}");
        assert!(
            acknowledged.iter().all(|second| seen.contains(second)),
            "{acknowledged:?} but {seen:?}, call {call} {what}"
        );
        assert!(outcomes.contains(&true), "one fault stopped two runs, call {call} {what}");
        assert_eq!(again.open_spool(&host()).unwrap().waiting(), Waiting::default());
    }
}

#[test]
fn a_publication_that_was_cut_off_is_completed_once_even_after_a_merge() {
    for published in 0..=2 {
        let directory = tempfile::tempdir().unwrap();
        let lake = Lake::new(directory.path().join("lake"));
        let mut spool = lake.open_spool(&host()).unwrap();
        spool.append(&mut samples(), None, true).unwrap();
        // As `publish` does it, up to a crash after so many of the two files.
        let up_to = spool.journal.state().next;
        let rows = spool
            .journal
            .contents()
            .unwrap()
            .frames
            .iter()
            .flat_map(|frame| decode(frame).unwrap())
            .collect();
        let mut staged = lake.host_metrics().stage_all(rows).unwrap();
        spool.journal.begin_publishing(&Announcement { up_to, ..Announcement::default() }).unwrap();
        staged.truncate(published);
        lake.host_metrics().publish_all(staged, &mut Appended::default()).unwrap();
        drop(spool);
        // Meanwhile somebody merged the files under another name.
        let store = lake.host_metrics().store().clone();
        for file in store.files(&crate::Selection::all()).unwrap() {
            let other = file.path.to_str().unwrap().replace("__r2__", "__r2__p1of1-");
            std::fs::rename(&file.path, other).unwrap();
        }
        let mut spool = lake.open_spool(&host()).unwrap();
        assert!(spool.waiting().is_urgent);
        let appended = spool.publish().unwrap();
        assert_eq!((appended.files.len(), silver(lake.root())), (2 - published, vec![0, 5, 10, 15]));
        assert_eq!(spool.publish().unwrap(), Appended::default());
    }
}

#[test]
fn what_is_left_to_the_next_run_arrives() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path().join("lake"));
    assert!(lake.find_spool(&host()).unwrap().is_none());
    let mut spool = lake.open_spool(&host()).unwrap();
    let mut rows = samples();
    rows[2].cpu_pct = Some(140.0);
    rows[3].cpu_temp_c = Some(900.0);
    let appended = spool.append(&mut rows, Some("{\"user\":1}"), false).unwrap();
    assert_eq!((appended.rows, appended.refused.len(), appended.nulled.len()), (3, 1, 1));
    drop(spool);
    let mut spool = lake.find_spool(&host()).unwrap().unwrap();
    assert_eq!(spool.note(), Some("{\"user\":1}"));
    let oldest = Some(samples()[0].as_of);
    assert_eq!(spool.waiting(), Waiting { samples: 3, oldest, is_urgent: false });
    assert!(silver(lake.root()).is_empty());
    assert_eq!(spool.publish().unwrap().rows, 3);
    assert_eq!(silver(lake.root()), [0, 5, 15]);
    assert_eq!(spool.waiting(), Waiting::default());
}

#[test]
fn damage_is_set_aside_once_and_the_rest_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path().join("lake"));
    let mut spool = lake.open_spool(&host()).unwrap();
    for row in samples() {
        spool.append(&mut [row], None, true).unwrap();
    }
    let path = spool.journal.path().to_owned();
    drop(spool);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = segment::HEADER_BYTES + bytes[segment::HEADER_BYTES + 8] as usize + frame::FRAME_HEADER_BYTES;
    bytes[at + 90] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut spool = lake.open_spool(&host()).unwrap();
    let [damage] = spool.damage() else { panic!("{:?}", spool.damage()) };
    assert_eq!(
        (damage.lost_frames, std::fs::metadata(&damage.path).unwrap().len()),
        (1, SEGMENT_BYTES as u64)
    );
    assert!(damage.path.starts_with(lake.root().join(".quarantine/.spool/pi")));
    assert!(spool.waiting().is_urgent);
    assert!(lake.open_spool(&host()).unwrap().damage().is_empty(), "told twice");
    spool.publish().unwrap();
    assert_eq!(silver(lake.root()), [0, 10, 15]);
    drop(spool);
    std::fs::write(&path, b"cut off").unwrap();
    let mut spool = lake.open_spool(&host()).unwrap();
    spool.append(&mut samples(), None, true).unwrap();
    assert_eq!(spool.waiting().samples, 4);
}

#[test]
fn a_full_file_system_has_no_room_for_a_new_spool_but_for_an_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("lake");
    let full =
        Faulty { space: Some(Space { free_bytes: 100_000, total_bytes: 32 << 30 }), ..Faulty::default() };
    let full = Lake::with_file_system(&root, Arc::new(full));
    assert!(matches!(full.open_spool(&host()), Err(RepositoryError::NoSpace { .. })));
    Lake::new(&root).open_spool(&host()).unwrap();
    let mut spool = full.open_spool(&host()).unwrap();
    spool.append(&mut samples(), None, true).unwrap();
    assert!(matches!(spool.publish(), Err(RepositoryError::NoSpace { .. })));
    drop(spool);
    assert_eq!(Lake::new(&root).open_spool(&host()).unwrap().publish().unwrap().rows, 4);
}

#[test]
fn what_cannot_be_read_does_not_wait_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let lake = Lake::new(directory.path().join("lake"));
    let mut spool = lake.open_spool(&host()).unwrap();
    let unreadable = Entry { kind: Kind::Rows, rows: 2, reports: 0, payload: vec![99] };
    spool.journal.append(&[unreadable], true).unwrap();
    drop(spool);
    let mut spool = lake.open_spool(&host()).unwrap();
    assert_eq!(spool.waiting().samples, 2);
    assert_eq!(spool.publish().unwrap(), Appended::default());
    assert_eq!(lake.open_spool(&host()).unwrap().waiting(), Waiting::default());
}

#[test]
fn short_and_interrupted_writes_make_whole_frames() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("lake");
    let system = Faulty { space: SMALL, short_writes: Some(700), ..Faulty::default() };
    minute(&Lake::with_file_system(&root, Arc::new(system)), 0).1.unwrap();
    assert_eq!(silver(&root), [0, 5, 10, 15]);
    assert!(Lake::new(&root).open_spool(&host()).unwrap().damage().is_empty());
}

#[test]
fn all_names_of_columns_fit_a_header() {
    let names: usize = HOST_METRICS.columns.iter().map(|column| column.name.len() + 1).sum();
    assert!(names < segment::HEADER_BYTES / 2, "{names}");
}

#[test]
fn a_day_of_samples_fits_however_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let system: Arc<dyn FileSystem> = Arc::new(OperatingSystem);
    let mut random = fastrand::Rng::with_seed(1);
    for rows in [1, 6] {
        let path = directory.path().join(rows.to_string());
        Journal::create(&system, &path, MOST_SEGMENTS).unwrap();
        let (mut journal, _) = Journal::open(&system, &path, Vec::new()).unwrap();
        let samples: Vec<_> = (0..rows).map(|n| full_sample(n as i64, &mut random)).collect();
        let payload = cells::encode(&samples, usize::MAX).0;
        for _ in 0..8_640 / rows {
            let rows = Entry { kind: Kind::Rows, rows: rows as u32, reports: 0, payload: payload.clone() };
            // What the collector leaves for its next run.
            let note = Entry { kind: Kind::Note, rows: 0, reports: 0, payload: vec![b'x'; 220] };
            journal.append(&[rows, note], false).unwrap();
        }
        assert_eq!(journal.state().dropped, 0, "{} bytes", payload.len());
    }
}

/// A sample in which every column has a value that is as long as it gets.
fn full_sample(n: i64, random: &mut fastrand::Rng) -> HostMetricsSample {
    use telemetry_schema::{ColumnType, Kind::Label};
    let cells: Vec<_> = HOST_METRICS
        .columns
        .iter()
        .map(|column| match column.ty {
            ColumnType::TimestampUs => Value::TimestampUs(1_795_305_590_000_000 + 10_000_000 * n),
            ColumnType::String if column.name == names::boot_id => {
                Value::String("3f8a0f2c-9d1e-4c55-8c1b-0a4fcb2f6f60".into())
            }
            ColumnType::String => Value::String("hwmon:cpu_thermal".into()),
            ColumnType::Float64 => Value::Float64(random.f64()),
            ColumnType::Int64 if column.kind != Label => Value::Int64(random.i64(0..1 << 40)),
            ColumnType::Int64 => Value::Int64(0),
            ColumnType::Int32 => Value::Int32(10),
            ColumnType::Boolean => Value::Boolean(true),
        })
        .collect();
    HostMetricsSample::from_values(&cells).unwrap()
}
