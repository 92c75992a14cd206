//! Every call to the operating system that publishing and replacing make.
//!
//! One small trait, so that tests can stand in for file systems that lack an operation, or fail at
//! any one call.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::error::{IoContext as _, RepositoryError};

/// What publishing leaves free for the rest of the system, or a 50th of a small file system.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
const RESERVE_DIVISOR: u64 = 50;

/// Room on a file system for an unprivileged user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Size of the file system in bytes.
    pub total_bytes: u64,
}

impl Space {
    /// Bytes that publishing does not touch.
    pub fn reserve_bytes(self) -> u64 {
        RESERVE_BYTES.min(self.total_bytes / RESERVE_DIVISOR)
    }
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) is_directory: bool,
}

/// The operations, each one system call or the portable equal of it.
pub(crate) trait FileSystem: fmt::Debug + Send + Sync {
    /// Room on the file system of an existing path; `None` where that cannot be asked.
    fn space(&self, path: &Path) -> io::Result<Option<Space>>;
    /// Makes one directory; an existing one is an error.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Creates and opens a file for writing; an existing one is an error.
    fn create_new(&self, path: &Path) -> io::Result<File>;
    /// Opens an existing file for reading and writing.
    fn open_file(&self, path: &Path) -> io::Result<File>;
    /// Opens a file to lock it, creating it where it is missing.
    fn open_lock(&self, path: &Path) -> io::Result<File>;
    /// Writes some of the bytes.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize>;
    /// Reads some bytes from that offset; 0 at the end of the file.
    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of the bytes at that offset.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes a file's content durable where its size has not changed: cheaper than all of it.
    fn sync_data(&self, file: &File) -> io::Result<()>;
    /// Makes a file's content durable.
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Makes a directory's entries durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Renames; [`io::ErrorKind::AlreadyExists`] if the new name is taken,
    /// [`io::ErrorKind::Unsupported`] where this cannot be had atomically.
    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name; [`io::ErrorKind::AlreadyExists`] if that is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames, replacing what a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Swaps two names atomically; [`io::ErrorKind::Unsupported`] where there is no such call.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and everything below it.
    fn remove_directory_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
}

/// The operating system itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatingSystem;

impl FileSystem for OperatingSystem {
    #[cfg(unix)]
    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Some(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        }))
    }

    /// Windows finds the volume of a path of up to 260 characters; a longer one is on that of the
    /// directories above it.
    #[cfg(windows)]
    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        let stats = path.ancestors().find_map(|path| fs4::statvfs(path).ok());
        Ok(stats.map(|stats| Space { free_bytes: stats.available_space(), total_bytes: stats.total_space() }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    #[cfg(target_os = "linux")]
    fn open_file(&self, path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let open = |flags| OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
        // Reading would change the file where the mount keeps times of access; only its owner may ask
        // for that not to be done.
        match open(rustix::fs::OFlags::NOATIME.bits().cast_signed()) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open(0),
            result => result,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_file(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    fn open_lock(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).open(path)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        let mut file = file;
        file.write(bytes)
    }

    #[cfg(unix)]
    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(file, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(file, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    #[cfg(unix)]
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        match File::open(path)?.sync_all() {
            // Some network and user-space file systems cannot sync a directory; nothing else can be done.
            Err(error) if is_unsupported(&error) => Ok(()),
            result => result,
        }
    }

    /// Windows has no such call: entries become durable with the file system's own log.
    #[cfg(windows)]
    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename_no_replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        rename_with_flag(from, to, Flag::NoReplace)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        once_closed(|| fs::rename(from, to))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        rename_with_flag(one, other, Flag::Exchange)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        once_closed(|| fs::remove_file(path))
    }

    fn remove_directory_all(&self, path: &Path) -> io::Result<()> {
        once_closed(|| fs::remove_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok(Entry { name: entry.file_name(), is_directory: entry.file_type()?.is_dir() })
            })
            .collect()
    }
}

/// What others have open can be renamed and removed.
#[cfg(unix)]
fn once_closed(call: impl Fn() -> io::Result<()>) -> io::Result<()> {
    call()
}

/// Windows neither renames nor removes what a program has open that does not share it for that: DuckDB
/// while it reads, a virus scanner that looks at a new file. Most close it soon.
#[cfg(windows)]
fn once_closed(call: impl Fn() -> io::Result<()>) -> io::Result<()> {
    /// Access denied (also for a directory in which something is open), sharing violation, a mapped file.
    const IN_USE: [i32; 3] = [5, 32, 1224];
    const WAITS: u32 = 9;
    for wait in 0..WAITS {
        match call() {
            Err(error) if error.raw_os_error().is_some_and(|code| IN_USE.contains(&code)) => {
                std::thread::sleep(std::time::Duration::from_millis(1 << wait));
            }
            result => return result,
        }
    }
    call()
}

#[derive(Clone, Copy)]
enum Flag {
    NoReplace,
    Exchange,
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_with_flag(from: &Path, to: &Path, flag: Flag) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags};
    let flags = match flag {
        Flag::NoReplace => RenameFlags::NOREPLACE,
        Flag::Exchange => RenameFlags::EXCHANGE,
    };
    rustix::fs::renameat_with(CWD, from, CWD, to, flags).map_err(|error| {
        let error = io::Error::from(error);
        if is_unsupported(&error) { io::ErrorKind::Unsupported.into() } else { error }
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_with_flag(_from: &Path, _to: &Path, _flag: Flag) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// File systems answer to a call or flag that they do not know with EINVAL, ENOSYS or ENOTSUP.
#[cfg(unix)]
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// Renames to a name that must be free, by the best means that the file system has.
pub(crate) fn rename_to_free_name(system: &dyn FileSystem, from: &Path, to: &Path) -> io::Result<()> {
    match system.rename_no_replace(from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        result => return result,
    }
    match system.link(from, to) {
        // From here on the file is published, whatever becomes of its old name.
        Ok(()) => {
            if let Err(error) = system.remove_file(from) {
                tracing::debug!(path = %from.display(), %error, "second name of a published file stays");
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Directories, and file systems without hard links. The name is random or guarded by the
        // date's lock, so that nobody else makes it between the two calls.
        Err(_) if to.try_exists()? => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => system.rename(from, to),
    }
}

/// Makes a directory and those above it up to the lake, each durable in the one above.
pub(crate) fn create_directories(system: &dyn FileSystem, lake: &Path, path: &Path) -> io::Result<()> {
    match system.create_directory(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return match path.metadata() {
                Ok(there) if there.is_dir() => Ok(()),
                // A link to nothing is in the way, too.
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Err(io::ErrorKind::NotADirectory.into()),
            };
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && path != lake => {
            let Some(parent) = path.parent() else { return Err(error) };
            create_directories(system, lake, parent)?;
            return create_directories(system, lake, path);
        }
        Err(error) => return Err(error),
    }
    path.parent().map_or(Ok(()), |parent| system.sync_directory(parent))
}

/// Reads all of a buffer from that offset; what lies behind the end of the file reads as zero.
pub(crate) fn read_all_at(
    system: &dyn FileSystem,
    file: &File,
    bytes: &mut [u8],
    offset: u64,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match system.read_at(file, &mut bytes[done..], offset + done as u64) {
            Ok(0) => {
                bytes[done..].fill(0);
                return Ok(());
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Creates a file in the place of one that an ended process left unfinished.
pub(crate) fn create_anew(system: &dyn FileSystem, path: &Path) -> Result<File, RepositoryError> {
    match system.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(RepositoryError::io("remove", path, error));
        }
        _ => {}
    }
    system.create_new(path).at("create", path)
}

/// Writes all of a buffer at that offset.
pub(crate) fn write_all_at(
    system: &dyn FileSystem,
    file: &File,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match system.write_at(file, &bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
