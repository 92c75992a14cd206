//! `LAKE/.staging` and `LAKE/.trash`: what is not yet, and what is no longer, part of a dataset.
//!
//! Everything that a process builds carries the name of its session, and the session's lock file is
//! locked for as long as the process lives. What belongs to a session whose lock is free is an orphan.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::FileSystem;
use crate::inspect::is_locked;
use crate::layout::{STAGING, TRASH, unique};
use crate::lock::{make_directories, open_lock_file};

const LOCK_EXTENSION: &str = "lock";
/// Between the session and the rest of a name.
const SEPARATOR: &str = "__";
/// How long a replaced date stays, for readers that have just listed it.
const TRASH_AGE: Duration = Duration::from_secs(3600);

/// What [`crate::Lake::clean_staging`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Unfinished files and directories of processes that have ended.
    pub orphans: usize,
    /// Replaced dates that are older than an hour.
    pub trashed: usize,
}

/// The staging directory as one process uses it; all clones of a lake share it.
#[derive(Debug, Clone)]
pub(crate) struct Staging {
    lake: PathBuf,
    system: Arc<dyn FileSystem>,
    session: Arc<Mutex<Option<Session>>>,
}

/// A name of our own in staging, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    name: String,
    lock_path: PathBuf,
    _lock: File,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.lock_path) {
            tracing::debug!(path = %self.lock_path.display(), %error, "staging lock stays behind");
        }
    }
}

impl Staging {
    pub(crate) fn new(lake: &Path, system: Arc<dyn FileSystem>) -> Self {
        Self { lake: lake.to_owned(), system, session: Arc::default() }
    }

    fn directory(&self) -> PathBuf {
        self.lake.join(STAGING)
    }

    /// A path in staging that nobody else uses; the staging directory exists when this returns.
    pub(crate) fn new_path(&self, suffix: &str) -> Result<PathBuf, RepositoryError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.is_none() {
            *session = Some(self.begin()?);
        }
        let name = session.as_ref().map_or("", |session| session.name.as_str());
        Ok(self.path_of(name, suffix))
    }

    /// As [`Staging::new_path`], with a session for this path alone: it can end before the process does.
    pub(crate) fn new_path_with_session(&self) -> Result<(PathBuf, Session), RepositoryError> {
        let session = self.begin()?;
        Ok((self.path_of(&session.name, ""), session))
    }

    fn path_of(&self, session: &str, suffix: &str) -> PathBuf {
        self.directory().join(format!("{session}{SEPARATOR}{}{suffix}", unique()))
    }

    fn begin(&self) -> Result<Session, RepositoryError> {
        loop {
            let name = unique();
            let lock_path = self.directory().join(format!("{name}.{LOCK_EXTENSION}"));
            let lock = open_lock_file(self.system.as_ref(), &self.lake, &lock_path)?;
            // A cleaner may have met the file before it was locked, and removed it.
            let is_ours = lock.try_lock().is_ok() && lock_path.try_exists().at("look up", &lock_path)?;
            if is_ours {
                return Ok(Session { name, lock_path, _lock: lock });
            }
        }
    }

    /// Removes what ended processes left behind. Directories go to the trash instead: one may be a
    /// replaced date that somebody still reads.
    pub(crate) fn remove_orphans(&self) -> Result<usize, RepositoryError> {
        let directory = self.directory();
        let sessions: BTreeSet<String> =
            list(self.system.as_ref(), &directory)?.iter().map(|name| session_of(name).to_owned()).collect();
        let mut orphans = 0;
        for session in sessions {
            let lock_path = directory.join(format!("{session}.{LOCK_EXTENSION}"));
            let Some(_lock) = try_lock(&lock_path)? else { continue };
            // Listed again: the session may have gone on between the first listing and its end.
            for name in
                list(self.system.as_ref(), &directory)?.iter().filter(|name| is_left_by(&session, name))
            {
                self.discard(&directory.join(name))?;
                tracing::info!(name, "removed an unfinished file of an ended process");
                orphans += 1;
            }
            ignore_missing(self.system.remove_file(&lock_path)).at("remove", &lock_path)?;
        }
        Ok(orphans)
    }

    /// How much [`Staging::remove_orphans`] would remove.
    pub(crate) fn count_orphans(&self) -> Result<usize, RepositoryError> {
        let directory = self.directory();
        let names = list(self.system.as_ref(), &directory)?;
        let mut orphans = 0;
        for name in names.iter().filter(|name| !name.ends_with(LOCK_EXTENSION)) {
            let lock_path = directory.join(format!("{}.{LOCK_EXTENSION}", session_of(name)));
            if !is_locked(&lock_path).at("lock", &lock_path)? {
                orphans += 1;
            }
        }
        Ok(orphans)
    }

    fn discard(&self, path: &Path) -> Result<(), RepositoryError> {
        if path.is_dir() {
            return self.trash(path);
        }
        ignore_missing(self.system.remove_file(path)).at("remove", path)
    }

    /// Moves a directory or file into a new directory of the trash, whose modification time says
    /// since when it has been there.
    pub(crate) fn trash(&self, path: &Path) -> Result<(), RepositoryError> {
        let Some(name) = path.file_name() else { return Ok(()) };
        let bin = self.lake.join(TRASH).join(unique());
        make_directories(self.system.as_ref(), &self.lake, &self.lake.join(TRASH))?;
        self.system.create_directory(&bin).at("create", &bin)?;
        self.system.rename(path, &bin.join(name)).at("move to the trash", path)
    }

    /// Deletes what has been in the trash for an hour.
    pub(crate) fn empty_trash(&self, now: DateTime<Utc>) -> Result<usize, RepositoryError> {
        let trash = self.lake.join(TRASH);
        let mut removed = 0;
        for name in list(self.system.as_ref(), &trash)? {
            let path = trash.join(name);
            let Ok(since) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else { continue };
            let is_old = (now - DateTime::<Utc>::from(since)).to_std().is_ok_and(|age| age >= TRASH_AGE);
            if is_old {
                ignore_missing(self.system.remove_directory_all(&path)).at("remove", &path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn list(system: &dyn FileSystem, directory: &Path) -> Result<Vec<String>, RepositoryError> {
    match system.list(directory) {
        Ok(entries) => Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(RepositoryError::io("list", directory, error)),
    }
}

/// The session that an entry of the staging directory belongs to.
fn session_of(name: &str) -> &str {
    let lock = name.strip_suffix(LOCK_EXTENSION).and_then(|name| name.strip_suffix('.'));
    lock.unwrap_or_else(|| name.split_once(SEPARATOR).map_or(name, |(session, _)| session))
}

fn is_left_by(session: &str, name: &str) -> bool {
    session_of(name) == session && !name.ends_with(LOCK_EXTENSION)
}

/// A session whose lock is free. The file is made before anything else of the session and removed
/// after it, so that a session without one has ended too.
struct Ended {
    _lock: Option<File>,
}

/// Takes the lock of a session, unless it lives.
fn try_lock(path: &Path) -> Result<Option<Ended>, RepositoryError> {
    let file = match fs::OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Ended { _lock: None })),
        // Of another user, who alone can tell whether it has ended: no reason for this one to stop.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(path = %path.display(), "unfinished files of another user are left alone");
            return Ok(None);
        }
        Err(error) => return Err(RepositoryError::io("open", path, error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Ended { _lock: Some(file) })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(RepositoryError::io("lock", path, error)),
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
