//! What directories of closed dates held when they were last listed.
//!
//! A run that finds nothing new would otherwise spend most of its time opening a directory for every
//! date that the lake has. A directory that is the same inode, changed at the same nanosecond, holds
//! what it held: decision 0013.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::Path;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::error::RepositoryError;
use crate::lake::Lake;
use crate::layout::{FileName, STATE_OF_LAKE};
use crate::scan::DataFile;
use crate::state;
use crate::store::DatasetStore;

/// Name of the state of the lake.
const NAME: &str = "listings";
/// Younger dates change too often to be worth remembering.
const YOUNGEST_DAYS: u64 = 3;
/// A directory that has just changed can change again without a trace: no file system counts time in
/// coarser steps than this.
const SETTLED: TimeDelta = TimeDelta::seconds(10);

/// What is remembered of a lake's directories between runs. Only a cache: what it lacks is listed.
#[derive(Debug, Default)]
pub struct Listings {
    known: BTreeMap<String, Listing>,
    /// What stands in the lake now.
    used: BTreeMap<String, Listing>,
    /// Something in `used` was not known.
    has_news: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    directory: Fingerprint,
    /// Names and sizes.
    files: Vec<(String, u64)>,
}

/// Changes whenever an entry of the directory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    #[serde(rename = "i")]
    inode: u64,
    #[serde(rename = "m")]
    modified_ns: i64,
    #[serde(rename = "c")]
    changed_ns: i64,
}

impl Listings {
    /// Those of the last run; none if they cannot be read.
    pub fn load(lake: &Lake) -> Self {
        let known = state::load_as(&lake.state_directory(STATE_OF_LAKE), NAME).unwrap_or_default();
        Self { known, ..Self::default() }
    }

    /// Keeps what stands in the lake, if that is something else than before.
    pub fn save(self, lake: &Lake) {
        if !self.has_news && self.known.is_empty() {
            return;
        }
        let text = serde_json::to_string(&self.used).expect("texts and numbers are always JSON");
        if let Err(error) = state::save(lake, &lake.state_directory(STATE_OF_LAKE), NAME, &text) {
            tracing::debug!(%error, "listings cannot be kept");
        }
    }

    /// The files of the date with this directory, as [`DatasetStore::files_on`] lists them.
    pub(crate) fn files_in(
        &mut self,
        store: &DatasetStore,
        date: NaiveDate,
        path: &Path,
        now: DateTime<Utc>,
    ) -> Result<Vec<DataFile>, RepositoryError> {
        let is_closed = now.date_naive().checked_sub_days(Days::new(YOUNGEST_DAYS)) >= Some(date);
        let Some(directory) = is_closed.then(|| Fingerprint::of(path)).flatten() else {
            return store.files_on(date);
        };
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let key = [store.name(), "/", name].concat();
        if let Some(listing) = self.known.remove(&key).filter(|listing| listing.directory == directory) {
            let files = listing.to_files(path, date);
            self.used.insert(key, listing);
            return Ok(files);
        }
        self.has_news = true;
        let files = store.files_on(date)?;
        if directory.is_settled(now)
            && let Some(listing) = Listing::of(directory, &files)
        {
            self.used.insert(key, listing);
        }
        Ok(files)
    }
}

impl Listing {
    fn of(directory: Fingerprint, files: &[DataFile]) -> Option<Self> {
        let entry = |file: &DataFile| Some((file.path.file_name()?.to_str()?.to_owned(), file.size));
        Some(Self { directory, files: files.iter().map(entry).collect::<Option<_>>()? })
    }

    fn to_files(&self, directory: &Path, date: NaiveDate) -> Vec<DataFile> {
        let file = |(name, size): &(String, u64)| DataFile {
            path: directory.join(name),
            date,
            size: *size,
            name: FileName::parse(name),
        };
        self.files.iter().map(file).collect()
    }
}

impl Fingerprint {
    /// `None` where there is no directory, or nothing that tells one state of it from another.
    fn of(directory: &Path) -> Option<Self> {
        Self::of_metadata(&std::fs::metadata(directory).ok()?)
    }

    fn is_settled(&self, now: DateTime<Utc>) -> bool {
        let settled = now - SETTLED;
        let settled_ns = settled.timestamp_nanos_opt().unwrap_or(i64::MIN);
        self.modified_ns.max(self.changed_ns) < settled_ns
    }

    #[cfg(unix)]
    fn of_metadata(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Some(Self {
            inode: metadata.ino(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    fn of_metadata(_: &Metadata) -> Option<Self> {
        None
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use telemetry_schema::HOST_METRICS;

    use super::*;

    const NAMES: [&str; 2] = ["a.parquet", "b.parquet"];

    /// A lake with one date that has a file, and an instant at which its directory has settled.
    fn lake() -> (tempfile::TempDir, DatasetStore, NaiveDate, DateTime<Utc>) {
        let root = tempfile::tempdir().unwrap();
        let store = Lake::new(root.path().join("lake")).store(&HOST_METRICS, HOST_METRICS.name.to_owned());
        let date = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        std::fs::create_dir_all(store.date_path(date)).unwrap();
        std::fs::write(store.date_path(date).join(NAMES[0]), "1").unwrap();
        let changed = std::fs::metadata(store.date_path(date)).unwrap().modified().unwrap();
        (root, store, date, DateTime::<Utc>::from(changed) + SETTLED + TimeDelta::seconds(1))
    }

    /// What a run at that instant lists, and how many of its directories it did not have to open.
    fn run(store: &DatasetStore, now: DateTime<Utc>) -> (Vec<DataFile>, usize) {
        let mut listings = Listings::load(store.lake());
        let known = listings.known.len();
        let files = store.files_by_date(&mut listings, now).unwrap().into_values().flatten().collect();
        let opened = usize::from(listings.has_news);
        listings.save(store.lake());
        (files, known.saturating_sub(opened))
    }

    #[test]
    fn a_settled_directory_is_listed_once_and_again_when_it_changes() {
        let (_root, store, date, now) = lake();
        let listed = || store.files_on(date).unwrap();
        assert_eq!(run(&store, now), (listed(), 0));
        assert_eq!(run(&store, now), (listed(), 1));

        std::fs::write(store.date_path(date).join(NAMES[1]), "22").unwrap();
        assert_eq!(listed().len(), 2);
        assert_eq!(run(&store, now), (listed(), 0));
        std::fs::remove_file(store.date_path(date).join(NAMES[0])).unwrap();
        let later = now + SETTLED * 2;
        assert_eq!(run(&store, later), (listed(), 0));
        assert_eq!(run(&store, later), (listed(), 1));

        // Another directory in its place, as compaction leaves it.
        let other = store.directory().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::rename(store.date_path(date), store.directory().join("old")).unwrap();
        std::fs::rename(&other, store.date_path(date)).unwrap();
        assert_eq!(run(&store, later), (Vec::new(), 0));
    }

    #[test]
    fn a_directory_that_may_still_change_is_not_remembered() {
        let (_root, store, date, now) = lake();
        let young = now - SETTLED;
        let today = date.and_time(chrono::NaiveTime::MIN).and_utc();
        for now in [young, today] {
            run(&store, now);
            assert_eq!(run(&store, now), (store.files_on(date).unwrap(), 0));
        }
        assert!(Listings::load(store.lake()).known.is_empty());
    }

    #[test]
    fn damaged_listings_are_left_out() {
        let (_root, store, date, now) = lake();
        run(&store, now);
        let path = store.lake().state_directory(STATE_OF_LAKE).join(format!("{NAME}.json"));
        std::fs::write(&path, "{\"x\": 1}").unwrap();
        assert_eq!(run(&store, now), (store.files_on(date).unwrap(), 0));
        assert_eq!(run(&store, now), (store.files_on(date).unwrap(), 1));
    }
}
