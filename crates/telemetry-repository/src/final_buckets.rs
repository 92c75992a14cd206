//! The final buckets of rollups as plain columns, those of each host in time order: what alert rules
//! take.

use std::collections::BTreeMap;

use polars::prelude::DataFrame;
use telemetry_schema::HostBuckets;
use telemetry_schema::host_metrics_rollup::names;

use crate::columns::{flags, instants_us, numbers, texts};
use crate::error::RepositoryError;

const KEYS: [&str; 5] =
    [names::host_id, names::bucket_start, names::is_final, names::coverage, names::last_as_of];

/// The final buckets of any number of hosts. The last sample of a bucket counts as taken at its start
/// where a file does not know it.
#[derive(Debug)]
pub struct FinalBuckets {
    bucket_us: i64,
    columns: Vec<&'static str>,
    hosts: BTreeMap<String, HostBuckets>,
}

impl FinalBuckets {
    /// None yet: of rollups with that width of a bucket (microseconds), these columns.
    pub fn new(bucket_us: i64, columns: &[&'static str]) -> Self {
        Self { bucket_us, columns: columns.to_vec(), hosts: BTreeMap::new() }
    }

    /// Those of these rollups.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn of(
        rollups: &DataFrame,
        bucket_us: i64,
        columns: &[&'static str],
    ) -> Result<Self, RepositoryError> {
        let mut buckets = Self::new(bucket_us, columns);
        buckets.add(rollups)?;
        Ok(buckets)
    }

    /// The columns that a frame needs to be added.
    pub fn needed_columns(&self) -> Vec<&'static str> {
        let others = self.columns.iter().filter(|name| !KEYS.contains(name));
        KEYS.iter().chain(others).copied().collect()
    }

    /// Adds the final ones of these rollups, which are sorted by host and time, and later than those
    /// that were added before.
    ///
    /// # Errors
    /// [`RepositoryError::InvalidFrame`] if a column is missing, or of another type.
    pub fn add(&mut self, rollups: &DataFrame) -> Result<(), RepositoryError> {
        let hosts = texts(rollups, names::host_id)?;
        let starts = instants_us(rollups, names::bucket_start)?;
        let is_final = flags(rollups, names::is_final)?;
        let last_samples = instants_us(rollups, names::last_as_of)?;
        let coverage = numbers(rollups, names::coverage)?;
        let columns =
            self.columns.iter().map(|name| numbers(rollups, name)).collect::<Result<Vec<_>, _>>()?;
        let is_usable = |row: &usize| starts[*row].is_some() && is_final[*row] == Some(true);
        // What is of one host is taken at once.
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
            let new = || HostBuckets { columns: vec![Vec::new(); columns.len()], ..HostBuckets::default() };
            let buckets = self.hosts.entry(host.to_owned()).or_insert_with(new);
            let starts_us = || rows.iter().filter_map(|row| starts[*row]);
            buckets.ends_us.extend(starts_us().map(|start_us| start_us + self.bucket_us));
            buckets.coverage.extend(rows.iter().map(|row| coverage[*row]));
            let last_samples = rows.iter().zip(starts_us()).map(|(row, us)| last_samples[*row].unwrap_or(us));
            buckets.last_samples_us.extend(last_samples);
            for (list, values) in buckets.columns.iter_mut().zip(&columns) {
                list.extend(rows.iter().map(|row| values[*row]));
            }
        }
        Ok(())
    }

    /// The hosts that have any, by name.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &HostBuckets)> {
        self.hosts.iter().map(|(host, buckets)| (host.as_str(), buckets))
    }
}
