//! Locks between processes.
//!
//! A lock is the operating system's lock of an empty file, so it ends with its holder, however that
//! ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, create_directories};
use crate::holder::{Announcement, Holder, holder_of};
use crate::lake::Lake;

/// Who only looks whether a lock is taken has it for an instant, and a holder can be named only a moment
/// after it took the lock: both are worth a short wait.
const ATTEMPTS: usize = 10;
const LEAST_ATTEMPTS: usize = 2;
const PAUSE: Duration = Duration::from_millis(2);

/// A lock that ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Lock {
    // Before the lock itself, which is released last.
    _announcement: Announcement,
    _file: File,
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
    let mut other = None;
    for attempt in 1..=ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _announcement: Announcement::new(&path, holder), _file: file }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(RepositoryError::io("lock", &path, source)),
        }
        other = holder_of(&path);
        if other.is_some() && attempt >= LEAST_ATTEMPTS {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Err(RepositoryError::Locked { what, holder: other })
}

pub(crate) fn lock_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.lock"))
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
