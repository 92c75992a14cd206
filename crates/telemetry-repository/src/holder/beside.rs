//! A file beside the lock says who has it: where locks are mandatory (Windows) a locked file cannot be
//! read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Holder;

/// The file, removed when this is dropped: before the lock is released, so that the next holder's file
/// is never removed.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
}

impl Announcement {
    pub(crate) fn new(lock: &Path, holder: &Holder) -> Self {
        let path = path_of(lock);
        if let Err(error) = write(&path, holder) {
            tracing::warn!(path = %path.display(), %error, "lock holder file cannot be written");
        }
        Self { path }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "lock holder file stays behind");
        }
    }
}

/// What the file says, if it is there and whole; that of a killed process stays behind.
pub(crate) fn holder_of(lock: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path_of(lock)).ok()?).ok()
}

fn path_of(lock: &Path) -> PathBuf {
    lock.with_extension("holder.json")
}

fn write(path: &Path, holder: &Holder) -> io::Result<()> {
    // By rename, so that a process that fails to get the lock reads all of it or nothing.
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(holder)?)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_holder_is_told_for_as_long_as_it_holds_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let lock = directory.path().join("collector.lock");
        let holder =
            Holder { pid: 7, since: chrono::DateTime::UNIX_EPOCH, command: "collect --watch".to_owned() };
        assert_eq!(holder_of(&lock), None);
        let announcement = Announcement::new(&lock, &holder);
        assert_eq!(holder_of(&lock), Some(holder));
        fs::write(path_of(&lock), "{").unwrap();
        assert_eq!(holder_of(&lock), None);
        drop(announcement);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
