//! Locks between processes, and who holds them.
//!
//! A lock is the operating system's lock of an empty file, so it ends with its holder, however that
//! ends. Who the holder is stands in a second file beside it: where locks are mandatory (Windows) a
//! locked file cannot be read.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{OperatingSystem, create_directories};

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
    lake: &Path,
    directory: &Path,
    (name, what): (&str, String),
    holder: &Holder,
) -> Result<Lock, RepositoryError> {
    let file = open_lock_file(lake, &directory.join(format!("{name}.lock")))?;
    let holder_path = directory.join(format!("{name}.holder.json"));
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(RepositoryError::Locked { what, holder: read_holder(&holder_path) });
        }
        Err(TryLockError::Error(source)) => {
            return Err(RepositoryError::io("lock", &directory.join(format!("{name}.lock")), source));
        }
    }
    let lock = Lock { holder_path, _file: file };
    if let Err(error) = write_holder(&lock.holder_path, holder) {
        tracing::warn!(path = %lock.holder_path.display(), %error, "lock holder file cannot be written");
    }
    Ok(lock)
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
        if let Some(holder) = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Some(holder);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Opens a lock file, making it and its directories where they are missing. It is never removed: two
/// processes could then hold locks of two files with one name.
pub(crate) fn open_lock_file(lake: &Path, path: &Path) -> Result<File, RepositoryError> {
    let open = || OpenOptions::new().write(true).create(true).truncate(false).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(lake);
            make_directories(lake, directory)?;
            open().at("open", path)
        }
        result => result.at("open", path),
    }
}

/// Makes a directory of the lake, and the lake itself; what should hold the lake must be there.
pub(crate) fn make_directories(lake: &Path, directory: &Path) -> Result<(), RepositoryError> {
    directories_made(lake, directory, create_directories(&OperatingSystem, lake, directory))
}

/// Names the directory that a failed [`create_directories`] missed.
pub(crate) fn directories_made(
    lake: &Path,
    directory: &Path,
    result: io::Result<()>,
) -> Result<(), RepositoryError> {
    let Err(error) = result else { return Ok(()) };
    match lake.parent() {
        Some(parent) if error.kind() == io::ErrorKind::NotFound && !parent.exists() => {
            Err(RepositoryError::MissingParent { path: parent.to_owned() })
        }
        _ => Err(RepositoryError::io("create", directory, error)),
    }
}
