//! The final buckets of Gold, as the alert rules take them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use telemetry_alert_rules::{Evaluation, HostTicks, RuleSet};
use telemetry_repository::{DataFile, DatasetStore, RepositoryError, flags, instants_us, numbers, texts};
use telemetry_schema::host_metrics_rollup::names;

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

/// The buckets of one host: one entry of each list a bucket, in time order.
#[derive(Debug, Default)]
struct Buckets {
    ends_us: Vec<i64>,
    coverage: Vec<Option<f64>>,
    last_samples_us: Vec<i64>,
    columns: Vec<Vec<Option<f64>>>,
}

/// Buckets of some dates.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    hosts: BTreeMap<String, Buckets>,
}

impl Ticks {
    /// Reads the final buckets of one date; dates come in order.
    pub(crate) fn read(
        &mut self,
        gold: &DatasetStore,
        file: &DataFile,
        rules: &RuleSet,
    ) -> Result<(), RepositoryError> {
        let keys = [names::host_id, names::bucket_start, names::is_final, names::coverage, names::last_as_of];
        let mut wanted = keys.to_vec();
        wanted.extend(rules.columns().iter().filter(|name| !keys.contains(name)));
        let frame = gold.read(file, &wanted)?;
        let hosts = texts(&frame, names::host_id)?;
        let starts = instants_us(&frame, names::bucket_start)?;
        let is_final = flags(&frame, names::is_final)?;
        let last_samples = instants_us(&frame, names::last_as_of)?;
        let coverage = numbers(&frame, names::coverage)?;
        let columns =
            rules.columns().iter().map(|name| numbers(&frame, name)).collect::<Result<Vec<_>, _>>()?;
        let is_usable = |row: &usize| starts[*row].is_some() && is_final[*row] == Some(true);
        // A file is sorted by host: what is of one is taken at once.
        let mut rest = 0..hosts.len();
        while let Some(first) = rest.next() {
            let others = rest.clone().take_while(|row| hosts[*row] == hosts[first]).count();
            let of_host = first..rest.start + others;
            rest.start = of_host.end;
            let Some(host) = hosts[first] else { continue };
            let rows: Vec<usize> = of_host.filter(is_usable).collect();
            if rows.is_empty() {
                continue;
            }
            let new = || Buckets { columns: vec![Vec::new(); columns.len()], ..Buckets::default() };
            let buckets = self.hosts.entry(host.to_owned()).or_insert_with(new);
            let starts_us = || rows.iter().filter_map(|row| starts[*row]);
            buckets.ends_us.extend(starts_us().map(|start_us| start_us + rules.bucket_us()));
            buckets.coverage.extend(rows.iter().map(|row| coverage[*row]));
            let last_samples = rows.iter().zip(starts_us()).map(|(row, us)| last_samples[*row].unwrap_or(us));
            buckets.last_samples_us.extend(last_samples);
            for (list, values) in buckets.columns.iter_mut().zip(&columns) {
                list.extend(rows.iter().map(|row| values[*row]));
            }
        }
        Ok(())
    }

    /// The end of the first bucket that is new, where each host is done up to some instant.
    pub(crate) fn first_new_us(&self, done_us: impl Fn(&str) -> i64) -> Option<i64> {
        let first = |(host, buckets): (&String, &Buckets)| {
            let done_us = done_us(host);
            buckets.ends_us.iter().copied().find(|end_us| *end_us > done_us)
        };
        self.hosts.iter().filter_map(first).min()
    }

    /// Gives all of them to an evaluation.
    pub(crate) fn evaluate(&self, evaluation: &mut Evaluation<'_>) -> anyhow::Result<()> {
        for (host, buckets) in &self.hosts {
            let columns: Vec<&[Option<f64>]> = buckets.columns.iter().map(Vec::as_slice).collect();
            let Buckets { ends_us, coverage, last_samples_us, .. } = buckets;
            evaluation.host(&HostTicks::new(host, ends_us, coverage, last_samples_us, &columns)?);
        }
        Ok(())
    }
}
