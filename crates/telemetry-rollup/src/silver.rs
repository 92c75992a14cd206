//! Which Silver files a rollup is made from, by their names alone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use telemetry_repository::{DataFile, DatasetStore, FileName, RepositoryError, Selection};
use telemetry_schema::HostId;

/// The Silver files of a lake.
#[derive(Clone)]
pub(crate) struct Silver {
    by_date: BTreeMap<NaiveDate, Vec<DataFile>>,
    /// Dates that have expired, with the files that came since.
    expired: BTreeMap<NaiveDate, Vec<DataFile>>,
}

/// A stretch of time, the end exclusive.
pub(crate) type Period = std::ops::Range<DateTime<Utc>>;

/// The files that the rollup of a period depends on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs<'a> {
    /// Those that can hold samples of the period.
    pub(crate) own: Vec<&'a DataFile>,
    /// Those with the last sample before it of each host, however old.
    pub(crate) before: Vec<&'a DataFile>,
    /// Those with the first sample after it of each host, if that is within reach.
    pub(crate) after: Vec<&'a DataFile>,
}

impl<'a> Inputs<'a> {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a DataFile> {
        self.own.iter().chain(&self.before).chain(&self.after).copied()
    }
}

impl Silver {
    pub(crate) fn list(store: &DatasetStore) -> Result<Self, RepositoryError> {
        Ok(Self::new(store.files(&Selection::all())?))
    }

    /// Of what stands in the directory of each date.
    pub(crate) fn of_dates(mut by_date: BTreeMap<NaiveDate, Vec<DataFile>>) -> Self {
        by_date.retain(|_, files| !files.is_empty());
        Self { by_date, expired: BTreeMap::new() }
    }

    pub(crate) fn new(files: Vec<DataFile>) -> Self {
        let mut by_date: BTreeMap<NaiveDate, Vec<DataFile>> = BTreeMap::new();
        for file in files {
            by_date.entry(file.date).or_default().push(file);
        }
        Self { by_date, expired: BTreeMap::new() }
    }

    /// Leaves the files of these dates alone: nothing is made from them.
    pub(crate) fn leave_alone(&mut self, expired: impl IntoIterator<Item = NaiveDate>) {
        for date in expired {
            let files = self.by_date.remove(&date).unwrap_or_default();
            self.expired.insert(date, files);
        }
    }

    /// What is there by now, with the same dates left alone.
    pub(crate) fn list_again(&self, store: &DatasetStore) -> Result<Self, RepositoryError> {
        let mut silver = Self::list(store)?;
        silver.leave_alone(self.expired.keys().copied());
        Ok(silver)
    }

    /// The files that came for dates which have expired.
    pub(crate) fn late(&self) -> impl Iterator<Item = &DataFile> {
        self.expired.values().flatten()
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

    /// Whether a file of the date can hold a sample of the host (of any, where that is unknown) taken
    /// at the instant, microseconds since 1970.
    pub(crate) fn can_hold(&self, date: NaiveDate, of: Option<&str>, instant_us: i64) -> bool {
        let is_in = |(first, last): (DateTime<Utc>, DateTime<Utc>)| {
            (first.timestamp_micros()..=last.timestamp_micros()).contains(&instant_us)
        };
        self.on(date).iter().any(|file| {
            let is_of_host = host(file).zip(of).is_none_or(|(host, of)| host.as_str() == of);
            is_of_host && covers(file).is_none_or(is_in)
        })
    }

    /// Forgets a date, as if it had expired.
    pub(crate) fn remove(&mut self, date: NaiveDate) {
        self.by_date.remove(&date);
    }

    /// The files that the period's rollup depends on. A file whose name does not tell its host may
    /// hold any; a file whose name does not tell its times may hold any instant of its date.
    pub(crate) fn inputs(&self, period: &Period, reach: TimeDelta) -> Inputs<'_> {
        let period = &self.closed(period.clone());
        let own: Vec<&DataFile> = self.overlapping(period).collect();
        let hosts: BTreeSet<Option<&HostId>> = own.iter().map(|file| host(file)).collect();
        // By their addresses: each stands in `self` once, and paths are long to compare.
        let own_files: BTreeSet<_> = own.iter().map(|file| std::ptr::from_ref(*file)).collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        if !hosts.is_empty() {
            before = self.last_before(period.start, &hosts);
            after = self.first_after(period.end, reach, &hosts);
        }
        if hosts.contains(&None) {
            before.extend(self.last_of_any(period.start));
            before.extend(self.overlapping(&(period.start - reach..period.start)));
            after.extend(self.overlapping(&(period.end..period.end + reach)));
        }
        for files in [&mut before, &mut after] {
            files.retain(|file| !own_files.contains(&std::ptr::from_ref(*file)));
            files.sort_by(|a, b| a.path.cmp(&b.path));
            files.dedup_by(|a, b| std::ptr::eq(*a, *b));
        }
        Inputs { own, before, after }
    }

    /// The period with the files beside it that overlap with those in it, of the same host or where
    /// hosts are unknown: a file that reaches out of the period would be taken to hold all samples
    /// up to its own last.
    fn closed(&self, mut period: Period) -> Period {
        loop {
            let (mut hosts, mut all) = (BTreeMap::<Option<&HostId>, Period>::new(), period.clone());
            for file in self.overlapping(&period) {
                let file_period = reaches(file);
                all = hull(&all, &file_period);
                let host_period = hosts.entry(host(file)).or_insert_with(|| file_period.clone());
                *host_period = hull(host_period, &file_period);
            }
            let mut closed = period.clone();
            for file in self.overlapping(&all) {
                let file_period = reaches(file);
                let others = match host(file) {
                    Some(_) => [hosts.get(&host(file)), hosts.get(&None)],
                    None => [Some(&all), None],
                };
                let is_between = others.into_iter().flatten().any(|other| overlaps(other, &file_period));
                if is_between && !overlaps(&period, &file_period) {
                    closed = hull(&closed, &file_period);
                }
            }
            if closed == period {
                return period;
            }
            period = closed;
        }
    }

    /// Files that can hold an instant of the period.
    pub(crate) fn overlapping(&self, period: &Period) -> impl Iterator<Item = &DataFile> {
        let Period { start, end } = period.clone();
        self.by_date
            .range(start.date_naive()..=end.date_naive())
            .flat_map(|(_, files)| files)
            .filter(move |file| covers(file).is_none_or(|(first, last)| first < end && last >= start))
            .filter(move |file| covers(file).is_some() || start_of(file.date) < end)
    }

    /// For each host, the files that end last before the instant; for hosts that share files with
    /// others, also those of several hosts.
    fn last_before<'a>(
        &'a self,
        instant: DateTime<Utc>,
        hosts: &BTreeSet<Option<&'a HostId>>,
    ) -> Vec<&'a DataFile> {
        let mut latest = Extremes::new(hosts);
        for (_, files) in self.by_date.range(..=instant.date_naive()).rev() {
            for file in files {
                if ends(file) < instant {
                    latest.offer(file, ends(file).timestamp());
                }
            }
            if latest.is_complete() {
                break;
            }
        }
        latest.into_files()
    }

    /// For hosts that names do not tell, the files that end last before the instant: those of its date
    /// and those of the latest date before it, of each host and all of several hosts.
    fn last_of_any(&self, instant: DateTime<Utc>) -> Vec<&DataFile> {
        let mut last = Vec::new();
        for (date, files) in self.by_date.range(..=instant.date_naive()).rev() {
            let earlier = || files.iter().filter(|file| ends(file) < instant);
            let mut latest = Extremes::new(&earlier().map(host).collect());
            earlier().for_each(|file| latest.offer(file, ends(file).timestamp()));
            last.extend(latest.into_files());
            last.extend(earlier().filter(|file| host(file).is_none()));
            if *date < instant.date_naive() {
                break;
            }
        }
        last
    }

    /// For each host, the files that begin first at the instant or after, within reach.
    fn first_after<'a>(
        &'a self,
        instant: DateTime<Utc>,
        reach: TimeDelta,
        hosts: &BTreeSet<Option<&'a HostId>>,
    ) -> Vec<&'a DataFile> {
        let mut earliest = Extremes::new(hosts);
        for file in self.overlapping(&(instant..instant + reach)) {
            let (first, _) = covers(file).unwrap_or((instant, instant));
            if first >= instant {
                earliest.offer(file, -first.timestamp());
            }
        }
        earliest.into_files()
    }
}

/// For each of some hosts, the files with the greatest key, ties included.
struct Extremes<'a> {
    hosts: BTreeMap<Option<&'a HostId>, (i64, Vec<&'a DataFile>)>,
}

impl<'a> Extremes<'a> {
    /// Files of several hosts count as a host of their own, which nobody has to wait for.
    fn new(hosts: &BTreeSet<Option<&'a HostId>>) -> Self {
        let empty = |host: &Option<&'a HostId>| (*host, (i64::MIN, Vec::new()));
        Self { hosts: hosts.iter().map(empty).chain([empty(&None)]).collect() }
    }

    fn offer(&mut self, file: &'a DataFile, key: i64) {
        if let Some((greatest, files)) = self.hosts.get_mut(&host(file)) {
            if key > *greatest {
                *greatest = key;
                files.clear();
            }
            if key == *greatest {
                files.push(file);
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.hosts.iter().all(|(host, (_, files))| host.is_none() || !files.is_empty())
    }

    fn into_files(self) -> Vec<&'a DataFile> {
        self.hosts.into_values().flat_map(|(_, files)| files).collect()
    }
}

/// The one host of the file, if its name says it.
pub(crate) fn host(file: &DataFile) -> Option<&HostId> {
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

/// The last second of the file, or the beginning of its date if its name does not say it.
fn ends(file: &DataFile) -> DateTime<Utc> {
    covers(file).map_or(start_of(file.date), |(_, last)| last)
}

/// From the first to the last second of the file; its date if its name does not say them.
fn reaches(file: &DataFile) -> Period {
    covers(file).map_or(whole(file.date), |(first, last)| first..last + TimeDelta::seconds(1))
}

fn overlaps(a: &Period, b: &Period) -> bool {
    a.start < b.end && b.start < a.end
}

fn hull(a: &Period, b: &Period) -> Period {
    a.start.min(b.start)..a.end.max(b.end)
}

/// Midnight at the beginning of the date.
pub(crate) fn start_of(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(chrono::NaiveTime::MIN).and_utc()
}

/// The whole of a date.
pub(crate) fn whole(date: NaiveDate) -> Period {
    start_of(date)..start_of(date) + TimeDelta::days(1)
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

    #[track_caller]
    fn check(files: &[&str], own: &[&str], before: &[&str], after: &[&str]) {
        let silver = Silver::new(files.iter().map(|name| file(name)).collect());
        let inputs = silver.inputs(&whole(NaiveDate::from_ymd_opt(2026, 11, 21).unwrap()), REACH);
        let names = |files: &[&DataFile]| -> Vec<String> {
            files.iter().map(|file| file.path.display().to_string()).collect()
        };
        assert_eq!((names(&inputs.own), names(&inputs.before), names(&inputs.after)), {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            (owned(own), owned(before), owned(after))
        });
    }

    const YESTERDAY_NOON: &str = "pi__20261120T120000Z__20261120T120050Z__r6__a.parquet";
    const YESTERDAY_LATE: &str = "pi__20261120T235500Z__20261120T235550Z__r6__b.parquet";
    const NOON: &str = "pi__20261121T120000Z__20261121T120050Z__r6__c.parquet";
    const TOMORROW_EARLY: &str = "pi__20261122T000000Z__20261122T000050Z__r6__d.parquet";
    const TOMORROW_NEXT: &str = "pi__20261122T000100Z__20261122T000150Z__r6__e.parquet";
    const TOMORROW_NOON: &str = "pi__20261122T120000Z__20261122T120050Z__r6__f.parquet";

    #[test]
    fn the_date_and_what_lies_next_to_it() {
        check(
            &[YESTERDAY_NOON, YESTERDAY_LATE, NOON, TOMORROW_EARLY, TOMORROW_NEXT, TOMORROW_NOON],
            &[NOON],
            &[YESTERDAY_LATE],
            &[TOMORROW_EARLY],
        );
        check(&[NOON, TOMORROW_NOON], &[NOON], &[], &[]);
    }

    #[test]
    fn a_host_that_was_silent_brings_its_last_file() {
        let long_ago = "pi__20261103T120000Z__20261103T120050Z__r6__f.parquet";
        let other_host = "nas__20261120T130000Z__20261120T130050Z__r6__g.parquet";
        check(&[long_ago, YESTERDAY_NOON, other_host, NOON], &[NOON], &[YESTERDAY_NOON], &[]);
        check(&[long_ago, other_host, NOON], &[NOON], &[long_ago], &[]);
    }

    #[test]
    fn files_of_several_hosts_may_hold_any() {
        let long_ago = "pi__20261103T120000Z__20261103T120050Z__r6__f.parquet";
        let of_several = "@all__20261119T000000Z__20261119T235950Z__r9__h.parquet";
        check(&[long_ago, of_several, NOON], &[NOON], &[of_several, long_ago], &[]);
        let late = "@all__20261120T000000Z__20261120T235950Z__r9__h.parquet";
        check(&[long_ago, late, NOON], &[NOON], &[late, long_ago], &[]);
        let whole_date = "@all__20261121T000000Z__20261121T235950Z__r9__i.parquet";
        check(
            &[YESTERDAY_NOON, YESTERDAY_LATE, whole_date, TOMORROW_EARLY, TOMORROW_NEXT],
            &[whole_date],
            &[YESTERDAY_LATE],
            &[TOMORROW_EARLY, TOMORROW_NEXT],
        );
        let evening = "@all__20261119T080000Z__20261119T180000Z__r9__p2of2-j.parquet";
        let noon = "@all__20261119T080000Z__20261119T120000Z__r9__p1of2-j.parquet";
        let of_nas = "nas__20261119T080000Z__20261119T090000Z__r9__k.parquet";
        check(&[long_ago, evening, noon, of_nas, whole_date], &[whole_date], &[noon, evening, of_nas], &[]);
    }

    #[test]
    fn foreign_names_are_always_inputs() {
        check(&["anything.parquet", NOON], &["anything.parquet", NOON], &[], &[]);
    }

    #[test]
    fn nothing_on_the_date_needs_nothing_around_it() {
        check(&[YESTERDAY_NOON, TOMORROW_EARLY], &[], &[], &[]);
    }
}
