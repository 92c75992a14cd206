//! What an operator asks about a lake. Looks, and leaves nothing behind: a directory or a lock file that
//! the superuser made while looking would be one that the lake's own user cannot open.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use telemetry_schema::{Dataset, HOST_ALERTS, HOST_METRICS, HostId};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, Space};
use crate::holder::{Holder, holder_of};
use crate::lake::Lake;
use crate::layout::{QUARANTINE, STAGING, STATE, STATE_OF_LAKE, dataset_directory, date_directory, unique};
use crate::lock::lock_path;

/// Another process may clean the staging directory in the middle of a probe.
const PROBE_ATTEMPTS: usize = 3;

/// Whether the lake can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// There is no lake yet, and nothing against making it.
    NotYet,
    /// It can.
    Writable {
        /// Whether two names can be exchanged in one step; else dates are replaced in several.
        exchanges: bool,
    },
}

/// How a lock stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockState {
    /// Nobody has it.
    Free,
    /// A process has it, which is alive; `None` if this process cannot see it (as from within a
    /// container).
    Held(Option<Holder>),
}

/// What is in the quarantine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is.
    pub directory: PathBuf,
    /// Number of files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

impl Lake {
    /// Writes, syncs, exchanges and removes two small files in `.staging`.
    ///
    /// # Errors
    /// What publishing would meet: [`RepositoryError::Permission`], [`RepositoryError::ReadOnly`],
    /// [`RepositoryError::NoSpace`], [`RepositoryError::NotADirectory`] or
    /// [`RepositoryError::MissingParent`].
    pub fn probe(&self) -> Result<Probe, RepositoryError> {
        let root = self.root();
        match fs::metadata(root) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(RepositoryError::NotADirectory { path: root.to_owned() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return probe_parent(root),
            Err(error) => return Err(RepositoryError::io("look up", root, error)),
        }
        let staging = root.join(STAGING);
        let directory = if staging.is_dir() { staging } else { root.to_owned() };
        let mut attempts = 0;
        loop {
            attempts += 1;
            match probe_in(self.system().as_ref(), &directory) {
                Err(error) if error.is_not_found() && attempts < PROBE_ATTEMPTS => {}
                result => return result.map(|exchanges| Probe::Writable { exchanges }),
            }
        }
    }

    /// Whether [`Self::make_parents`] would succeed; makes nothing.
    ///
    /// # Errors
    /// As [`Self::make_parents`].
    pub fn probe_parents(&self) -> Result<(), RepositoryError> {
        let there = self.root().ancestors().skip(1).find(|path| path.exists());
        match there {
            Some(path) if path.is_dir() => access(path).at("write to", path),
            Some(path) => Err(RepositoryError::NotADirectory { path: path.to_owned() }),
            None => Ok(()),
        }
    }

    /// The directories and locks that collector and rollup of this host write to, and this user may
    /// not; empty where that cannot be asked (Windows).
    pub fn not_writable(&self, host: &HostId) -> Vec<PathBuf> {
        let root = self.root();
        let state = root.join(STATE);
        let mut paths = vec![root.to_owned(), root.join(STAGING), state.clone()];
        for owner in [host.as_str(), STATE_OF_LAKE] {
            let directory = state.join(owner);
            paths.extend([lock_path(&directory, "collector"), lock_path(&directory, "rollup"), directory]);
        }
        for dataset in [&HOST_METRICS, &HOST_ALERTS] {
            paths.extend(self.written_for(dataset));
        }
        paths.retain(|path| is_denied(path));
        paths
    }

    /// Where the latest date of a dataset is written and locked.
    fn written_for(&self, dataset: &'static Dataset) -> Vec<PathBuf> {
        let directory = dataset_directory(self.root(), dataset, dataset.name);
        let mut paths = vec![directory.clone()];
        let dates = self.store(dataset, dataset.name.to_owned()).dates().unwrap_or_default();
        if let Some(date) = dates.last() {
            paths.extend([
                directory.join(date_directory(*date)),
                self.date_lock_path(dataset.name, *date),
                self.state_directory(STATE_OF_LAKE).join(dataset.name),
            ]);
        }
        paths
    }

    /// Room on the lake's file system, or on the one that will hold it; `None` where that cannot be asked.
    pub fn space(&self) -> Result<Option<Space>, RepositoryError> {
        let existing = self.root().ancestors().find(|path| path.exists()).unwrap_or(self.root());
        self.system().space(existing).at("ask for the free space of", existing)
    }

    /// Who has the lock of the collector of a host.
    pub fn collector_lock(&self, host: &HostId) -> Result<LockState, RepositoryError> {
        lock_state(&self.state_directory(host.as_str()), "collector")
    }

    /// Who has the lock of the rollup.
    pub fn rollup_lock(&self) -> Result<LockState, RepositoryError> {
        lock_state(&self.state_directory(STATE_OF_LAKE), "rollup")
    }

    /// Number of unfinished files and directories of processes that have ended, as
    /// [`Lake::clean_staging`] removes them.
    pub fn orphans(&self) -> Result<usize, RepositoryError> {
        self.staging().count_orphans()
    }

    /// What was set aside as damaged.
    pub fn quarantined(&self) -> Result<Quarantined, RepositoryError> {
        let directory = self.root().join(QUARANTINE);
        let mut directories = vec![directory.clone()];
        let mut quarantined = Quarantined { directory, ..Quarantined::default() };
        while let Some(directory) = directories.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.at("list", &directory)?,
            };
            for entry in entries {
                let entry = entry.at("list", &directory)?;
                let metadata = entry.metadata().at("read", &entry.path())?;
                if metadata.is_dir() {
                    directories.push(entry.path());
                } else {
                    quarantined.files += 1;
                    quarantined.bytes += metadata.len();
                }
            }
        }
        Ok(quarantined)
    }
}

/// A lake that is not there is made by the first run, if its parent lets it.
fn probe_parent(root: &Path) -> Result<Probe, RepositoryError> {
    let Some(parent) = root.parent() else { return Ok(Probe::NotYet) };
    match access(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(RepositoryError::MissingParent { path: parent.to_owned() })
        }
        result => result.at("write to", parent).map(|()| Probe::NotYet),
    }
}

/// Whether names can be exchanged. The files have no session, so that the next run removes them if this
/// process is killed; errors name the directory, since the files are gone when somebody looks for them.
fn probe_in(system: &dyn FileSystem, directory: &Path) -> Result<bool, RepositoryError> {
    let name = format!("probe-{}", unique());
    let [one, other] = ["one", "other"].map(|suffix| directory.join(format!(".{name}__{suffix}")));
    let probed = probe_with(system, &one, &other).at("write to", directory);
    for path in [&one, &other] {
        match system.remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && probed.is_ok() => {
                return Err(RepositoryError::io("remove", path, error));
            }
            _ => {}
        }
    }
    probed
}

fn probe_with(system: &dyn FileSystem, one: &Path, other: &Path) -> io::Result<bool> {
    let file = system.create_new(one)?;
    system.write(&file, b"probe")?;
    system.sync_file(&file)?;
    drop(system.create_new(other)?);
    match system.exchange(one, other) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
        result => result.map(|()| true),
    }
}

fn is_denied(path: &Path) -> bool {
    let Err(error) = access(path) else { return false };
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Whether this user may write to a file, or make entries in a directory.
#[cfg(unix)]
fn access(path: &Path) -> io::Result<()> {
    use rustix::fs::Access;
    let needed = if path.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    Ok(rustix::fs::access(path, needed)?)
}

#[cfg(not(unix))]
fn access(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(|_| ())
}

fn lock_state(directory: &Path, name: &str) -> Result<LockState, RepositoryError> {
    let path = lock_path(directory, name);
    let is_held = is_locked(&path).at("lock", &path)?;
    Ok(if is_held { LockState::Held(holder_of(&path)) } else { LockState::Free })
}

/// Whether another process has the lock of an existing file; false if there is none.
pub(crate) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;
    use crate::faults::Faulty;

    fn lake(lacks: &'static [&'static str]) -> (tempfile::TempDir, Lake) {
        let directory = tempfile::tempdir().unwrap();
        let system = Arc::new(Faulty { lacks, ..Faulty::default() });
        let lake = Lake::with_file_system(directory.path().join("lake"), system);
        (directory, lake)
    }

    fn holder() -> Holder {
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        Holder { pid: std::process::id(), since: chrono::DateTime::UNIX_EPOCH, command }
    }

    /// All paths below a directory.
    fn tree(directory: &Path) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        let below: Vec<PathBuf> =
            paths.iter().filter(|path| path.is_dir()).flat_map(|path| tree(path)).collect();
        paths.extend(below);
        paths.sort();
        paths
    }

    #[test]
    fn a_look_leaves_nothing_behind() {
        let (directory, lake) = lake(&[]);
        let host = HostId::parse("pi").unwrap();
        let look = || {
            let before = tree(directory.path());
            let probe = lake.probe().unwrap();
            lake.space().unwrap();
            lake.collector_lock(&host).unwrap();
            lake.rollup_lock().unwrap();
            lake.orphans().unwrap();
            lake.quarantined().unwrap();
            assert_eq!(lake.not_writable(&host), Vec::<PathBuf>::new());
            assert_eq!(tree(directory.path()), before);
            probe
        };
        assert_eq!(look(), Probe::NotYet);
        fs::create_dir(lake.root()).unwrap();
        assert_eq!(look(), Probe::Writable { exchanges: cfg!(unix) });
        lake.staging().new_path("").unwrap();
        assert_eq!(look(), Probe::Writable { exchanges: cfg!(unix) });
    }

    #[test]
    fn file_systems_that_cannot_exchange_are_told() {
        let (_directory, lake) = lake(&["exchange"]);
        fs::create_dir(lake.root()).unwrap();
        assert_eq!(lake.probe().unwrap(), Probe::Writable { exchanges: false });
        assert_eq!(tree(lake.root()), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let (directory, lake) = lake(&[]);
        fs::write(lake.root(), "").unwrap();
        assert!(matches!(lake.probe(), Err(RepositoryError::NotADirectory { .. })));
        let deep = Lake::new(directory.path().join("no/such/lake"));
        assert!(matches!(deep.probe(), Err(RepositoryError::MissingParent { .. })));
        deep.probe_parents().unwrap();
        assert!(!directory.path().join("no").exists());
        deep.make_parents().unwrap();
        assert_eq!(deep.probe().unwrap(), Probe::NotYet);
        for below_a_file in ["lake", "no/such/lake"].map(|path| Lake::new(lake.root().join(path))) {
            for result in [below_a_file.probe_parents(), below_a_file.make_parents()] {
                assert!(
                    matches!(&result, Err(RepositoryError::NotADirectory { path }) if path == lake.root()),
                    "{result:?}"
                );
            }
        }
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem] {
            let system = Arc::new(Faulty::failing_at(1, kind));
            let lake = Lake::with_file_system(directory.path(), system);
            let error = lake.probe().unwrap_err();
            assert!(error.to_string().contains(directory.path().to_str().unwrap()));
            assert!(
                matches!(error, RepositoryError::NoSpace { .. } | RepositoryError::ReadOnly { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn locks_tell_who_has_them() {
        let (_directory, lake) = lake(&[]);
        let host = HostId::parse("pi").unwrap();
        assert_eq!(lake.collector_lock(&host).unwrap(), LockState::Free);
        let lock = lake.lock_collector(&host, &holder()).unwrap();
        let LockState::Held(Some(found)) = lake.collector_lock(&host).unwrap() else { panic!("not held") };
        assert_eq!(found.pid, holder().pid);
        assert_eq!(lake.rollup_lock().unwrap(), LockState::Free);
        drop(lock);
        assert_eq!(lake.collector_lock(&host).unwrap(), LockState::Free);
    }

    #[test]
    fn who_only_looks_does_not_keep_a_lock_from_anybody() {
        let (_directory, lake) = lake(&[]);
        let host = HostId::parse("pi").unwrap();
        drop(lake.lock_collector(&host, &holder()).unwrap());
        let path = lock_path(&lake.state_directory(host.as_str()), "collector");
        let looking = File::open(path).unwrap();
        looking.lock_shared().unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| lake.lock_collector(&host, &holder()));
            std::thread::sleep(std::time::Duration::from_millis(3));
            drop(looking);
            taken.join().unwrap().unwrap();
        });
    }

    #[test]
    fn orphans_are_those_of_ended_sessions() {
        let (_directory, lake) = lake(&[]);
        let ours = lake.staging().new_path("").unwrap();
        fs::write(&ours, "").unwrap();
        assert_eq!(lake.orphans().unwrap(), 0);
        let orphan = ours.with_file_name("0123456789ab__cdef");
        fs::write(&orphan, "").unwrap();
        fs::write(ours.with_file_name("0123456789ab.lock"), "").unwrap();
        assert_eq!(lake.orphans().unwrap(), 1);
        assert!(orphan.exists());
    }

    #[test]
    fn the_quarantine_is_counted() {
        let (_directory, lake) = lake(&[]);
        let directory = lake.root().join(QUARANTINE);
        let counted = |files, bytes| Quarantined { directory: directory.clone(), files, bytes };
        assert_eq!(lake.quarantined().unwrap(), counted(0, 0));
        let date = directory.join("ops/date=2026-01-01");
        fs::create_dir_all(&date).unwrap();
        fs::write(date.join("a.parquet"), "123").unwrap();
        fs::write(date.join("b.parquet"), "4").unwrap();
        assert_eq!(lake.quarantined().unwrap(), counted(2, 4));
    }
}
