//! Brings the rows of a host into time order, each instant once, touching as little as possible.
//!
//! Runs of a host that do not overlap simply follow each other; only runs that overlap, or that hold
//! an instant twice, are gathered row by row and sorted.

use std::cmp::Ordering;
use std::ops::Range;
use std::rc::Rc;

use crate::PassError;
use crate::batch::{Batch, Data, Texts};
use crate::plan::Plan;
use crate::source::{Cursor, Run};

/// Rows of one host in time order, each instant once.
pub(crate) struct Stretch {
    pub(crate) batch: Rc<Batch>,
    /// The rows of the batch that belong to the stretch.
    pub(crate) rows: Range<usize>,
    /// The instants of rows that de-duplication dropped.
    pub(crate) dropped_us: Vec<i64>,
}

/// The host that comes next in any of the sources, and all its runs, by their first instant.
pub(crate) fn next_host<E>(
    cursors: &mut [Cursor<'_, E>],
    plan: &Plan,
    texts: &mut Texts,
) -> Result<Option<(u32, Vec<Run>)>, PassError<E>> {
    let mut next: Option<u32> = None;
    let mut at_next: Vec<usize> = Vec::new();
    for (at, cursor) in cursors.iter_mut().enumerate() {
        let Some(host) = cursor.host(plan, texts)? else { continue };
        let order = next.map_or(Ordering::Less, |next| texts.get(host).cmp(&texts.get(next)));
        if order.is_lt() {
            next = Some(host);
            at_next.clear();
        }
        if order.is_le() {
            at_next.push(at);
        }
    }
    let Some(host) = next else { return Ok(None) };
    let mut runs = Vec::new();
    for at in at_next {
        cursors[at].take(host, &mut runs, plan, texts)?;
    }
    runs.sort_by_key(|run| (run.first_us, run.last_us));
    Ok(Some((host, runs)))
}

/// A host's runs as stretches in time order.
pub(crate) fn stretches<'a>(
    runs: &'a [Run],
    texts: &'a Texts,
    plan: &'a Plan,
) -> impl Iterator<Item = Stretch> + 'a {
    let mut runs = runs;
    std::iter::from_fn(move || {
        let first = runs.first()?;
        let mut last_us = first.last_us;
        let mut overlapping = 1;
        while let Some(run) = runs.get(overlapping).filter(|run| run.first_us <= last_us) {
            last_us = last_us.max(run.last_us);
            overlapping += 1;
        }
        let (cluster, rest) = runs.split_at(overlapping);
        runs = rest;
        Some(stretch(cluster, texts, plan))
    })
}

fn stretch(cluster: &[Run], texts: &Texts, plan: &Plan) -> Stretch {
    if let [run] = cluster
        && !run.has_duplicates
    {
        return Stretch { batch: Rc::clone(&run.batch), rows: run.rows.clone(), dropped_us: Vec::new() };
    }
    let batches: Vec<&Batch> = cluster.iter().map(|run| &*run.batch).collect();
    let mut rows: Vec<(i64, usize, usize)> = Vec::new();
    for (at, run) in cluster.iter().enumerate() {
        let times = run.batch.ints(plan.as_of);
        rows.extend(run.rows.clone().map(|row| (times[row], at, row)));
    }
    rows.sort_by(|a, b| {
        a.0.cmp(&b.0).then_with(|| preference(&batches, texts, plan, (a.1, a.2), (b.1, b.2)))
    });
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
    let gathered = Batch::gather(&batches, &kept);
    Stretch { rows: 0..gathered.rows, batch: Rc::new(gathered), dropped_us }
}

/// Which of two rows with one key is kept: the one that comes first by every column that Gold reads,
/// descending, nulls last. A total order, so that every engine keeps the same row.
fn preference(
    batches: &[&Batch],
    texts: &Texts,
    plan: &Plan,
    a: (usize, usize),
    b: (usize, usize),
) -> Ordering {
    plan.deduplication
        .iter()
        .map(|column| {
            let cell = |(batch, row): (usize, usize)| (&*batches[batch].columns[*column], row);
            descending(texts, cell(a), cell(b))
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
