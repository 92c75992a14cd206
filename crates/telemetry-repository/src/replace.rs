//! Replacing a whole date: the new `date=` directory is built in staging and exchanged with the live
//! one in a single step, so that a reader sees all of the old rows or all of the new ones.
//!
//! Where the file system has no exchange, the new file is published first and the old ones are taken
//! away afterwards: a reader may briefly see a row twice, but never misses one.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, rename_to_free_name};
use crate::lake::Lake;
use crate::layout::{date_directory, is_parquet};
use crate::lock::make_directories;
use crate::publish::Exclusion;
use crate::scan::DataFile;
use crate::store::DatasetStore;
use crate::swap::Swap;

/// A directory in staging that becomes a date; removed with everything in it unless it is used.
#[derive(Debug)]
pub(crate) struct StagedDate {
    lake: Lake,
    date: NaiveDate,
    path: PathBuf,
    is_used: bool,
}

impl StagedDate {
    pub(crate) fn create(lake: &Lake, date: NaiveDate) -> Result<Self, RepositoryError> {
        let path = lake.staging().new_path(&format!("__{}", date_directory(date)))?;
        lake.system().create_directory(&path).at("create", &path)?;
        Ok(Self { lake: lake.clone(), date, path, is_used: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StagedDate {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        match self.lake.system().remove_directory_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(path = %self.path.display(), %error, "unfinished date stays in staging");
            }
            _ => {}
        }
    }
}

/// Puts a staged date in the place of the live one. `check` sees the names in the live directory
/// (none if there is no such date yet) while nobody else can change it, and can still call it off.
pub(crate) fn replace(
    store: &DatasetStore,
    mut staged: StagedDate,
    check: impl FnOnce(&[String]) -> Result<(), RepositoryError>,
) -> Result<(), RepositoryError> {
    let lake = store.lake();
    let system = lake.system().as_ref();
    let live = store.date_path(staged.date);
    system.sync_directory(&staged.path).at("sync", &staged.path)?;
    let _lock = lake.lock_date(store.name(), staged.date, Exclusion::Exclusive)?;
    let old = live_names(system, &live)?;
    check(old.as_deref().unwrap_or_default())?;
    let dataset = live.parent().unwrap_or(&live);
    make_directories(system, lake.root(), dataset)?;
    match old {
        None => rename_to_free_name(system, &staged.path, &live).at("publish", &live)?,
        Some(old) => match system.exchange(&staged.path, &live) {
            Ok(()) => discard_old(lake, &mut staged),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                replace_file_by_file(lake, &staged.path, &live, &old)?;
            }
            Err(error) => return Err(RepositoryError::io("exchange", &live, error)),
        },
    }
    system.sync_directory(dataset).at("sync", dataset)
}

/// The staged path holds the old date now. Should it stay there, it is cleaned up with the session.
fn discard_old(lake: &Lake, staged: &mut StagedDate) {
    staged.is_used = true;
    if let Err(error) = lake.staging().trash(&staged.path) {
        tracing::warn!(path = %staged.path.display(), %error, "replaced date stays in staging");
    }
}

/// Puts the staged files `names` in the place of these files of the live date; its other files stay,
/// those too that came since the date was looked at.
///
/// # Errors
/// [`RepositoryError::Conflict`] if one of the files to replace is gone.
pub(crate) fn replace_some(
    store: &DatasetStore,
    mut staged: StagedDate,
    names: &[String],
    replaced: &[DataFile],
) -> Result<(), RepositoryError> {
    let lake = store.lake();
    let system = lake.system().as_ref();
    let live = store.date_path(staged.date);
    let replaced: BTreeSet<String> =
        replaced.iter().filter_map(|file| Some(file.path.file_name()?.to_str()?.to_owned())).collect();
    system.sync_directory(&staged.path).at("sync", &staged.path)?;
    let _lock = lake.lock_date(store.name(), staged.date, Exclusion::Exclusive)?;
    let old: BTreeSet<String> = live_names(system, &live)?.unwrap_or_default().into_iter().collect();
    if !replaced.is_subset(&old) {
        return Err(RepositoryError::Conflict { path: live });
    }
    match exchange_with_links(system, &staged.path, &live, old.difference(&replaced)) {
        Ok(()) => {
            discard_old(lake, &mut staged);
            let dataset = live.parent().unwrap_or(&live);
            system.sync_directory(dataset).at("sync", dataset)
        }
        Err(error) if is_unavailable(&error) => {
            let swap = Swap { published: names.to_vec(), replaced: replaced.into_iter().collect() };
            swap.run(store, staged.date, &staged.path)
        }
        Err(error) => Err(RepositoryError::io("exchange", &live, error)),
    }
}

/// Exchange, after the files that stay have got a second name in the staged directory.
fn exchange_with_links<'a>(
    system: &dyn FileSystem,
    staged: &Path,
    live: &Path,
    kept: impl Iterator<Item = &'a String>,
) -> io::Result<()> {
    let mut has_links = false;
    for name in kept {
        system.link(&live.join(name), &staged.join(name))?;
        has_links = true;
    }
    if has_links {
        system.sync_directory(staged)?;
    }
    system.exchange(staged, live)
}

/// No exchange, or no hard links, which some file systems answer with EPERM.
fn is_unavailable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

fn replace_file_by_file(
    lake: &Lake,
    staged: &Path,
    live: &Path,
    old: &[String],
) -> Result<(), RepositoryError> {
    let system = lake.system().as_ref();
    let new = system.list(staged).at("list", staged)?;
    for entry in &new {
        let path = live.join(&entry.name);
        rename_to_free_name(system, &staged.join(&entry.name), &path).at("publish", &path)?;
    }
    system.sync_directory(live).at("sync", live)?;
    for (taken_away, name) in old.iter().enumerate() {
        let path = live.join(name);
        match lake.staging().trash(&path) {
            // On Windows, somebody has it open: better the old rows for longer than all rows twice.
            Err(error) if taken_away == 0 && path.exists() => {
                for entry in &new {
                    let path = live.join(&entry.name);
                    system.rename(&path, &staged.join(&entry.name)).at("take back", &path)?;
                }
                return Err(error);
            }
            result => result?,
        }
    }
    system.sync_directory(live).at("sync", live)
}

/// The Parquet files of a live date; `None` if there is no such directory.
pub(crate) fn live_names(
    system: &dyn FileSystem,
    live: &Path,
) -> Result<Option<Vec<String>>, RepositoryError> {
    match system.list(live) {
        Ok(entries) => {
            let names = entries.into_iter().filter_map(|entry| entry.name.into_string().ok());
            Ok(Some(names.filter(|name| is_parquet(name)).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RepositoryError::io("list", live, error)),
    }
}
