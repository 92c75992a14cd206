//! A file system that fails at one chosen call, or lacks operations; and what publishing and
//! replacing make of it.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::filesystem::{Entry, FileSystem, OperatingSystem, Space};

/// The operating system's file system with faults; by default without any.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    /// The call (counted from 1) that fails, and how.
    pub(crate) fault: Option<(usize, io::ErrorKind)>,
    /// Operations that there are not.
    pub(crate) lacks: &'static [&'static str],
    /// Writes take at most so many bytes, and every other one is interrupted.
    pub(crate) short_writes: Option<usize>,
    /// What is said of the room.
    pub(crate) space: Option<Space>,
    /// Told of each call before it is made.
    pub(crate) observer: Option<Observer>,
    /// Where writes at an offset and syncs of data are remembered.
    pub(crate) changes: Option<Mutex<Vec<Change>>>,
    pub(crate) calls: AtomicUsize,
    pub(crate) log: Mutex<Vec<&'static str>>,
}

/// What was done to a file.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// These bytes were written at this offset.
    Write(u64, Vec<u8>),
    /// All before is durable.
    Sync,
}

/// A function that sees the calls.
pub(crate) struct Observer(pub(crate) Box<dyn Fn(&'static str) + Send + Sync>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("observer")
    }
}

impl Faulty {
    pub(crate) fn failing_at(call: usize, kind: io::ErrorKind) -> Self {
        Self { fault: Some((call, kind)), ..Self::default() }
    }

    /// The names of all calls so far.
    pub(crate) fn log(&self) -> Vec<&'static str> {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    fn remember(&self, change: Change) {
        if let Some(Ok(mut changes)) = self.changes.as_ref().map(Mutex::lock) {
            changes.push(change);
        }
    }

    fn call<T>(&self, name: &'static str, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(mut log) = self.log.lock() {
            log.push(name);
        }
        if let Some(Observer(observe)) = &self.observer {
            observe(name);
        }
        match self.fault {
            Some((at, kind)) if at == call => Err(kind.into()),
            _ if self.lacks.contains(&name) => Err(io::ErrorKind::Unsupported.into()),
            _ => run(),
        }
    }
}

impl FileSystem for Faulty {
    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        self.call("space", || self.space.map_or_else(|| OperatingSystem.space(path), |space| Ok(Some(space))))
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call("create_directory", || OperatingSystem.create_directory(path))
    }
    fn create_new(&self, path: &Path) -> io::Result<File> {
        self.call("create_new", || OperatingSystem.create_new(path))
    }
    fn open_file(&self, path: &Path) -> io::Result<File> {
        self.call("open_file", || OperatingSystem.open_file(path))
    }
    fn open_lock(&self, path: &Path) -> io::Result<File> {
        self.call("open_lock", || OperatingSystem.open_lock(path))
    }
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        let calls = self.calls.load(Ordering::SeqCst);
        self.call("write", || match self.short_writes {
            Some(_) if calls.is_multiple_of(2) => Err(io::ErrorKind::Interrupted.into()),
            Some(most) => OperatingSystem.write(file, &bytes[..bytes.len().min(most)]),
            None => OperatingSystem.write(file, bytes),
        })
    }
    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call("read_at", || OperatingSystem.read_at(file, bytes, offset))
    }
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let calls = self.calls.load(Ordering::SeqCst);
        self.call("write_at", || match self.short_writes {
            Some(_) if calls.is_multiple_of(2) => Err(io::ErrorKind::Interrupted.into()),
            Some(most) => OperatingSystem.write_at(file, &bytes[..bytes.len().min(most)], offset),
            None => {
                self.remember(Change::Write(offset, bytes.to_vec()));
                OperatingSystem.write_at(file, bytes, offset)
            }
        })
    }
    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.call("sync_data", || {
            self.remember(Change::Sync);
            OperatingSystem.sync_data(file)
        })
    }
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.call("sync_file", || OperatingSystem.sync_file(file))
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.call("sync_directory", || OperatingSystem.sync_directory(path))
    }
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename_no_replace", || OperatingSystem.rename_no_replace(from, to))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("link", || OperatingSystem.link(from, to))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename", || OperatingSystem.rename(from, to))
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.call("exchange", || OperatingSystem.exchange(one, other))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call("remove_file", || OperatingSystem.remove_file(path))
    }
    fn remove_directory_all(&self, path: &Path) -> io::Result<()> {
        self.call("remove_directory_all", || OperatingSystem.remove_directory_all(path))
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.call("list", || OperatingSystem.list(path))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use chrono::{DateTime, NaiveDate, Utc};
    use polars::prelude::{Column, DataFrame};
    use telemetry_schema::{
        HOST_METRICS_ROLLUP, HostMetricsSample, Row as _, Value, host_metrics, host_metrics_rollup,
    };

    use super::*;
    use crate::frame::{frame_from_rows, rows_from_frame};
    use crate::{DatasetStore, Lake, RepositoryError, RollupFileName, Selection};

    fn lake(root: &Path, system: Faulty) -> (Lake, Arc<Faulty>) {
        let system = Arc::new(system);
        (Lake::with_file_system(root, Arc::clone(&system) as Arc<dyn FileSystem>), system)
    }

    fn instant(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_262_400 + second, 0).unwrap()
    }

    fn date() -> NaiveDate {
        instant(0).date_naive()
    }

    fn samples() -> Vec<HostMetricsSample> {
        let cells = |second| {
            HostMetricsSample::DATASET.columns.iter().map(move |column| match column.name {
                host_metrics::names::as_of => Value::TimestampUs(instant(second).timestamp_micros()),
                host_metrics::names::host_id => Value::String("pi".into()),
                _ => Value::Null,
            })
        };
        (0..6).map(|n| HostMetricsSample::from_values(&cells(10 * n).collect::<Vec<_>>()).unwrap()).collect()
    }

    fn stored(lake: &Lake) -> Vec<HostMetricsSample> {
        let store = lake.host_metrics().store().clone();
        let columns: Vec<_> = store.dataset().columns.iter().map(|column| column.name).collect();
        let files = store.files(&Selection::all()).unwrap();
        files.iter().flat_map(|file| rows_from_frame(&store.read(file, &columns).unwrap()).unwrap()).collect()
    }

    fn temporary() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("lake");
        (directory, root)
    }

    fn staging_is_empty(root: &Path) -> bool {
        std::fs::read_dir(root.join(".staging")).unwrap().next().is_none()
    }

    const KINDS: [io::ErrorKind; 2] = [io::ErrorKind::StorageFull, io::ErrorKind::Other];

    #[test]
    fn an_append_that_fails_anywhere_stores_nothing_and_can_be_repeated() {
        for lacks in [&[][..], &["rename_no_replace"]] {
            let calls = {
                let (_keep, root) = temporary();
                let (lake, system) = lake(&root, Faulty { lacks, ..Faulty::default() });
                lake.host_metrics().append(&samples()).unwrap();
                system.log().len()
            };
            assert!(calls >= 8, "{calls}");
            for (call, kind) in (1..=calls).flat_map(|call| KINDS.map(|kind| (call, kind))) {
                check_failing_append(lacks, call, kind);
            }
        }
    }

    fn check_failing_append(lacks: &'static [&'static str], call: usize, kind: io::ErrorKind) {
        let (_keep, root) = temporary();
        let (faulty, system) = lake(&root, Faulty { lacks, ..Faulty::failing_at(call, kind) });
        let result = faulty.host_metrics().append(&samples());
        let expected = if result.is_ok() { samples() } else { Vec::new() };
        assert_eq!(stored(&faulty), expected, "call {call} of {:?}", system.log());
        drop(faulty);
        let again = Lake::new(&root);
        if result.is_err() {
            again.host_metrics().append(&samples()).unwrap();
        }
        assert_eq!(stored(&again), samples());
        again.clean_staging(instant(0)).unwrap();
        drop(again);
        assert!(staging_is_empty(&root), "call {call} of {:?}", system.log());
    }

    #[test]
    fn short_and_interrupted_writes_make_whole_files() {
        let (_keep, root) = temporary();
        let (lake, _) = lake(&root, Faulty { short_writes: Some(7), ..Faulty::default() });
        lake.host_metrics().append(&samples()).unwrap();
        assert_eq!(stored(&lake), samples());
    }

    #[test]
    fn a_taken_name_is_left_alone() {
        let (_keep, root) = temporary();
        let (healthy, system) = lake(&root, Faulty::default());
        healthy.host_metrics().append(&samples()).unwrap();
        let rename = 1 + system.log().iter().position(|call| *call == "rename_no_replace").unwrap();
        let (_keep, root) = temporary();
        let (lake, system) = lake(&root, Faulty::failing_at(rename, io::ErrorKind::AlreadyExists));
        lake.host_metrics().append(&samples()).unwrap();
        assert_eq!(stored(&lake), samples());
        assert_eq!(system.log().iter().filter(|call| **call == "rename_no_replace").count(), 2);
    }

    #[test]
    fn poorer_file_systems_publish_too() {
        for lacks in [&["rename_no_replace"][..], &["rename_no_replace", "link"]] {
            let (_keep, root) = temporary();
            let (lake, _) = lake(&root, Faulty { lacks, ..Faulty::default() });
            lake.host_metrics().append(&samples()).unwrap();
            assert_eq!(stored(&lake), samples());
            assert_eq!(
                std::fs::read_dir(root.join(".staging")).unwrap().count(),
                0,
                "its session has not ended"
            );
        }
    }

    #[test]
    fn a_full_file_system_is_left_its_reserve() {
        let append = |free_bytes, total_bytes| {
            let (_keep, root) = temporary();
            let space = Some(Space { free_bytes, total_bytes });
            let (lake, _) = lake(&root, Faulty { space, ..Faulty::default() });
            lake.host_metrics().append(&samples()).map(|appended| appended.rows)
        };
        assert!(matches!(append(64 << 20, 32 << 30), Err(RepositoryError::NoSpace { .. })));
        assert_eq!(append(65 << 20, 32 << 30).unwrap(), 6);
        assert_eq!(append(1 << 20, 1 << 20).unwrap(), 6);
        assert!(matches!(append(20 << 10, 1 << 20), Err(RepositoryError::NoSpace { .. })));
    }

    fn rollup(lake: &Lake) -> DatasetStore {
        lake.store(&HOST_METRICS_ROLLUP, HOST_METRICS_ROLLUP.name.to_owned())
    }

    fn name(generation: u64) -> RollupFileName {
        RollupFileName { date: date(), generation, digest: generation, is_final: false }
    }

    /// Gold of which only the key matters here.
    fn buckets() -> DataFrame {
        use host_metrics_rollup::names::{bucket_start, host_id};
        let frame = frame_from_rows(&samples());
        let mut columns: Vec<Column> =
            ["as_of", "host_id"].iter().map(|name| frame.column(name).unwrap().clone()).collect();
        columns[0].rename(bucket_start.into());
        columns[1].rename(host_id.into());
        DataFrame::new(frame.height(), columns).unwrap()
    }

    fn generations(store: &DatasetStore) -> Vec<u64> {
        let files = store.files_on(date()).unwrap();
        files
            .iter()
            .map(|file| {
                assert_eq!(store.read(file, &["bucket_start"]).unwrap().height(), 6);
                file.name.rollup().unwrap().generation
            })
            .collect()
    }

    fn replace(lake: &Lake, generation: u64) -> Result<(), RepositoryError> {
        rollup(lake).replace_date(date(), &buckets(), &name(generation), &[]).map(|_| ())
    }

    #[test]
    fn short_and_interrupted_writes_make_whole_dates_and_states() {
        let (_keep, root) = temporary();
        let (lake, _) = lake(&root, Faulty { short_writes: Some(7), ..Faulty::default() });
        replace(&lake, 1).unwrap();
        replace(&lake, 2).unwrap();
        assert_eq!(generations(&rollup(&lake)), [2]);
        let state = format!("[{}1]", "1,".repeat(99));
        lake.save_rollup_state("expired", &state).unwrap();
        assert_eq!(lake.load_rollup_state("expired").unwrap(), Some(vec![1; 100]));
    }

    #[test]
    fn a_replacement_that_fails_anywhere_shows_the_old_or_the_new_date() {
        for lacks in [&[][..], &["exchange"], &["exchange", "rename_no_replace", "link"]] {
            let calls = {
                let (_keep, root) = temporary();
                replace(&Lake::new(&root), 1).unwrap();
                let (lake, system) = lake(&root, Faulty { lacks, ..Faulty::default() });
                replace(&lake, 2).unwrap();
                assert_eq!(generations(&rollup(&lake)), [2]);
                system.log().len()
            };
            for call in 1..=calls {
                let (_keep, root) = temporary();
                replace(&Lake::new(&root), 1).unwrap();
                let faulty = Faulty { lacks, ..Faulty::failing_at(call, io::ErrorKind::Other) };
                let (lake, system) = lake(&root, faulty);
                let result = replace(&lake, 2);
                let seen = generations(&rollup(&lake));
                let allowed: &[&[u64]] = match (&result, lacks) {
                    (Ok(()), _) => &[&[2]],
                    (Err(_), []) if cfg!(unix) => &[&[1], &[2]],
                    (Err(_), _) => &[&[1], &[2], &[1, 2]],
                };
                assert!(allowed.contains(&seen.as_slice()), "{seen:?} after {:?}", system.log());
                drop(lake);
                let again = Lake::new(&root);
                replace(&again, 3).unwrap();
                assert_eq!(generations(&rollup(&again)), [3]);
                again.clean_staging(instant(0)).unwrap();
                drop(again);
                assert!(staging_is_empty(&root), "call {call} of {:?}", system.log());
            }
        }
    }

    #[test]
    fn a_date_of_which_somebody_has_the_old_file_open_stays_as_it_is() {
        let poor = || Faulty { lacks: &["exchange"], ..Faulty::default() };
        let replaced_once = || {
            let (keep, root) = temporary();
            replace(&Lake::new(&root), 1).unwrap();
            replace(&Lake::with_file_system(&root, Arc::new(poor())), 2).unwrap();
            (keep, root)
        };
        let (_keep, root) = replaced_once();
        let (healthy, system) = lake(&root, poor());
        replace(&healthy, 3).unwrap();
        let to_the_trash = 1 + system.log().iter().rposition(|call| *call == "rename").unwrap();

        let (_keep, root) = replaced_once();
        let (lake, _) = lake(&root, Faulty { fault: Some((to_the_trash, io::ErrorKind::Other)), ..poor() });
        let error = replace(&lake, 3).unwrap_err();
        assert!(error.to_string().contains("move to the trash"), "{error}");
        assert_eq!(generations(&rollup(&lake)), [2]);
        replace(&lake, 3).unwrap();
        assert_eq!(generations(&rollup(&lake)), [3]);
    }

    #[test]
    fn a_first_publication_that_fails_anywhere_shows_nothing_or_all() {
        let (_keep, root) = temporary();
        let (healthy, system) = lake(&root, Faulty::default());
        replace(&healthy, 1).unwrap();
        for call in 1..=system.log().len() {
            let (_keep, root) = temporary();
            let (lake, _) = lake(&root, Faulty::failing_at(call, io::ErrorKind::Other));
            let result = replace(&lake, 1);
            let seen = generations(&rollup(&lake));
            assert!(seen == [1] || (seen.is_empty() && result.is_err()), "{seen:?} at call {call}");
            drop(lake);
            replace(&Lake::new(&root), 2).unwrap();
            assert_eq!(generations(&rollup(&Lake::new(&root))), [2]);
        }
    }
}
