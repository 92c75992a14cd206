//! What a run would build, and why: names are listed, hardly anything is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use telemetry_repository::{DataFile, DatasetStore, Listings, RepositoryError, RollupFileName};
use telemetry_rollup_engine::RollupConfig;

use crate::args::DateRange;
use crate::digest::digest;
use crate::expired::Expired;
use crate::next_final::NextFinal;
use crate::reach;
use crate::silver::{Silver, whole};

/// Footer key of Gold: the first instant at which a bucket of the file becomes final, microseconds
/// since 1970. Absent where all are.
pub(crate) const NEXT_FINAL_US: &str = "telemetry.next_final_us";

/// What a run would do with each date of its range, in order.
pub(crate) struct Plan {
    pub(crate) dates: Vec<PlannedDate>,
}

/// What a run would do with one date.
pub(crate) struct PlannedDate {
    pub(crate) date: NaiveDate,
    pub(crate) action: Action,
    /// Number of Silver files that would be read, and their bytes.
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// The generation that stands in Gold now; 0 if there is none.
    pub(crate) generation: u64,
    /// The name of that generation's file.
    pub(crate) built: Option<RollupFileName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Build(Reason),
    UpToDate,
    /// Gold exists and Silver does not (any more): left as it is.
    KeepWithoutSilver,
    /// Silver has expired: Gold is left as it is, and so are samples that came since.
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    New,
    Changed,
    BucketsBecomeFinal,
    Forced,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Build(Reason::New) => "build: not in Gold yet",
            Action::Build(Reason::Changed) => "build: samples or configuration changed",
            Action::Build(Reason::BucketsBecomeFinal) => "build: buckets become final",
            Action::Build(Reason::Forced) => "build: forced",
            Action::UpToDate => "up to date",
            Action::KeepWithoutSilver => "kept: its samples are gone",
            Action::Expired => "kept: its samples have expired",
        })
    }
}

impl Plan {
    pub(crate) fn make(
        listed: &Listed,
        gold: &DatasetStore,
        known: (&Expired, &NextFinal),
        range: &DateRange,
        config: RollupConfig,
        now: DateTime<Utc>,
    ) -> Result<Self, RepositoryError> {
        let all: BTreeSet<NaiveDate> = listed.silver.dates().chain(listed.gold.keys().copied()).collect();
        let wanted = all.into_iter().filter(|date| range.contains(*date));
        let plan = |date| plan_date(listed, gold, known, date, range.force, config, now);
        Ok(Self { dates: wanted.map(plan).collect::<Result<_, _>>()? })
    }
}

/// What stands in the lake.
pub(crate) struct Listed {
    pub(crate) silver: Arc<Silver>,
    pub(crate) gold: BTreeMap<NaiveDate, Vec<DataFile>>,
}

impl Listed {
    /// `listings` are those of the last run, or none for one that must not rely on them.
    pub(crate) fn list(
        (silver, gold): (&DatasetStore, &DatasetStore),
        listings: &mut Listings,
        now: DateTime<Utc>,
    ) -> Result<Self, RepositoryError> {
        let silver = Silver::of_dates(silver.files_by_date(listings, now)?);
        Ok(Self { silver: Arc::new(silver), gold: gold.files_by_date(listings, now)? })
    }

    /// Leaves samples that came after their date had expired out of what anything is made from.
    pub(crate) fn leave_alone(&mut self, expired: &Expired) {
        Arc::make_mut(&mut self.silver).leave_alone(expired.dates());
    }
}

fn plan_date(
    listed: &Listed,
    gold: &DatasetStore,
    (expired, next_final): (&Expired, &NextFinal),
    date: NaiveDate,
    force: bool,
    config: RollupConfig,
    now: DateTime<Utc>,
) -> Result<PlannedDate, RepositoryError> {
    let silver = &listed.silver;
    let inputs = silver.inputs(&whole(date), reach(config));
    let files = listed.gold.get(&date).map_or(&[][..], Vec::as_slice);
    // The highest generation stands.
    let built = files.iter().filter_map(|file| file.name.rollup()).max_by_key(|name| name.generation);
    let left = digest(inputs.all(), config);
    let is_new = |name: &RollupFileName| name.digest != left && !expired.explains(date, name.digest, left);
    let action = match built {
        _ if expired.contains(date) => Action::Expired,
        _ if !silver.has(date) => Action::KeepWithoutSilver,
        None => Action::Build(Reason::New),
        Some(_) if force => Action::Build(Reason::Forced),
        Some(name) if is_new(name) => Action::Build(Reason::Changed),
        // Where directories cannot be exchanged, a crash leaves the old file beside the new one.
        Some(_) if files.len() > 1 => Action::Build(Reason::Changed),
        Some(name) if name.is_final => Action::UpToDate,
        Some(name) if is_due(gold, name, next_final, now)? => Action::Build(Reason::BucketsBecomeFinal),
        Some(_) => Action::UpToDate,
    };
    Ok(PlannedDate {
        date,
        action,
        files: inputs.all().count(),
        bytes: inputs.all().map(|file| file.size).sum(),
        generation: built.map_or(0, |name| name.generation),
        built: built.cloned(),
    })
}

/// Whether a bucket of an open date has become final since it was built. A file that cannot tell is
/// built again.
fn is_due(
    gold: &DatasetStore,
    name: &RollupFileName,
    next_final: &NextFinal,
    now: DateTime<Utc>,
) -> Result<bool, RepositoryError> {
    if let Some(next) = next_final.get(name) {
        return Ok(next <= now.timestamp_micros());
    }
    let files = gold.files_on(name.date)?;
    let Some(file) = files.iter().find(|file| file.name.rollup() == Some(name)) else { return Ok(true) };
    match gold.footer(file) {
        Ok(footer) => {
            let next: Option<i64> = footer.get(NEXT_FINAL_US).and_then(|text| text.parse().ok());
            Ok(next.is_none_or(|next| next <= now.timestamp_micros()))
        }
        Err(RepositoryError::Damaged { path, reason }) => {
            tracing::warn!(path = %path.display(), reason, "damaged rollup is built again");
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
