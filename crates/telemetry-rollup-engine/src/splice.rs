//! Rollups of a part of a date in the place of earlier ones.

use polars::prelude::{DataFrame, IdxCa, IdxSize};
use telemetry_schema::host_metrics_rollup::names;

use crate::{EngineError, GRACE_US, RollupConfig};

/// The rows of `old` outside of `[from_us, to_us)` and all rows of `new`, sorted by host and bucket, as
/// both are.
pub fn splice(
    old: &DataFrame,
    new: &DataFrame,
    (from_us, to_us): (i64, i64),
) -> Result<DataFrame, EngineError> {
    let (old_keys, new_keys) = (Keys::read(old)?, Keys::read(new)?);
    let is_kept = |row: &usize| !(from_us..to_us).contains(&old_keys.starts_us[*row]);
    let mut kept = (0..old.height()).filter(is_kept).peekable();
    let mut added = (0..new.height()).peekable();
    let mut order: Vec<IdxSize> = Vec::with_capacity(old.height() + new.height());
    loop {
        let takes_old = match (kept.peek(), added.peek()) {
            (Some(old), Some(new)) => old_keys.get(*old) <= new_keys.get(*new),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let row = if takes_old { kept.next() } else { added.next().map(|row| row + old.height()) };
        order.extend(row.map(|row| row as IdxSize));
    }
    let both = old.vstack(new)?;
    Ok(both.take(&IdxCa::from_vec("".into(), order))?)
}

/// When the first bucket that is not final at that time becomes so; `None` if all are.
pub fn next_final_us(
    rows: &DataFrame,
    evaluated_at_us: i64,
    config: RollupConfig,
) -> Result<Option<i64>, EngineError> {
    let keys = Keys::read(rows)?;
    let final_at = keys.starts_us.iter().map(|start_us| start_us + config.bucket_us() + GRACE_US);
    Ok(final_at.filter(|final_at| *final_at > evaluated_at_us).min())
}

struct Keys<'a> {
    hosts: Vec<&'a str>,
    starts_us: Vec<i64>,
}

impl<'a> Keys<'a> {
    fn read(rows: &'a DataFrame) -> Result<Self, EngineError> {
        let hosts = rows.column(names::host_id)?.as_materialized_series().str()?;
        let starts = rows.column(names::bucket_start)?.as_materialized_series().datetime()?.physical();
        Ok(Self {
            hosts: hosts.iter().map(Option::unwrap_or_default).collect(),
            starts_us: starts.iter().map(Option::unwrap_or_default).collect(),
        })
    }

    fn get(&self, row: usize) -> (&'a str, i64) {
        (self.hosts[row], self.starts_us[row])
    }
}
