//! A lake: one directory, the datasets in it, and what lies beside them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use telemetry_schema::{Dataset, HOST_ALERTS, HOST_METRICS, HostId, Layer};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, OperatingSystem};
use crate::holder::Holder;
use crate::host_alerts::HostAlertsRepository;
use crate::host_metrics::HostMetricsRepository;
use crate::layout::{QUARANTINE, SPOOL, STAGING, STATE, STATE_OF_LAKE, TRASH, date_directory};
use crate::lock::{self, Lock, open_lock_file};
use crate::publish::Exclusion;
use crate::staging::{Cleaned, Staging};
use crate::state;
use crate::store::DatasetStore;
use crate::views;

/// A lake on disk. Cheap to clone; clones share one staging session.
#[derive(Debug, Clone)]
pub struct Lake {
    root: PathBuf,
    system: Arc<dyn FileSystem>,
    staging: Staging,
}

impl Lake {
    /// The lake in that directory. Touches nothing: directories are made when something is written,
    /// and the lake's own parent must then exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_file_system(root, Arc::new(OperatingSystem))
    }

    pub(crate) fn with_file_system(root: impl Into<PathBuf>, system: Arc<dyn FileSystem>) -> Self {
        let root = root.into();
        let root = std::path::absolute(&root).unwrap_or(root);
        Self { staging: Staging::new(&root, Arc::clone(&system)), root, system }
    }

    /// The lake's directory, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the directories above the lake, for one whose place nobody has named. Above one that was
    /// named, a missing directory may be a disk that is not mounted.
    ///
    /// # Errors
    /// As if the lake itself could not be made: [`RepositoryError::Permission`],
    /// [`RepositoryError::ReadOnly`], [`RepositoryError::NotADirectory`] and the like.
    pub fn make_parents(&self) -> Result<(), RepositoryError> {
        let Some(parent) = self.root.parent() else { return Ok(()) };
        let Err(error) = std::fs::create_dir_all(parent) else { return Ok(()) };
        let path = nearest(parent, &error);
        match error.kind() {
            // What is there is no directory, or there would be no error.
            io::ErrorKind::AlreadyExists => Err(RepositoryError::NotADirectory { path: path.to_owned() }),
            _ => Err(RepositoryError::io("create", path, error)),
        }
    }

    /// Whether the directory is there and holds nothing but what belongs to a lake; false also where it
    /// cannot be listed.
    pub fn has_own_directory(&self) -> bool {
        let layers = [Layer::Silver, Layer::Gold].map(Layer::directory);
        let beside = [STAGING, TRASH, QUARANTINE, STATE, SPOOL];
        self.root.read_dir().is_ok_and(|mut entries| {
            entries.all(|entry| {
                let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
                layers.iter().chain(&beside).any(|known| name == **known)
            })
        })
    }

    pub(crate) fn system(&self) -> &Arc<dyn FileSystem> {
        &self.system
    }

    pub(crate) fn staging(&self) -> &Staging {
        &self.staging
    }

    /// The Silver samples of hosts.
    pub fn host_metrics(&self) -> HostMetricsRepository {
        HostMetricsRepository::new(self.store(&HOST_METRICS, HOST_METRICS.name.to_owned()))
    }

    /// The alert events.
    pub fn host_alerts(&self) -> HostAlertsRepository {
        HostAlertsRepository::new(self.store(&HOST_ALERTS, HOST_ALERTS.name.to_owned()))
    }

    /// Any dataset; the name is the table's own, or that of a variant with the same columns (a rollup
    /// of another interval).
    pub fn store(&self, dataset: &'static Dataset, name: String) -> DatasetStore {
        DatasetStore::new(self.clone(), dataset, name)
    }

    /// Takes the lock that one collector a host and lake holds.
    ///
    /// # Errors
    /// [`RepositoryError::Locked`] at once if another has it.
    pub fn lock_collector(&self, host: &HostId, holder: &Holder) -> Result<Lock, RepositoryError> {
        let what = format!("the collector of {host}");
        lock::lock(self, &self.state_directory(host.as_str()), ("collector", what), holder)
    }

    /// Takes the lock that one builder of Gold a lake holds.
    ///
    /// # Errors
    /// [`RepositoryError::Locked`] at once if another has it.
    pub fn lock_rollup(&self, holder: &Holder) -> Result<Lock, RepositoryError> {
        let what = ("rollup", "the rollup".to_owned());
        lock::lock(self, &self.state_directory(STATE_OF_LAKE), what, holder)
    }

    /// Waits for the lock of a date; it ends when the file is dropped.
    pub(crate) fn lock_date(
        &self,
        dataset: &str,
        date: NaiveDate,
        exclusion: Exclusion,
    ) -> Result<File, RepositoryError> {
        let path = self.date_lock_path(dataset, date);
        loop {
            let file = open_lock_file(self.system.as_ref(), &self.root, &path)?;
            match exclusion {
                Exclusion::Shared => file.lock_shared(),
                Exclusion::Exclusive => file.lock(),
            }
            .at("lock", &path)?;
            // Expiry may have removed it while we waited: then others lock another file of that name.
            if lock::has_name(&file).at("look up", &path)? {
                return Ok(file);
            }
        }
    }

    pub(crate) fn date_lock_path(&self, dataset: &str, date: NaiveDate) -> PathBuf {
        let name = format!("{}.lock", date_directory(date));
        self.state_directory(STATE_OF_LAKE).join(dataset).join(name)
    }

    /// Removes the lock file of a date that is gone, by the holder of the exclusive lock. Where nobody
    /// can see that a file has lost its name, it stays.
    pub(crate) fn remove_date_lock(&self, dataset: &str, date: NaiveDate) {
        let path = self.date_lock_path(dataset, date);
        if cfg!(unix)
            && let Err(error) = self.system.remove_file(&path)
        {
            tracing::debug!(path = %path.display(), %error, "lock file of an expired date stays behind");
        }
    }

    /// What a program of this host saved under that name; `None` also if it is damaged or cannot be
    /// read, after a warning.
    ///
    /// # Errors
    /// None at present: state is something that its owner can do without.
    pub fn load_state(&self, host: &HostId, name: &str) -> Result<Option<String>, RepositoryError> {
        Ok(state::load(&self.state_directory(host.as_str()), name))
    }

    /// Replaces `.state/<host>/<name>.json` atomically; the text must be JSON. Not synced: a power cut
    /// may bring back the previous text, or none.
    pub fn save_state(&self, host: &HostId, name: &str, text: &str) -> Result<(), RepositoryError> {
        state::save(self, &self.state_directory(host.as_str()), name, text)
    }

    /// Removes what ended processes left unfinished, and replaced dates that have been in the trash
    /// for an hour at `now`. Safe beside running processes; does nothing where there is no lake.
    pub fn clean_staging(&self, now: DateTime<Utc>) -> Result<Cleaned, RepositoryError> {
        Ok(Cleaned { orphans: self.staging.remove_orphans()?, trashed: self.staging.empty_trash(now)? })
    }

    /// The DuckDB statements that create a view for each dataset, with the rollup of that interval.
    /// A dataset without files gets an empty view with the right columns.
    ///
    /// # Errors
    /// [`RepositoryError::NotUnicode`] if SQL cannot spell the lake's path.
    pub fn views_sql(&self, interval_minutes: u32) -> Result<String, RepositoryError> {
        views::sql(self, interval_minutes)
    }

    pub(crate) fn state_directory(&self, owner: &str) -> PathBuf {
        self.root.join(STATE).join(owner)
    }
}

/// What an error of making a directory is about: where there is something in the way, that.
fn nearest<'a>(directory: &'a Path, error: &io::Error) -> &'a Path {
    let is_in_the_way = matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists);
    let there = directory.ancestors().find(|path| path.exists());
    there.filter(|_| is_in_the_way).unwrap_or(directory)
}
