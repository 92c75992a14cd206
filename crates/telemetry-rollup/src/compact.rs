//! Compaction: which files of a date become one, by their names alone, and doing it.
//!
//! A date that has been over for some time (`compact.closed_after_hours`) becomes one file. Before
//! that, the files of one host and one hour become one once the hour is over and its buckets are final:
//! samples that come later are rare from then on, and the hour is merged again with them.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use telemetry_app::Exit;
use telemetry_repository::{DataFile, DatasetStore, RepositoryError, is_compact};
use telemetry_rollup_engine::GRACE_US;
use telemetry_schema::HostId;

use crate::args::DateRange;
use crate::damaged::set_aside;
use crate::expired::Expired;
use crate::silver::{Silver, start_of};

const HOUR: TimeDelta = TimeDelta::hours(1);
/// A file that covers more than this is no piece of an hour. A merged hour can cover a little more
/// than one, since its files belong to it by their first sample.
const LONGEST_PIECE: TimeDelta = TimeDelta::hours(2);
/// How often the files of a date may change under a merge before it waits for the next run.
const MOST_CHANGES: usize = 5;

/// What compaction would do, by date.
pub(crate) struct CompactPlan {
    pub(crate) dates: Vec<PlannedMerges>,
}

/// The merges of one date: each group of files becomes one.
pub(crate) struct PlannedMerges {
    pub(crate) date: NaiveDate,
    pub(crate) groups: Vec<Vec<DataFile>>,
}

impl PlannedMerges {
    pub(crate) fn files(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }
}

impl CompactPlan {
    pub(crate) fn make(
        silver: &Silver,
        range: &DateRange,
        expired: &Expired,
        closed_after: TimeDelta,
        now: DateTime<Utc>,
    ) -> Self {
        let wanted = silver.dates().filter(|date| range.contains(*date) && !expired.contains(*date));
        let planned = wanted.filter_map(|date| plan_date(date, silver.on(date), closed_after, now));
        Self { dates: planned.collect() }
    }

    pub(crate) fn on(&self, date: NaiveDate) -> Option<&PlannedMerges> {
        self.dates.iter().find(|planned| planned.date == date)
    }
}

fn plan_date(
    date: NaiveDate,
    files: &[DataFile],
    closed_after: TimeDelta,
    now: DateTime<Utc>,
) -> Option<PlannedMerges> {
    let is_closed = start_of(date) + Days::new(1) + closed_after <= now;
    let mut groups = if is_closed { vec![files.to_vec()] } else { closed_hours(files, now) };
    groups.retain(|group| !is_compact(group));
    (!groups.is_empty()).then_some(PlannedMerges { date, groups })
}

/// The files of each host and closed hour; they belong to the hour of their first sample.
fn closed_hours(files: &[DataFile], now: DateTime<Utc>) -> Vec<Vec<DataFile>> {
    let mut hours: BTreeMap<(Option<&HostId>, i64), Vec<DataFile>> = BTreeMap::new();
    for file in files {
        let Some(name) = file.name.sample() else { continue };
        let hour = name.first.timestamp().div_euclid(HOUR.num_seconds());
        let end = DateTime::from_timestamp((hour + 1) * HOUR.num_seconds(), 0);
        let is_closed = end.is_some_and(|end| end + TimeDelta::microseconds(GRACE_US) <= now);
        if is_closed && name.last - name.first <= LONGEST_PIECE {
            hours.entry((name.host.as_ref(), hour)).or_default().push(file.clone());
        }
    }
    hours.into_values().collect()
}

/// Does what is planned. Damaged files are set aside, and the others are merged.
pub(crate) fn run(
    plan: &CompactPlan,
    store: &DatasetStore,
    closed_after: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Exit, RepositoryError> {
    let mut exit = Exit::Done;
    for planned in &plan.dates {
        if !compact_date(planned, store, closed_after, now)? {
            exit = Exit::Incomplete;
        }
    }
    Ok(exit)
}

/// Compacts one date; false if damaged files were set aside.
fn compact_date(
    planned: &PlannedMerges,
    store: &DatasetStore,
    closed_after: TimeDelta,
    now: DateTime<Utc>,
) -> Result<bool, RepositoryError> {
    let date = planned.date;
    let mut groups = planned.groups.clone();
    let (mut is_complete, mut changes) = (true, 0);
    loop {
        match store.compact(date, &groups) {
            Ok(compacted) if compacted.merged == 0 => return Ok(is_complete),
            Ok(compacted) => {
                let (files, merged, rows) = (compacted.files.len(), compacted.merged, compacted.rows);
                tracing::info!(%date, merged, files, rows, "samples compacted");
                return Ok(is_complete);
            }
            Err(RepositoryError::Conflict { .. }) if changes < MOST_CHANGES => changes += 1,
            Err(RepositoryError::Conflict { .. }) => {
                tracing::warn!(%date, "samples keep changing, compaction waits for the next run");
                return Ok(is_complete);
            }
            Err(error) => {
                set_aside(store, groups.iter().flatten(), error)?;
                is_complete = false;
            }
        }
        match plan_date(date, &store.files_on(date)?, closed_after, now) {
            Some(again) => groups = again.groups,
            None => return Ok(is_complete),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use telemetry_repository::FileName;

    use super::*;

    fn file(name: &str) -> DataFile {
        let date = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
        DataFile { path: name.into(), date, size: 1, name: FileName::parse(name) }
    }

    /// The groups of a plan at that hour and minute (of the date, or of a later one), as file names.
    fn groups(names: &[&str], hour: i64, minute: i64) -> Vec<Vec<String>> {
        let files: Vec<DataFile> = names.iter().map(|name| file(name)).collect();
        let date = files[0].date;
        let now = start_of(date) + TimeDelta::minutes(60 * hour + minute);
        let planned = plan_date(date, &files, TimeDelta::hours(48), now);
        let groups = planned.map(|planned| planned.groups).unwrap_or_default();
        let name = |file: &DataFile| file.path.display().to_string();
        groups.iter().map(|group| group.iter().map(name).collect()).collect()
    }

    const NOON: &str = "pi__20261121T120003Z__20261121T120053Z__r6__a.parquet";
    const LATER: &str = "pi__20261121T120103Z__20261121T120153Z__r6__b.parquet";
    const ACROSS: &str = "pi__20261121T125933Z__20261121T130023Z__r6__c.parquet";
    const OTHER: &str = "nas__20261121T120103Z__20261121T120153Z__r6__d.parquet";
    const HALF_A_DAY: &str = "pi__20261121T120103Z__20261121T235953Z__r6__e.parquet";
    const FOREIGN: &str = "part-0.parquet";

    #[test]
    fn an_hour_is_merged_once_its_buckets_are_final() {
        assert_eq!(groups(&[NOON, LATER, ACROSS, OTHER], 13, 9), [[""; 0]; 0]);
        assert_eq!(groups(&[NOON, LATER, ACROSS, OTHER], 13, 10), [[NOON, LATER, ACROSS]]);
        assert_eq!(groups(&[NOON, OTHER, HALF_A_DAY, FOREIGN], 23, 0), [[""; 0]; 0]);
        assert_eq!(groups(&[NOON, OTHER, HALF_A_DAY, FOREIGN], 71, 59), [[""; 0]; 0]);
    }

    #[test]
    fn a_date_is_merged_when_it_has_been_closed_for_long() {
        let all = [NOON, OTHER, HALF_A_DAY, FOREIGN];
        assert_eq!(groups(&all, 72, 0), [all]);
        assert_eq!(groups(&[NOON], 72, 0), [[""; 0]; 0]);
    }

    #[test]
    fn parts_of_one_merge_are_left_alone() {
        let part = |name: &str| format!("@all__20261121T120003Z__20261121T120053Z__r6__{name}.parquet");
        let [one, two, other] = [part("p1of2-abc"), part("p2of2-abc"), part("p2of2-xyz")];
        assert_eq!(groups(&[&one, &two], 72, 0), [[""; 0]; 0]);
        assert_eq!(groups(&[&one, &other], 72, 0), [[one.clone(), other]]);
        assert_eq!(groups(&[&one, &two, NOON], 72, 0), [[one, two, NOON.to_owned()]]);
    }
}
