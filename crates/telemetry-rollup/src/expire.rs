//! Expiry: which dates are older than they are kept, and taking them away, oldest first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
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

/// As many dates of a dataset may always go in one run: a machine that was off for a month.
const MOST_AT_ONCE: usize = 31;
/// Rollup intervals are its divisors.
const MINUTES_PER_DAY: u32 = 1_440;

/// What is to go, and what should but cannot, by date.
#[derive(Default)]
pub(crate) struct ExpiryPlan {
    pub(crate) samples: BTreeMap<NaiveDate, Verdict>,
    /// Dates of other datasets.
    pub(crate) others: BTreeMap<NaiveDate, Vec<DatasetStore>>,
    /// Datasets of which too much would go.
    doubted: Vec<Doubt>,
}

/// Most of a dataset is older than it is kept: the clock is wrong more often than that is meant.
struct Doubt {
    dataset: String,
    dates: usize,
    of: usize,
}

impl Doubt {
    fn of(store: &DatasetStore, dates: usize, of: usize, range: &DateRange) -> Option<Self> {
        let is_asked_for = range.from.is_some() || range.to.is_some() || range.force;
        let is_most = dates > MOST_AT_ONCE && 2 * dates > of;
        (is_most && !is_asked_for).then(|| Self { dataset: store.name().to_owned(), dates, of })
    }
}

/// What becomes of samples that are older than they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Expire,
    /// The date's rollup is missing, stale, or not final.
    KeepUntilBuilt,
    /// Another date that is still to be built needs them.
    KeepForAnother,
    /// Most of the dataset would go.
    KeepInDoubt,
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

impl ExpiryPlan {
    fn add(&mut self, store: &DatasetStore, going: Vec<NaiveDate>, of: usize, range: &DateRange) {
        if let Some(doubt) = Doubt::of(store, going.len(), of, range) {
            self.doubted.push(doubt);
            return;
        }
        for date in going {
            self.others.entry(date).or_default().push(store.clone());
        }
    }
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
        let going = expiry.samples.values().filter(|verdict| **verdict == Verdict::Expire).count();
        if let Some(doubt) = Doubt::of(self.silver, going, silver.dates().count(), range) {
            expiry.doubted.push(doubt);
            expiry.samples.values_mut().for_each(|verdict| *verdict = Verdict::KeepInDoubt);
        }
        for store in rollups(self.lake)? {
            // While there are samples their rollup would only be built again.
            let has_no_samples = |date: &NaiveDate| !silver.has(*date) || expired.contains(*date);
            let old =
                |date: &NaiveDate| range.contains(*date) && self.retention.gold_days.is_over(*date, today);
            let dates = store.dates()?;
            let going = dates.iter().copied().filter(old).filter(has_no_samples).collect();
            expiry.add(&store, going, dates.len(), range);
        }
        let alerts = self.lake.host_alerts();
        let old =
            |date: &NaiveDate| range.contains(*date) && self.retention.alerts_days.is_over(*date, today);
        let dates = alerts.store().dates()?;
        expiry.add(alerts.store(), dates.iter().copied().filter(old).collect(), dates.len(), range);
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
        for Doubt { dataset, dates, of } in &plan.doubted {
            let now = self.now.to_rfc3339_opts(SecondsFormat::Secs, true);
            tracing::error!(
                dataset,
                "{dates} of {of} dates are older than they are kept, if it is {now}: nothing of it has gone; \
                 if the clock is right, start it with --force"
            );
            exit = Exit::Incomplete;
        }
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
                Verdict::KeepInDoubt => continue,
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
pub(crate) fn rollups(lake: &Lake) -> Result<Vec<DatasetStore>, RepositoryError> {
    let intervals = (1..=MINUTES_PER_DAY).filter(|minutes| MINUTES_PER_DAY.is_multiple_of(*minutes));
    let mut stores = Vec::new();
    for minutes in intervals {
        let store = lake.store(&HOST_METRICS_ROLLUP, dataset_name(minutes));
        // Not `Path::exists`, to which a rollup that cannot be looked at is none: its samples would go.
        if store.exists()? {
            stores.push(store);
        }
    }
    Ok(stores)
}

fn names(files: &[DataFile]) -> Vec<String> {
    files.iter().filter_map(|file| Some(file.path.file_name()?.to_str()?.to_owned())).collect()
}
