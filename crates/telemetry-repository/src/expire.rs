//! Expiry: a whole date leaves a dataset in one rename.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::NaiveDate;
use serde::de::DeserializeOwned;

use crate::error::{IoContext as _, RepositoryError};
use crate::layout::STATE_OF_LAKE;
use crate::publish::Exclusion;
use crate::replace::live_names;
use crate::scan::DataFile;
use crate::store::DatasetStore;
use crate::{Lake, state};

impl DatasetStore {
    /// Moves a date to the trash, from where it is deleted after an hour, and removes its lock file.
    /// `files` are all that the caller knows of the date.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] if the date has other files by now; nothing is touched then.
    pub fn expire_date(&self, date: NaiveDate, files: &[DataFile]) -> Result<(), RepositoryError> {
        let lake = self.lake();
        let system = lake.system().as_ref();
        let live = self.date_path(date);
        let _lock = lake.lock_date(self.name(), date, Exclusion::Exclusive)?;
        let known: BTreeSet<_> = files.iter().filter_map(|file| file.path.file_name()?.to_str()).collect();
        let Some(names) = live_names(system, &live)? else {
            lake.remove_date_lock(self.name(), date);
            return Ok(());
        };
        if names.iter().any(|name| !known.contains(name.as_str())) {
            return Err(RepositoryError::Conflict { path: live });
        }
        lake.staging().trash(&live)?;
        let dataset = self.directory();
        system.sync_directory(&dataset).at("sync", &dataset)?;
        lake.remove_date_lock(self.name(), date);
        Ok(())
    }
}

impl Lake {
    /// What the holder of the lake's rollup lock saved under that name.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] if it is something else by now, and if it is there and cannot be
    /// read: a caller that went on without it would undo what it says.
    pub fn load_rollup_state<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RepositoryError> {
        state::try_load_as(&self.state_directory(STATE_OF_LAKE), name)
    }

    /// Replaces `.state/@lake/<name>.json`; the text must be JSON, and survives a power cut once this
    /// returns. For the holder of the lake's rollup lock.
    pub fn save_rollup_state(&self, name: &str, text: &str) -> Result<(), RepositoryError> {
        state::save_durably(self, &self.rollup_state_path(name), text)
    }

    pub(crate) fn rollup_state_path(&self, name: &str) -> PathBuf {
        self.state_directory(STATE_OF_LAKE).join(format!("{name}.json"))
    }
}
