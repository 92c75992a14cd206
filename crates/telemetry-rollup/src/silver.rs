//! Which Silver files the rollup of a date is made from, by their names alone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use telemetry_repository::{DataFile, DatasetStore, FileName, RepositoryError, Selection};
use telemetry_schema::HostId;

/// The Silver files of a lake.
pub(crate) struct Silver {
    by_date: BTreeMap<NaiveDate, Vec<DataFile>>,
}

impl Silver {
    pub(crate) fn list(store: &DatasetStore) -> Result<Self, RepositoryError> {
        Ok(Self::new(store.files(&Selection::all())?))
    }

    pub(crate) fn new(files: Vec<DataFile>) -> Self {
        let mut by_date: BTreeMap<NaiveDate, Vec<DataFile>> = BTreeMap::new();
        for file in files {
            by_date.entry(file.date).or_default().push(file);
        }
        Self { by_date }
    }

    pub(crate) fn dates(&self) -> impl Iterator<Item = NaiveDate> {
        self.by_date.keys().copied()
    }

    /// The files of a date.
    pub(crate) fn on(&self, date: NaiveDate) -> &[DataFile] {
        self.by_date.get(&date).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn has(&self, date: NaiveDate) -> bool {
        self.by_date.contains_key(&date)
    }

    /// Forgets a date, as if it had expired.
    pub(crate) fn remove(&mut self, date: NaiveDate) {
        self.by_date.remove(&date);
    }

    /// The files that the date's rollup depends on, by name: those that overlap the date, widened by
    /// the reach; and for a host that begins the date without a sample within reach, the file with
    /// its last sample before.
    pub(crate) fn inputs(&self, date: NaiveDate, reach: TimeDelta) -> Vec<&DataFile> {
        let (start, end) = (start_of(date), start_of(date) + Days::new(1));
        let mut inputs: Vec<&DataFile> = self.overlapping(start - reach, end + reach).collect();
        let begins: BTreeSet<Option<&HostId>> = self.overlapping(start - reach, start).map(host).collect();
        let on_date: BTreeSet<Option<&HostId>> = self.overlapping(start, end).map(host).collect();
        for host in on_date.difference(&begins) {
            inputs.extend(self.last_before(*host, start - reach));
        }
        inputs.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
        inputs.dedup_by(|a, b| a.path == b.path);
        inputs
    }

    /// Files that can hold an instant in `[from, to)`.
    fn overlapping(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> impl Iterator<Item = &DataFile> {
        self.by_date
            .range(from.date_naive()..=to.date_naive())
            .flat_map(|(_, files)| files)
            .filter(move |file| covers(file).is_none_or(|(first, last)| first < to && last >= from))
    }

    /// The file with the host's last sample before the instant. A file of several hosts may hold it.
    fn last_before(&self, host_id: Option<&HostId>, before: DateTime<Utc>) -> Option<&DataFile> {
        let may_hold = |file: &&DataFile| host(file).is_none() || host(file) == host_id;
        let last = |file: &DataFile| covers(file).map(|(_, last)| last);
        self.by_date.range(..=before.date_naive()).rev().find_map(|(_, files)| {
            files
                .iter()
                .filter(may_hold)
                .filter(|file| last(file).is_none_or(|last| last < before))
                .max_by(|a, b| last(a).cmp(&last(b)).then(a.path.cmp(&b.path)))
        })
    }
}

/// The one host of the file, if its name says it.
fn host(file: &DataFile) -> Option<&HostId> {
    match &file.name {
        FileName::Sample(name) => name.host.as_ref(),
        FileName::Rollup(_) | FileName::Other => None,
    }
}

/// First and last second of the file, inclusive, if its name says them.
fn covers(file: &DataFile) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    match &file.name {
        FileName::Sample(name) => Some((name.first, name.last)),
        FileName::Rollup(_) | FileName::Other => None,
    }
}

/// Midnight at the beginning of the date.
pub(crate) fn start_of(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(chrono::NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const REACH: TimeDelta = TimeDelta::hours(1);

    fn file(name: &str) -> DataFile {
        let (_, from_first) = name.split_once("__").unwrap_or_default();
        let date = NaiveDate::parse_from_str(from_first.get(..8).unwrap_or("20261121"), "%Y%m%d");
        DataFile {
            path: name.into(),
            date: date.unwrap_or(NaiveDate::from_ymd_opt(2026, 11, 21).unwrap()),
            size: 1,
            name: FileName::parse(name),
        }
    }

    fn check(files: &[&str], expected: &[&str]) {
        let silver = Silver::new(files.iter().map(|name| file(name)).collect());
        let date = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
        let got: Vec<String> =
            silver.inputs(date, REACH).iter().map(|file| file.path.display().to_string()).collect();
        assert_eq!(got, expected);
    }

    const YESTERDAY_NOON: &str = "pi__20261120T120000Z__20261120T120050Z__r6__a.parquet";
    const YESTERDAY_LATE: &str = "pi__20261120T235500Z__20261120T235550Z__r6__b.parquet";
    const NOON: &str = "pi__20261121T120000Z__20261121T120050Z__r6__c.parquet";
    const TOMORROW_EARLY: &str = "pi__20261122T000000Z__20261122T000050Z__r6__d.parquet";
    const TOMORROW_NOON: &str = "pi__20261122T120000Z__20261122T120050Z__r6__e.parquet";

    #[test]
    fn the_date_and_its_surroundings() {
        check(
            &[YESTERDAY_NOON, YESTERDAY_LATE, NOON, TOMORROW_EARLY, TOMORROW_NOON],
            &[YESTERDAY_LATE, NOON, TOMORROW_EARLY],
        );
    }

    #[test]
    fn a_host_that_was_silent_brings_its_last_file() {
        let long_ago = "pi__20261103T120000Z__20261103T120050Z__r6__f.parquet";
        let other_host = "nas__20261120T130000Z__20261120T130050Z__r6__g.parquet";
        check(&[long_ago, YESTERDAY_NOON, other_host, NOON], &[YESTERDAY_NOON, NOON]);
        check(&[long_ago, other_host, NOON], &[long_ago, NOON]);
        let of_several = "@all__20261119T000000Z__20261119T235950Z__r9__h.parquet";
        check(&[long_ago, of_several, NOON], &[of_several, NOON]);
    }

    #[test]
    fn foreign_names_are_always_inputs() {
        check(&["anything.parquet", NOON], &["anything.parquet", NOON]);
    }

    #[test]
    fn nothing_on_the_date_needs_no_predecessor() {
        check(&[YESTERDAY_NOON], &[]);
        check(&[YESTERDAY_LATE], &[YESTERDAY_LATE]);
    }
}
