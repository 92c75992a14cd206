//! Replacing files one by one, where directories cannot be exchanged: publish first, then take the old
//! ones away. What is meant is written down before, so that a run that is killed between the two
//! cannot leave rows twice for ever.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, rename_to_free_name};
use crate::layout::parse_date_directory;
use crate::publish::Exclusion;
use crate::replace::live_names;
use crate::state;
use crate::store::DatasetStore;

const SUFFIX: &str = ".swap.json";

/// Files of a date and those that they replace, by name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Swap {
    pub(crate) published: Vec<String>,
    pub(crate) replaced: Vec<String>,
}

impl Swap {
    /// Moves the staged files in and the replaced ones to the trash. The caller has the date's lock.
    pub(crate) fn run(
        &self,
        store: &DatasetStore,
        date: NaiveDate,
        staged: &Path,
    ) -> Result<(), RepositoryError> {
        let system = store.lake().system().as_ref();
        let live = store.date_path(date);
        let note = note_path(store, date);
        if note.try_exists().at("look up", &note)? {
            // Another swap of this date was interrupted: that one first.
            return Err(RepositoryError::Conflict { path: live });
        }
        let text = serde_json::to_string(self).expect("lists of names are always JSON");
        state::save_durably(store.lake(), &note, &text)?;
        for name in &self.published {
            let path = live.join(name);
            rename_to_free_name(system, &staged.join(name), &path).at("publish", &path)?;
        }
        system.sync_directory(&live).at("sync", &live)?;
        match self.complete(store, date)? {
            Completed::Swapped => Ok(()),
            Completed::TakenBack(error) => Err(error),
        }
    }

    /// Takes away the replaced files if all new ones are there, else the new ones.
    fn complete(&self, store: &DatasetStore, date: NaiveDate) -> Result<Completed, RepositoryError> {
        let system = store.lake().system().as_ref();
        let live = store.date_path(date);
        let (new, old) = (present(system, &live, &self.published)?, present(system, &live, &self.replaced)?);
        let mut completed = Completed::Swapped;
        if new.len() < self.published.len() {
            take_away(store, &live, &new)?;
        } else if let Err(error) = take_away(store, &live, &old) {
            if present(system, &live, &self.replaced)?.len() < self.replaced.len() {
                return Err(error);
            }
            // On Windows, somebody has one open: better many files for longer than all rows twice.
            take_away(store, &live, &new)?;
            completed = Completed::TakenBack(error);
        }
        let note = note_path(store, date);
        system.remove_file(&note).at("remove", &note)?;
        Ok(completed)
    }
}

/// What became of a swap.
enum Completed {
    Swapped,
    /// All is as it was before, because the old files cannot be taken away.
    TakenBack(RepositoryError),
}

/// Those of the files that are live.
fn present(system: &dyn FileSystem, live: &Path, names: &[String]) -> Result<Vec<String>, RepositoryError> {
    let all: BTreeSet<String> = live_names(system, live)?.unwrap_or_default().into_iter().collect();
    Ok(names.iter().filter(|name| all.contains(*name)).cloned().collect())
}

/// Moves live files to the trash.
fn take_away(store: &DatasetStore, live: &Path, names: &[String]) -> Result<(), RepositoryError> {
    for name in names {
        store.lake().staging().trash(&live.join(name))?;
    }
    if names.is_empty() { Ok(()) } else { store.lake().system().sync_directory(live).at("sync", live) }
}

fn note_path(store: &DatasetStore, date: NaiveDate) -> PathBuf {
    let lock = store.lake().date_lock_path(store.name(), date);
    lock.with_extension("").with_extension("swap.json")
}

impl DatasetStore {
    /// Completes compactions that were killed between publishing and taking away, which can happen
    /// only where directories cannot be exchanged. Looks at one directory where there are none.
    pub fn finish_interrupted(&self) -> Result<(), RepositoryError> {
        let system = self.lake().system().as_ref();
        let Some(directory) =
            self.lake().date_lock_path(self.name(), NaiveDate::MIN).parent().map(PathBuf::from)
        else {
            return Ok(());
        };
        let entries = match system.list(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.at("list", &directory)?,
        };
        let date_of = |name: &str| parse_date_directory(name.strip_suffix(SUFFIX)?);
        for date in entries.iter().filter_map(|entry| date_of(entry.name.to_str()?)) {
            let _lock = self.lake().lock_date(self.name(), date, Exclusion::Exclusive)?;
            let note = note_path(self, date);
            let text = match std::fs::read(&note) {
                // Completed by another run meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.at("read", &note)?,
            };
            match serde_json::from_slice::<Swap>(&text) {
                Ok(swap) => {
                    if let Completed::TakenBack(error) = swap.complete(self, date)? {
                        tracing::warn!(%date, %error, "compaction that was interrupted is undone");
                    }
                }
                Err(error) => {
                    tracing::warn!(path = %note.display(), %error, "note of a compaction is damaged");
                    system.remove_file(&note).at("remove", &note)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use telemetry_schema::HOST_METRICS;

    use super::*;
    use crate::lake::Lake;

    #[test]
    fn a_note_that_cannot_be_read_is_not_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let store = Lake::new(root.path().join("lake")).store(&HOST_METRICS, HOST_METRICS.name.to_owned());
        let note = note_path(&store, NaiveDate::from_ymd_opt(2026, 1, 1).unwrap());
        std::fs::create_dir_all(&note).unwrap();
        let error = store.finish_interrupted().unwrap_err();
        assert!(error.to_string().contains(".swap.json"), "{error}");

        std::fs::remove_dir(&note).unwrap();
        for damaged in [&b"{"[..], &[0xff, 0xfe]] {
            std::fs::write(&note, damaged).unwrap();
            store.finish_interrupted().unwrap();
            assert!(!note.exists(), "{damaged:?}");
        }
    }
}
