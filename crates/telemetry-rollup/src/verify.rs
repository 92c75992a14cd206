//! Reading all of the lake: what is damaged is computed again, or set aside where it cannot be.

use telemetry_app::{Exit, print_text, with_lake_hint};
use telemetry_repository::{DataFile, DatasetStore, RepositoryError};

use crate::Job;
use crate::args::DateRange;
use crate::damaged::set_aside;
use crate::expire::rollups;
use crate::expired::Expired;

/// What was read.
#[derive(Default)]
struct Verified {
    files: usize,
    bytes: u64,
    damaged: usize,
}

impl Job<'_> {
    /// Verifies every file of the range. What was set aside is missing until the next build.
    pub(crate) fn verify(&self) -> anyhow::Result<Exit> {
        let mut verified = Verified::default();
        let alerts = self.lake.host_alerts();
        for store in [self.silver, alerts.store()] {
            for (file, error) in verified.read(store, &self.range).map_err(with_lake_hint)? {
                set_aside(store, [&file], error).map_err(with_lake_hint)?;
            }
        }
        for store in rollups(self.lake).map_err(with_lake_hint)? {
            for (file, error) in verified.read(&store, &self.range).map_err(with_lake_hint)? {
                self.mend(&store, file, error)?;
            }
        }
        let Verified { files, bytes, damaged } = verified;
        print_text(&format!("{files} files verified ({bytes} bytes), {damaged} damaged\n"))?;
        Ok(if damaged == 0 { Exit::Done } else { Exit::Incomplete })
    }

    /// A rollup is computed again if its samples are there; its file then goes the way of every
    /// replaced one.
    fn mend(&self, store: &DatasetStore, file: DataFile, error: RepositoryError) -> anyhow::Result<()> {
        let has_samples = !self.silver.files_on(file.date).map_err(with_lake_hint)?.is_empty()
            && !Expired::load(self.lake).map_err(with_lake_hint)?.contains(file.date);
        if !has_samples || store.name() != self.gold.name() {
            return set_aside(store, [&file], error).map_err(with_lake_hint);
        }
        tracing::error!(%error, "damaged rollup is computed again");
        let range = DateRange { from: Some(file.date), to: Some(file.date), force: true };
        Job { range, ..*self }.build(None)?;
        Ok(())
    }
}

impl Verified {
    /// Verifies the files of one dataset; returns those that are damaged.
    fn read(
        &mut self,
        store: &DatasetStore,
        range: &DateRange,
    ) -> Result<Vec<(DataFile, RepositoryError)>, RepositoryError> {
        let mut damaged = Vec::new();
        for date in store.dates()?.into_iter().filter(|date| range.contains(*date)) {
            for file in store.files_on(date)? {
                match store.verify(&file) {
                    // Merged, replaced or expired since it was listed.
                    Err(error) if error.is_not_found() => continue,
                    Err(error @ RepositoryError::Damaged { .. }) => damaged.push((file.clone(), error)),
                    result => result?,
                }
                self.files += 1;
                self.bytes += file.size;
            }
        }
        self.damaged += damaged.len();
        Ok(damaged)
    }
}
