//! The final buckets of Gold, as the alert rules take them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use telemetry_alert_rules::RuleSet;
use telemetry_repository::{DataFile, DatasetStore, FinalBuckets, RepositoryError};
use telemetry_schema::HostBuckets;

/// Files of Gold, the standing one of each date.
pub(crate) type GoldFiles = BTreeMap<NaiveDate, DataFile>;

/// The standing files of the dates from `from_us` (microseconds since 1970) on, by their names.
pub(crate) fn gold_files(gold: &DatasetStore, from_us: i64) -> Result<GoldFiles, RepositoryError> {
    let mut files = GoldFiles::new();
    for date in gold.dates()?.into_iter().filter(|date| *date >= date_of(from_us)) {
        let standing = gold
            .files_on(date)?
            .into_iter()
            .max_by_key(|file| file.name.rollup().map(|name| name.generation));
        files.extend(standing.map(|file| (date, file)));
    }
    Ok(files)
}

/// The date of an instant; the first one for what is before all.
pub(crate) fn date_of(instant_us: i64) -> NaiveDate {
    DateTime::from_timestamp_micros(instant_us).map_or(NaiveDate::MIN, |instant| instant.date_naive())
}

/// Buckets of some dates.
#[derive(Debug)]
pub(crate) struct Ticks(FinalBuckets);

impl Ticks {
    /// None yet, of the columns that the rules need.
    pub(crate) fn new(rules: &RuleSet) -> Self {
        Self(FinalBuckets::new(rules.bucket_us(), rules.columns()))
    }

    /// Reads the final buckets of one date; dates come in order.
    pub(crate) fn read(&mut self, gold: &DatasetStore, file: &DataFile) -> Result<(), RepositoryError> {
        self.0.add(&gold.read(file, &self.0.needed_columns())?)
    }

    /// The end of the first bucket that is new, where each host is done up to some instant.
    pub(crate) fn first_new_us(&self, done_us: impl Fn(&str) -> i64) -> Option<i64> {
        let first = |(host, buckets): (&str, &HostBuckets)| {
            let done_us = done_us(host);
            buckets.ends_us.iter().copied().find(|end_us| *end_us > done_us)
        };
        self.0.hosts().filter_map(first).min()
    }

    /// All of them, by host.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (&str, &HostBuckets)> {
        self.0.hosts()
    }
}
