//! Appending alert events, and reading them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::NaiveDate;
use telemetry_schema::{HostAlert, Row};

use crate::error::RepositoryError;
use crate::footer::{describe_columns, keys};
use crate::frame::{frame_from_rows, rows_from_frame};
use crate::layout::SampleFileName;
use crate::publish::{publish, stage};
use crate::scan::DataFile;
use crate::store::DatasetStore;

/// Name of the state of the lake in which `telemetry-rollup` keeps where the alert rules stand.
pub const ALERT_STATE: &str = "alerts";

/// The alert events of one lake. Their files are named as those of samples of several hosts.
#[derive(Debug, Clone)]
pub struct HostAlertsRepository {
    store: DatasetStore,
}

impl HostAlertsRepository {
    pub(crate) fn new(store: DatasetStore) -> Self {
        Self { store }
    }

    /// For listing and expiring.
    pub fn store(&self) -> &DatasetStore {
        &self.store
    }

    /// Stores the events durably: one file for each UTC date of their `as_of`, sorted by host and time.
    /// Where there are none, nothing is touched. Returns the files.
    ///
    /// # Errors
    /// Every file is complete in staging before the first is published, so that an error normally
    /// means that nothing was stored.
    pub fn append(&self, events: &[HostAlert]) -> Result<Vec<PathBuf>, RepositoryError> {
        let mut dates: BTreeMap<NaiveDate, Vec<HostAlert>> = BTreeMap::new();
        for event in events {
            dates.entry(event.as_of.date_naive()).or_default().push(event.clone());
        }
        let mut staged = Vec::new();
        for (date, mut events) in dates {
            events.sort_by(|one, other| (&one.host_id, one.as_of).cmp(&(&other.host_id, other.as_of)));
            let times = || events.iter().map(|event| event.as_of.timestamp_micros());
            let range = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
            let name = SampleFileName::covering(None, range, events.len() as u64);
            let frame = frame_from_rows(&events);
            let key_values = vec![(keys::COLUMNS.to_owned(), describe_columns(self.store.dataset()))];
            let (path, session) = self.store.lake().staging().new_path_with_session()?;
            let (file, _) = stage(&self.store, path, date, &frame, key_values)?;
            staged.push((date, file.with_session(session), name));
        }
        let mut files = Vec::new();
        for (date, file, name) in staged {
            let mut next = name.clone();
            files.push(publish(&self.store, date, file, || {
                std::mem::replace(&mut next, name.renamed()).to_string()
            })?);
        }
        Ok(files)
    }

    /// The events of a file, by host and time.
    pub fn read(&self, file: &DataFile) -> Result<Vec<HostAlert>, RepositoryError> {
        let columns: Vec<&str> = HostAlert::DATASET.columns.iter().map(|column| column.name).collect();
        rows_from_frame::<HostAlert>(&self.store.read(file, &columns)?)
    }
}
