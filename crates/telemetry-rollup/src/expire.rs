//! Expiry: which dates are older than they are kept, and taking them away, oldest first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use telemetry_app::{Exit, RetentionSection};
use telemetry_repository::{DataFile, DatasetStore, Lake, RepositoryError};
use telemetry_rollup_engine::RollupConfig;
use telemetry_schema::HOST_METRICS_ROLLUP;
use telemetry_schema::host_metrics_rollup::dataset_name;

use crate::args::DateRange;
use crate::digest::digest;
use crate::expired::Expired;
use crate::plan::{Action, Plan};
use crate::reach;
use crate::silver::{Silver, whole};

/// Rollup intervals are its divisors.
const MINUTES_PER_DAY: u32 = 1_440;

/// What is to go, and what should but cannot, by date.
#[derive(Default)]
pub(crate) struct ExpiryPlan {
    pub(crate) samples: BTreeMap<NaiveDate, Verdict>,
    /// Dates of other datasets.
    pub(crate) others: BTreeMap<NaiveDate, Vec<DatasetStore>>,
}

/// What becomes of samples that are older than they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Expire,
    /// The date's rollup is missing, stale, or not final.
    KeepUntilBuilt,
    /// Another date that is still to be built needs them.
    KeepForAnother,
}

/// What expiry looks at.
pub(crate) struct Expiry<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) silver: &'a DatasetStore,
    pub(crate) gold: &'a DatasetStore,
    pub(crate) retention: &'a RetentionSection,
    pub(crate) rollup: RollupConfig,
    pub(crate) now: DateTime<Utc>,
}

impl Expiry<'_> {
    /// `plan` is that of all dates, whatever the range is that dates are taken from.
    pub(crate) fn plan(
        &self,
        silver: &Silver,
        plan: &Plan,
        expired: &Expired,
        range: &DateRange,
    ) -> Result<ExpiryPlan, RepositoryError> {
        let today = self.now.date_naive();
        let mut expiry = ExpiryPlan::default();
        let needed = self.needed(silver, plan);
        for planned in plan.dates.iter().filter(|planned| range.contains(planned.date)) {
            let date = planned.date;
            let is_old = self.retention.silver_days.is_over(date, today);
            if is_old && silver.has(date) && !expired.contains(date) {
                let verdict = match planned.action {
                    Action::UpToDate if !self.is_final(date)? => Verdict::KeepUntilBuilt,
                    Action::UpToDate if needed.contains(&date) => Verdict::KeepForAnother,
                    Action::UpToDate => Verdict::Expire,
                    _ => Verdict::KeepUntilBuilt,
                };
                expiry.samples.insert(date, verdict);
            }
        }
        for store in rollups(self.lake) {
            // While there are samples their rollup would only be built again.
            let has_no_samples = |date: &NaiveDate| !silver.has(*date) || expired.contains(*date);
            let old =
                |date: &NaiveDate| range.contains(*date) && self.retention.gold_days.is_over(*date, today);
            for date in store.dates()?.into_iter().filter(old).filter(has_no_samples) {
                expiry.others.entry(date).or_default().push(store.clone());
            }
        }
        let alerts = self.lake.host_alerts();
        let old =
            |date: &NaiveDate| range.contains(*date) && self.retention.alerts_days.is_over(*date, today);
        for date in alerts.store().dates()?.into_iter().filter(old) {
            expiry.others.entry(date).or_default().push(alerts.store().clone());
        }
        Ok(expiry)
    }

    /// Dates with samples that a date that is still to be built is computed from.
    fn needed(&self, silver: &Silver, plan: &Plan) -> BTreeSet<NaiveDate> {
        let to_build = plan.dates.iter().filter(|planned| matches!(planned.action, Action::Build(_)));
        to_build
            .flat_map(|planned| {
                silver.inputs(&whole(planned.date), reach(self.rollup)).all().collect::<Vec<_>>()
            })
            .map(|file| file.date)
            .collect()
    }

    fn is_final(&self, date: NaiveDate) -> Result<bool, RepositoryError> {
        let files = self.gold.files_on(date)?;
        Ok(!files.is_empty() && files.iter().all(|file| file.name.rollup().is_some_and(|name| name.is_final)))
    }

    /// Does what is planned. What has gone is written down before it goes.
    pub(crate) fn run(
        &self,
        plan: &ExpiryPlan,
        mut silver: Silver,
        expired: &mut Expired,
    ) -> Result<Exit, RepositoryError> {
        let mut exit = Exit::Done;
        for (date, verdict) in &plan.samples {
            let is_gone = match verdict {
                Verdict::Expire => self.expire_samples(*date, &mut silver, expired)?,
                Verdict::KeepUntilBuilt => {
                    tracing::error!(%date, "old samples are kept: their rollup is not built or not final");
                    false
                }
                Verdict::KeepForAnother => {
                    tracing::error!(%date, "old samples are kept: another date is still to be built with them");
                    false
                }
            };
            if !is_gone {
                exit = Exit::Incomplete;
            }
        }
        for (date, stores) in &plan.others {
            for store in stores {
                store.expire_date(*date, &store.files_on(*date)?)?;
                tracing::info!(%date, dataset = store.name(), "expired");
            }
        }
        Ok(exit)
    }

    /// Takes the samples of a date away; false if new ones came meanwhile.
    fn expire_samples(
        &self,
        date: NaiveDate,
        silver: &mut Silver,
        expired: &mut Expired,
    ) -> Result<bool, RepositoryError> {
        let before = expired.clone();
        let files = silver.on(date).to_vec();
        let digests = self.digests(silver);
        silver.remove(date);
        for (later, left) in self.digests(silver) {
            let Some(digest) = digests.get(&later).filter(|digest| **digest != left) else { continue };
            if let Some(built) = self.built(later)?
                && (built == *digest || expired.explains(later, built, *digest))
            {
                expired.survives(later, built, left);
            }
        }
        expired.pending.insert(date, names(&files));
        expired.save(self.lake)?;
        match self.silver.expire_date(date, &files) {
            Ok(()) => {
                expired.insert(date);
                expired.save(self.lake)?;
                tracing::info!(%date, files = files.len(), "samples expired");
                Ok(true)
            }
            Err(RepositoryError::Conflict { .. }) => {
                tracing::error!(%date, "old samples are kept: new ones have just come");
                *expired = before;
                expired.save(self.lake)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The digest of each date's inputs.
    fn digests(&self, silver: &Silver) -> BTreeMap<NaiveDate, u64> {
        let digest_of = |date| digest(silver.inputs(&whole(date), reach(self.rollup)).all(), self.rollup);
        silver.dates().map(|date| (date, digest_of(date))).collect()
    }

    /// The digest that stands in the name of the date's rollup.
    fn built(&self, date: NaiveDate) -> Result<Option<u64>, RepositoryError> {
        let files = self.gold.files_on(date)?;
        let names = files.iter().filter_map(|file| file.name.rollup());
        Ok(names.max_by_key(|name| name.generation).map(|name| name.digest))
    }

    /// Completes what a killed run had begun.
    pub(crate) fn finish_interrupted(&self, expired: &mut Expired) -> Result<(), RepositoryError> {
        for (date, known) in std::mem::take(&mut expired.pending) {
            let files = self.silver.files_on(date)?;
            let is_known = |name: &String| known.contains(name);
            if names(&files).iter().all(is_known) {
                self.silver.expire_date(date, &files)?;
                expired.insert(date);
            }
            // Else new samples have come: the date is looked at afresh.
            expired.save(self.lake)?;
        }
        Ok(())
    }
}

/// The rollups of every interval that the lake has.
pub(crate) fn rollups(lake: &Lake) -> Vec<DatasetStore> {
    let intervals = (1..=MINUTES_PER_DAY).filter(|minutes| MINUTES_PER_DAY.is_multiple_of(*minutes));
    intervals
        .map(|minutes| lake.store(&HOST_METRICS_ROLLUP, dataset_name(minutes)))
        .filter(|store| store.directory().exists())
        .collect()
}

fn names(files: &[DataFile]) -> Vec<String> {
    files.iter().filter_map(|file| Some(file.path.file_name()?.to_str()?.to_owned())).collect()
}
