//! Locks between processes, and who holds them.
//!
//! A lock is the operating system's lock of an empty file, so it ends with its holder, however that
//! ends. Who the holder is stands in a second file beside it: where locks are mandatory (Windows) a
//! locked file cannot be read.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, create_directories};
use crate::lake::Lake;

/// Who holds a lock, as told by the holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// When it took the lock.
    pub since: DateTime<Utc>,
    /// The program and its arguments.
    pub command: String,
}

impl Holder {
    pub(crate) fn describe(holder: Option<&Self>) -> String {
        match holder {
            Some(Self { pid, since, command }) => {
                let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
                format!("process {pid} since {since} ({command})")
            }
            None => "another process".to_owned(),
        }
    }
}

/// A lock that ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Lock {
    holder_path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock itself is released, so that the next holder's entry is never removed.
        if let Err(error) = fs::remove_file(&self.holder_path) {
            tracing::debug!(path = %self.holder_path.display(), %error, "lock holder file stays behind");
        }
    }
}

/// Takes the lock `<directory>/<name>.lock`, or says at once who holds it.
pub(crate) fn lock(
    lake: &Lake,
    directory: &Path,
    (name, what): (&str, String),
    holder: &Holder,
) -> Result<Lock, RepositoryError> {
    let path = lock_path(directory, name);
    let file = open_lock_file(lake.system().as_ref(), lake.root(), &path)?;
    let holder_path = holder_path(directory, name);
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(RepositoryError::Locked { what, holder: read_holder(&holder_path) });
        }
        Err(TryLockError::Error(source)) => {
            return Err(RepositoryError::io("lock", &path, source));
        }
    }
    let lock = Lock { holder_path, _file: file };
    if let Err(error) = write_holder(&lock.holder_path, holder) {
        tracing::warn!(path = %lock.holder_path.display(), %error, "lock holder file cannot be written");
    }
    Ok(lock)
}

pub(crate) fn lock_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.lock"))
}

/// Where the holder says who it is.
pub(crate) fn holder_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.holder.json"))
}

fn write_holder(path: &Path, holder: &Holder) -> io::Result<()> {
    // By rename, so that a process that fails to get the lock reads all of it or nothing.
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(holder)?)?;
    fs::rename(&new, path)
}

/// The holder takes the lock a moment before it can say who it is: worth a short wait.
fn read_holder(path: &Path) -> Option<Holder> {
    for _ in 0..10 {
        if let Some(holder) = try_read_holder(path) {
            return Some(holder);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// What stands in a holder's file, if it is there and whole.
pub(crate) fn try_read_holder(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Whether an open file still has a name.
#[cfg(unix)]
pub(crate) fn has_name(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) > 0)
}

/// Lock files are never removed here.
#[cfg(not(unix))]
pub(crate) fn has_name(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Opens a lock file, making it and its directories where they are missing. It is not removed, but for
/// those of dates that expire: two processes could then hold locks of two files with one name.
pub(crate) fn open_lock_file(
    system: &dyn FileSystem,
    lake: &Path,
    path: &Path,
) -> Result<File, RepositoryError> {
    match system.open_lock(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directories(system, lake, path.parent().unwrap_or(lake))?;
            system.open_lock(path).at("open", path)
        }
        result => result.at("open", path),
    }
}

/// Makes a directory of the lake, and the lake itself; what should hold the lake must be there.
pub(crate) fn make_directories(
    system: &dyn FileSystem,
    lake: &Path,
    directory: &Path,
) -> Result<(), RepositoryError> {
    let Err(error) = create_directories(system, lake, directory) else { return Ok(()) };
    match lake.parent() {
        Some(parent) if error.kind() == io::ErrorKind::NotFound && !parent.exists() => {
            Err(RepositoryError::MissingParent { path: parent.to_owned() })
        }
        _ => Err(RepositoryError::io("create", directory, error)),
    }
}
