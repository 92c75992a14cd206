//! The rollup of a range before its surroundings are known.
//!
//! All formulas look at pairs of consecutive samples at most, so a range computed from its own
//! samples lacks just the pair across each of its ends: [`Partial::join_before`] and
//! [`Partial::join_after`] add these from the samples at the ends of what lies around it. Ranges can
//! so be computed in any order and on any thread, each from its own files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use polars::prelude::DataFrame;

use crate::batch::Texts;
use crate::counters::Sample;
use crate::merge::{next_host, stretches};
use crate::pass::{HostPass, join};
use crate::plan::Plan;
use crate::source::{Cursor, Source};
use crate::table::{OpenBucket, Table};
use crate::{EngineError, PassError, RollupConfig, RollupRequest, output};

/// A rollup that still lacks the pairs across its ends.
pub struct Partial {
    plan: Plan,
    table: Table,
    hosts: BTreeMap<String, Host>,
    request: RollupRequest,
    config: RollupConfig,
    unusable_rows: u64,
}

struct Host {
    rows: Range<usize>,
    first: Sample<String>,
    last: Sample<String>,
}

/// The first and the last sample of each host in some samples.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    hosts: BTreeMap<String, (Sample<String>, Sample<String>)>,
}

impl Ends {
    /// Hosts that have samples.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// The first and the last sample of each host in these samples or in others.
    pub fn or(&mut self, other: Ends) {
        for (host, (first, last)) in other.hosts {
            match self.hosts.entry(host) {
                Entry::Vacant(entry) => {
                    entry.insert((first, last));
                }
                Entry::Occupied(mut entry) => {
                    let ends = entry.get_mut();
                    if first.us < ends.0.us {
                        ends.0 = first;
                    }
                    if last.us > ends.1.us {
                        ends.1 = last;
                    }
                }
            }
        }
    }
}

impl Partial {
    /// One pass over the sources. Samples outside of the request make no rows, but take part in
    /// pairs.
    pub fn compute<E>(
        sources: Vec<Source<'_, E>>,
        request: RollupRequest,
        config: RollupConfig,
    ) -> Result<Self, PassError<E>> {
        let plan = Plan::new();
        let mut texts = Texts::new();
        let mut cursors = Vec::with_capacity(sources.len());
        for (number, source) in sources.into_iter().enumerate() {
            cursors.push(Cursor::open(number, source, &plan, &mut texts)?);
        }
        let (mut table, mut bucket) = (Table::new(&plan), OpenBucket::new(&plan));
        let mut hosts = BTreeMap::new();
        while let Some((host, runs)) = next_host(&mut cursors, &plan, &mut texts)? {
            let mut pass = HostPass::new(&plan, &texts, (&mut table, &mut bucket), request, config);
            for stretch in stretches(&runs, &texts, &plan) {
                pass.consume(&stretch);
            }
            let ends = pass.finish();
            let owned =
                |sample: Sample<u32>| sample.map(|text| texts.get(text).unwrap_or_default().to_owned());
            if let (Some(name), Some(first), Some(last)) = (texts.get(host), ends.first, ends.last) {
                let host = Host { rows: ends.rows, first: owned(first), last: owned(last) };
                hosts.insert(name.to_owned(), host);
            }
        }
        let unusable_rows = cursors.iter().map(|cursor| cursor.unusable_rows).sum();
        Ok(Self { plan, table, hosts, request, config, unusable_rows })
    }

    /// Silver rows that have no place because `host_id` or `as_of` is null.
    pub fn unusable_rows(&self) -> u64 {
        self.unusable_rows
    }

    /// Whether there is any row.
    pub fn is_empty(&self) -> bool {
        self.table.starts_us.is_empty()
    }

    /// The samples at the ends, host by host.
    pub fn ends(&self) -> Ends {
        let ends = |host: &Host| (host.first.clone(), host.last.clone());
        Ends { hosts: self.hosts.iter().map(|(name, host)| (name.clone(), ends(host))).collect() }
    }

    /// Adds the pairs of each host's last sample before the range and its first one here.
    pub fn join_before(&mut self, before: &Ends) {
        let Self { plan, table, hosts, config, .. } = self;
        for (name, host) in hosts.iter() {
            if let Some((_, last)) = before.hosts.get(name).filter(|(_, last)| last.us < host.first.us) {
                join(table, host.rows.clone(), host.rows.clone(), (last, &host.first), plan, *config);
            }
        }
    }

    /// Adds the pairs of each host's last sample here and its first one after the range.
    pub fn join_after(&mut self, after: &Ends) {
        let Self { plan, table, hosts, config, .. } = self;
        for (name, host) in hosts.iter() {
            if let Some((first, _)) = after.hosts.get(name).filter(|(first, _)| first.us > host.last.us) {
                // The later sample's own bucket is not one of this range.
                let no_rows = host.rows.end..host.rows.end;
                join(table, host.rows.clone(), no_rows, (&host.last, first), plan, *config);
            }
        }
    }

    /// The rows, sorted by host and bucket, with the columns of `HOST_METRICS_ROLLUP`.
    pub fn into_frame(self) -> Result<DataFrame, EngineError> {
        let hosts: Vec<(&str, Range<usize>)> =
            self.hosts.iter().map(|(name, host)| (name.as_str(), host.rows.clone())).collect();
        output::frame(self.table, &hosts, &self.plan, self.request, self.config)
    }
}
