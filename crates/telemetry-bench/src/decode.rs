//! What the rollup cannot do without: its columns out of Parquet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use telemetry_repository::{Lake, Selection};
use telemetry_schema::host_metrics_rollup::silver_columns;

/// Reads exactly the columns that Gold is made from, a row group at a time; returns the number of rows.
pub(crate) fn decode(lake: &Lake, threads: u32) -> Result<usize> {
    let silver = lake.host_metrics();
    let files = silver.store().files(&Selection::all())?;
    let (columns, next) = (silver_columns(), AtomicUsize::new(0));
    let read = || -> Result<usize> {
        let (mut rows, mut kept) = (0, VecDeque::new());
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            for group in silver.store().read_row_groups(file, &columns)? {
                let group = group?;
                rows += group.height();
                kept.push_back(group);
                // Some memory stays in use, as in any program that does something with the rows: else
                // most of the time goes into giving it back and asking for it again.
                if kept.len() > 2 {
                    kept.pop_front();
                }
            }
        }
        Ok(rows)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        readers.into_iter().map(|reader| reader.join().ok().context("a reader panicked")?).sum()
    })
}
