//! What can go wrong with a lake, one variant for each thing that a caller may treat differently.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::holder::Holder;

/// An error of the lake. Display names the object, never the source.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// Another process holds the lock; trying again later helps.
    #[error("{what} is locked by {}", Holder::describe(.holder.as_ref()))]
    Locked {
        /// What is locked, in words.
        what: String,
        /// Who holds it, if it could be found out.
        holder: Option<Holder>,
    },
    /// The file system has no room, or less than the reserve that publishing respects.
    #[error("no space left for {}", .path.display())]
    NoSpace {
        /// What could not be written.
        path: PathBuf,
    },
    /// The file system has room, but not for one more file.
    #[error("no inode left for {}", .path.display())]
    NoInode {
        /// What could not be made.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    #[error("{} is on a read-only file system", .path.display())]
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
    },
    /// The user lacks the right.
    #[error("permission denied for {}", .path.display())]
    Permission {
        /// What could not be reached.
        path: PathBuf,
    },
    /// A directory is needed where something else is.
    #[error("{} is not a directory", .path.display())]
    NotADirectory {
        /// The path in the way.
        path: PathBuf,
    },
    /// The directory that should hold the lake does not exist: perhaps its file system is not mounted.
    #[error("{} does not exist, is its file system mounted?", .path.display())]
    MissingParent {
        /// The missing directory.
        path: PathBuf,
    },
    /// The file system that should hold the lake is not mounted: what is written now would be hidden by
    /// it later, and fill another one.
    #[error("{} is in /etc/fstab, but nothing is mounted there", .path.display())]
    NotMounted {
        /// Where it should be mounted.
        path: PathBuf,
    },
    /// A published file is not what it should be; reading it again does not help.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows or columns that cannot be stored in the dataset: a mistake of the caller.
    #[error("the data frame does not fit {dataset}: {reason}")]
    InvalidFrame {
        /// Name of the dataset.
        dataset: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The date changed while its replacement was built; planning again helps.
    #[error("{} was changed while its replacement was built", .path.display())]
    Conflict {
        /// The date directory.
        path: PathBuf,
    },
    /// A path that SQL cannot spell.
    #[error("{} is not valid Unicode", .path.display())]
    NotUnicode {
        /// The path.
        path: PathBuf,
    },
    /// Any other failure of the operating system.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The object.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl RepositoryError {
    /// Sorts an I/O error into its variant.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull if lacks_inodes(&path) => Self::NoInode { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            io::ErrorKind::NotADirectory => Self::NotADirectory { path },
            _ => Self::Io { action, path, source },
        }
    }

    /// A file whose content is wrong.
    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }

    /// Whether the file is gone: replaced or expired since it was listed.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Whether a file system is full of files: the operating system says the same as if it were full of
/// bytes.
#[cfg(unix)]
fn lacks_inodes(path: &Path) -> bool {
    let mut stat = path.ancestors().filter_map(|path| rustix::fs::statvfs(path).ok());
    // Some have no fixed number, and say 0 of 0.
    stat.next().is_some_and(|stat| stat.f_files > 0 && stat.f_favail == 0 && stat.f_bavail > 0)
}

#[cfg(not(unix))]
fn lacks_inodes(_path: &Path) -> bool {
    false
}

/// Names the object and the action of an I/O result.
pub(crate) trait IoContext<T> {
    /// See [`RepositoryError::io`].
    fn at(self, action: &'static str, path: &Path) -> Result<T, RepositoryError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, RepositoryError> {
        self.map_err(|source| RepositoryError::io(action, path, source))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn each_trouble_of_the_operating_system_has_its_words() {
        let cases = [
            (io::ErrorKind::StorageFull, "no space left for /lake"),
            (io::ErrorKind::QuotaExceeded, "no space left for /lake"),
            (io::ErrorKind::ReadOnlyFilesystem, "/lake is on a read-only file system"),
            (io::ErrorKind::PermissionDenied, "permission denied for /lake"),
            (io::ErrorKind::NotADirectory, "/lake is not a directory"),
            (io::ErrorKind::TimedOut, "cannot sync /lake"),
        ];
        for (kind, words) in cases {
            let error = RepositoryError::io("sync", Path::new("/lake"), kind.into());
            assert_eq!(error.to_string(), words);
            let source = error.source().map(ToString::to_string).unwrap_or_default();
            assert!(source.is_empty() || !words.contains(&source), "{words}: {source}");
        }
    }
}
