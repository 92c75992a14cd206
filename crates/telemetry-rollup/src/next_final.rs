//! When the open dates of Gold have buckets that become final, remembered so that a run with nothing
//! to do opens no file. Only a cache: what it lacks is read from the file's footer.

use std::collections::BTreeMap;

use telemetry_repository::{Lake, RollupFileName};

/// Name of the state of the lake.
const STATE: &str = "next-final";

/// File names with microseconds since 1970.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NextFinal(BTreeMap<String, i64>);

impl NextFinal {
    pub(crate) fn load(lake: &Lake) -> Self {
        let kept = lake
            .load_rollup_state(STATE)
            .inspect_err(|error| tracing::debug!(%error, "cache of open dates is left out"))
            .unwrap_or_default();
        Self(kept.unwrap_or_default())
    }

    /// Kept for the next run; without it that run opens a few files.
    pub(crate) fn save(&self, lake: &Lake) {
        let text = serde_json::to_string(&self.0).expect("texts and numbers are always JSON");
        if let Err(error) = lake.save_rollup_state(STATE, &text) {
            tracing::debug!(%error, "cache of open dates cannot be kept");
        }
    }

    pub(crate) fn get(&self, name: &RollupFileName) -> Option<i64> {
        if self.0.is_empty() { None } else { self.0.get(&name.to_string()).copied() }
    }

    pub(crate) fn insert(&mut self, name: &RollupFileName, next_final_us: i64) {
        self.0.insert(name.to_string(), next_final_us);
    }

    /// Takes over what is still of use: entries of files that stand in Gold.
    pub(crate) fn keep<'a>(&mut self, old: &Self, standing: impl IntoIterator<Item = &'a RollupFileName>) {
        for name in standing {
            if let Some(us) = old.get(name) {
                self.insert(name, us);
            }
        }
    }
}
