//! Brings the rows of a host into time order, each instant once, touching as little as possible.
//!
//! A *run* is a piece of a batch in which one host's rows lie in time order, as collectors and
//! compaction write them. Runs of a host that do not overlap simply follow each other; only runs
//! that overlap, or that hold an instant twice, are gathered row by row and sorted.

use std::cmp::Ordering;
use std::ops::Range;

use crate::batch::{Batch, Batches, Data, NULL_TEXT, Texts};
use crate::plan::Plan;

/// The runs of one host, in the order of their first instant.
pub(crate) struct HostRuns {
    /// The host, as a position in the texts.
    pub(crate) host: u32,
    runs: Vec<Run>,
}

#[derive(Debug, Clone)]
struct Run {
    host: u32,
    batch: usize,
    rows: Range<usize>,
    first_us: i64,
    last_us: i64,
    has_duplicates: bool,
}

/// Rows of one host in time order, each instant once.
pub(crate) struct Stretch<'a> {
    batch: Held<'a>,
    /// The rows of the batch that belong to the stretch.
    pub(crate) rows: Range<usize>,
    /// The instants of rows that de-duplication dropped.
    pub(crate) dropped_us: Vec<i64>,
}

enum Held<'a> {
    Shared(&'a Batch),
    Gathered(Box<Batch>),
}

impl Stretch<'_> {
    pub(crate) fn batch(&self) -> &Batch {
        match &self.batch {
            Held::Shared(batch) => batch,
            Held::Gathered(batch) => batch,
        }
    }
}

/// The runs of all hosts, hosts in byte order.
pub(crate) fn runs_by_host(batches: &Batches, plan: &Plan) -> Vec<HostRuns> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, batch) in batches.batches.iter().enumerate() {
        find_runs(batch, at, plan, &mut runs);
    }
    runs.sort_by(|a, b| {
        let host = |run: &Run| batches.texts.get(run.host);
        host(a).cmp(&host(b)).then(a.first_us.cmp(&b.first_us)).then(a.batch.cmp(&b.batch))
    });
    let mut hosts: Vec<HostRuns> = Vec::new();
    for run in runs {
        match hosts.last_mut() {
            Some(host) if host.host == run.host => host.runs.push(run),
            _ => hosts.push(HostRuns { host: run.host, runs: vec![run] }),
        }
    }
    hosts
}

fn find_runs(batch: &Batch, at: usize, plan: &Plan, runs: &mut Vec<Run>) {
    let hosts = batch.texts(plan.host_id);
    let times = batch.ints(plan.as_of);
    let time_present = batch.columns[plan.as_of].present();
    let mut open: Option<Run> = None;
    for row in 0..batch.rows {
        let (host, us) = (hosts[row], times[row]);
        if host == NULL_TEXT || time_present.is_some_and(|present| !present[row]) {
            runs.extend(open.take());
            continue;
        }
        match &mut open {
            Some(run) if run.host == host && us >= run.last_us => {
                run.has_duplicates |= us == run.last_us;
                run.last_us = us;
                run.rows.end = row + 1;
            }
            _ => {
                let run = Run {
                    host,
                    batch: at,
                    rows: row..row + 1,
                    first_us: us,
                    last_us: us,
                    has_duplicates: false,
                };
                runs.extend(open.replace(run));
            }
        }
    }
    runs.extend(open);
}

impl HostRuns {
    /// The host's rows in time order.
    pub(crate) fn stretches<'a>(
        &'a self,
        batches: &'a Batches,
        plan: &'a Plan,
    ) -> impl Iterator<Item = Stretch<'a>> + 'a {
        let mut runs = self.runs.as_slice();
        std::iter::from_fn(move || {
            let first = runs.first()?;
            let mut last_us = first.last_us;
            let overlapping = 1 + runs[1..]
                .iter()
                .take_while(|run| {
                    let overlaps = run.first_us <= last_us;
                    last_us = last_us.max(run.last_us);
                    overlaps
                })
                .count();
            let (cluster, rest) = runs.split_at(overlapping);
            runs = rest;
            Some(stretch(cluster, batches, plan))
        })
    }
}

fn stretch<'a>(cluster: &[Run], batches: &'a Batches, plan: &Plan) -> Stretch<'a> {
    if let [run] = cluster
        && !run.has_duplicates
    {
        let batch = Held::Shared(&batches.batches[run.batch]);
        return Stretch { batch, rows: run.rows.clone(), dropped_us: Vec::new() };
    }
    let mut rows: Vec<(i64, usize, usize)> = cluster
        .iter()
        .flat_map(|run| {
            let times = batches.batches[run.batch].ints(plan.as_of);
            run.rows.clone().map(move |row| (times[row], run.batch, row))
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| preference(batches, plan, (a.1, a.2), (b.1, b.2))));
    let mut kept: Vec<(usize, usize)> = Vec::with_capacity(rows.len());
    let mut dropped_us = Vec::new();
    let mut last = None;
    for (us, batch, row) in rows {
        if last == Some(us) {
            dropped_us.push(us);
        } else {
            kept.push((batch, row));
            last = Some(us);
        }
    }
    let gathered = Batch::gather(&batches.batches, &kept);
    Stretch { rows: 0..gathered.rows, batch: Held::Gathered(Box::new(gathered)), dropped_us }
}

/// Which of two rows with one key is kept: the one that comes first by every column that Gold reads,
/// descending, nulls last. A total order, so that every engine keeps the same row.
fn preference(batches: &Batches, plan: &Plan, a: (usize, usize), b: (usize, usize)) -> Ordering {
    plan.deduplication
        .iter()
        .map(|column| {
            let cell = |(batch, row): (usize, usize)| (&batches.batches[batch].columns[*column], row);
            descending(&batches.texts, cell(a), cell(b))
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn descending(texts: &Texts, (a, row_a): (&Data, usize), (b, row_b): (&Data, usize)) -> Ordering {
    match (a, b) {
        (Data::Int { .. }, Data::Int { .. }) => b.int(row_b).cmp(&a.int(row_a)),
        (Data::Float { .. }, Data::Float { .. }) => match (a.float(row_a), b.float(row_b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        },
        (Data::Text(a), Data::Text(b)) => texts.get(b[row_b]).cmp(&texts.get(a[row_a])),
        _ => Ordering::Equal,
    }
}
