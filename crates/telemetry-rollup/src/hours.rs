//! Which hours of a date have to be computed again: those whose files have changed, those with
//! buckets that are not final, and what is next to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use telemetry_repository::{DataFile, FileName};
use telemetry_rollup_engine::RollupConfig;
use telemetry_schema::HostId;

use crate::digest::digest;
use crate::silver::{Inputs, Period, host, start_of};

/// Footer key of Gold: the digest of each hour's files, and of those around the date.
pub(crate) const HOUR_DIGESTS: &str = "telemetry.hour_digests";

const HOURS: usize = 24;
const HOUR: TimeDelta = TimeDelta::hours(1);

/// What each hour of a date was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HourDigests {
    /// The files with the last samples before the date.
    before: String,
    /// The files of each hour; empty for an hour without files.
    hours: Vec<String>,
    /// The files with the first samples after the date.
    after: String,
    /// Of each host, the hours of its files' first and last samples.
    #[serde(skip)]
    hosts: Vec<BTreeSet<usize>>,
    /// The hours of files of several hosts, any of which may have samples in any of them.
    #[serde(skip)]
    shared: BTreeSet<usize>,
}

impl HourDigests {
    /// Of the inputs of a whole date.
    pub(crate) fn of(date: NaiveDate, inputs: &Inputs<'_>, config: RollupConfig) -> Self {
        let mut files: Vec<Vec<&DataFile>> = vec![Vec::new(); HOURS];
        let mut hosts: BTreeMap<&HostId, BTreeSet<usize>> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for file in &inputs.own {
            let hours = hours_of(file, date);
            match host(file) {
                Some(host) => hosts.entry(host).or_default().extend([hours.start, hours.end - 1]),
                None => shared.extend(hours.clone()),
            }
            hours.for_each(|hour| files[hour].push(file));
        }
        let hex = |files: &Vec<&DataFile>| format!("{:016x}", digest(files.iter().copied(), config));
        let of_hour = |files: &Vec<&DataFile>| if files.is_empty() { String::new() } else { hex(files) };
        Self {
            before: hex(&inputs.before),
            hours: files.iter().map(of_hour).collect(),
            after: hex(&inputs.after),
            hosts: hosts.into_values().collect(),
            shared,
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|digests: &Self| digests.hours.len() == HOURS)
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts are always JSON")
    }

    /// Whether the files of each hour are the same; those around the date need not be.
    pub(crate) fn is_of_same_hours(&self, other: &Self) -> bool {
        self.hours == other.hours
    }

    /// The hours to compute again, given what was built before; `None` if that is all of them, or
    /// none. `open_from` is the first bucket that was not final then.
    ///
    /// A changed hour concerns the hours within reach before it, into which the growth up to its first
    /// sample falls, and for each host the next hour with samples, whose first sample follows its last.
    pub(crate) fn to_build(
        &self,
        built: &Self,
        date: NaiveDate,
        open_from: Option<DateTime<Utc>>,
        reach: TimeDelta,
    ) -> Option<Range<usize>> {
        let reach_hours = usize::try_from(reach.num_hours()).unwrap_or(HOURS).max(1);
        let mut changed: Vec<usize> =
            (0..HOURS).filter(|hour| self.hours[*hour] != built.hours[*hour]).collect();
        if let Some(last) = changed.last().copied() {
            let later = last + 1..HOURS;
            changed.extend(self.hosts.iter().filter_map(|hours| hours.range(later.clone()).next()));
            changed.extend(self.shared.range(later));
        }
        if self.before != built.before {
            changed.extend(self.hosts.iter().filter_map(BTreeSet::first).chain(&self.shared));
        }
        if self.after != built.after {
            changed.extend(HOURS.saturating_sub(reach_hours)..HOURS);
        }
        if let Some(open_from) = open_from {
            let since_midnight = (open_from - start_of(date)).num_hours();
            let hour = usize::try_from(since_midnight).unwrap_or(0).min(HOURS - 1);
            changed.extend(hour..HOURS);
        }
        let (first, last) = (*changed.iter().min()?, *changed.iter().max()?);
        let hours = first.saturating_sub(reach_hours)..last + 1;
        (hours != (0..HOURS)).then_some(hours)
    }
}

/// The period of some hours of a date.
pub(crate) fn period(date: NaiveDate, hours: &Range<usize>) -> Period {
    let at = |hour: usize| start_of(date) + HOUR * i32::try_from(hour).unwrap_or(i32::MAX);
    at(hours.start)..at(hours.end)
}

/// The hours of the date that a file can hold samples of.
fn hours_of(file: &DataFile, date: NaiveDate) -> Range<usize> {
    let FileName::Sample(name) = &file.name else { return 0..HOURS };
    let hour = |at: DateTime<Utc>| {
        usize::try_from((at - start_of(date)).num_hours().max(0)).unwrap_or(0).min(HOURS - 1)
    };
    hour(name.first)..hour(name.last) + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn date() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 21).unwrap()
    }

    /// Digests with files in these hours.
    fn digests(hours: &[usize]) -> HourDigests {
        let text = |hour| if hours.contains(&hour) { format!("{hour}") } else { String::new() };
        HourDigests {
            before: "b".into(),
            hours: (0..HOURS).map(text).collect(),
            after: "a".into(),
            hosts: vec![hours.iter().copied().collect()],
            shared: BTreeSet::new(),
        }
    }

    fn check(change: impl Fn(&mut HourDigests), open_from: Option<i64>, expected: Option<Range<usize>>) {
        let built = digests(&[3, 4, 5, 9, 15]);
        let mut now = built.clone();
        change(&mut now);
        let open_from = open_from.map(|hour| start_of(date()) + TimeDelta::hours(hour));
        assert_eq!(now.to_build(&built, date(), open_from, HOUR), expected);
    }

    #[test]
    fn changed_hours_and_what_is_next_to_them() {
        check(|_| {}, None, None);
        check(|now| now.hours[4] = "x".into(), None, Some(3..6));
        check(|now| now.hours[5] = "x".into(), None, Some(4..10));
        check(|now| now.hours[15] = "x".into(), None, Some(14..16));
        check(|now| now.hours[16] = "x".into(), None, Some(15..17));
        check(|now| now.hours[9] = String::new(), None, Some(8..16));
        check(|now| now.before = "x".into(), None, Some(2..4));
        check(|now| now.after = "x".into(), None, Some(22..24));
        check(|_| {}, Some(15), Some(14..24));
        check(|now| now.hours[0] = "x".into(), Some(23), None);
    }

    #[test]
    fn the_next_hour_is_that_of_each_host() {
        let changed = |hour: Option<usize>, hosts: &[usize], shared: &[usize], expected| {
            let change = |now: &mut HourDigests| {
                match hour {
                    Some(hour) => now.hours[hour] = "x".into(),
                    None => now.before = "x".into(),
                }
                now.hosts.push(hosts.iter().copied().collect());
                now.shared = shared.iter().copied().collect();
            };
            check(change, None, Some(expected));
        };
        changed(Some(4), &[2, 12, 20], &[], 3..13);
        changed(Some(9), &[2], &[], 8..16);
        changed(None, &[8, 20], &[], 2..9);
        changed(Some(4), &[], &[7, 8, 9, 10], 3..11);
        changed(Some(15), &[], &[7, 8, 9, 10], 14..16);
        changed(None, &[], &[2, 3, 4, 5, 6], 1..7);
    }

    #[test]
    fn digests_come_back_from_the_footer() {
        let all = digests(&[1, 2]);
        let parsed = HourDigests::parse(&all.to_text());
        assert_eq!(parsed, Some(HourDigests { hosts: Vec::new(), ..all }));
        assert_eq!(HourDigests::parse("{}"), None);
    }
}
