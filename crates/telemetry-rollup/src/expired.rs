//! What is remembered of dates whose samples have expired, so that their rollups, and those that
//! were computed with their samples, stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use telemetry_repository::{Lake, RepositoryError};

/// Name of the state of the lake.
const STATE: &str = "expired";

/// The record. Kept for ever: a date is some ten bytes. Nothing of it is optional, so that what has
/// lost a part of it is damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expired {
    /// Dates whose samples are gone.
    dates: BTreeSet<NaiveDate>,
    /// Dates that were about to go, with the names of their files: a run that was killed.
    pub(crate) pending: BTreeMap<NaiveDate, Vec<String>>,
    /// Later dates that were built with samples that are gone now.
    survivors: BTreeMap<NaiveDate, Survivor>,
}

/// Hexadecimal digests of a date's inputs: as its rollup was built, and without what has expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Survivor {
    built: String,
    left: String,
}

impl Expired {
    /// # Errors
    /// [`RepositoryError::Damaged`] if the record is no record any more. To go on with an empty one
    /// would build rollups anew from what is left of their samples.
    pub(crate) fn load(lake: &Lake) -> Result<Self, RepositoryError> {
        Ok(lake.load_rollup_state(STATE)?.unwrap_or_default())
    }

    /// Keeps what is in the place of the record; returns where.
    pub(crate) fn set_aside(lake: &Lake) -> Result<PathBuf, RepositoryError> {
        lake.quarantine_rollup_state(STATE)
    }

    pub(crate) fn save(&self, lake: &Lake) -> Result<(), RepositoryError> {
        let text = serde_json::to_string(self).expect("dates and texts are always JSON");
        lake.save_rollup_state(STATE, &text)
    }

    /// The dates whose samples have expired.
    pub(crate) fn dates(&self) -> impl Iterator<Item = NaiveDate> {
        self.dates.iter().copied()
    }

    /// Whether the samples of the date have expired: its rollup is never computed again.
    pub(crate) fn contains(&self, date: NaiveDate) -> bool {
        self.dates.contains(&date)
    }

    /// Whether inputs with the digest `left` are those that the rollup was built from (digest
    /// `built`), but for samples that have expired since.
    pub(crate) fn explains(&self, date: NaiveDate, built: u64, left: u64) -> bool {
        self.survivors.get(&date).is_some_and(|kept| kept.built == hex(built) && kept.left == hex(left))
    }

    /// Remembers that the inputs of a later date change without being new.
    pub(crate) fn survives(&mut self, date: NaiveDate, built: u64, left: u64) {
        self.survivors.insert(date, Survivor { built: hex(built), left: hex(left) });
    }

    /// The date has gone.
    pub(crate) fn insert(&mut self, date: NaiveDate) {
        self.pending.remove(&date);
        self.survivors.remove(&date);
        self.dates.insert(date);
    }
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}
