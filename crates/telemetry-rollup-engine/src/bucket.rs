//! What is collected of one bucket, and the formulas over it.

use std::ops::Range;

use crate::batch::{Batch, Data};
use crate::plan::{Gauge, Plan};

/// One host's bucket while its samples come in.
pub(crate) struct Bucket {
    pub(crate) start_us: i64,
    pub(crate) levels: Vec<Levels>,
    pub(crate) growth: Vec<Growth>,
    pub(crate) samples: i64,
    pub(crate) duplicates: i64,
    pub(crate) first_us: i64,
    pub(crate) last_us: i64,
    /// The longest schedule that a sample of the bucket says, in seconds.
    pub(crate) sample_interval_seconds: Option<i64>,
    pub(crate) boots: Vec<u32>,
    pub(crate) clock_known: i64,
    pub(crate) clock_unsynced: i64,
    pub(crate) throttle_known: i64,
    pub(crate) throttle_counts: Vec<i64>,
    pub(crate) throttle_sticky_new: u32,
    pub(crate) network_resets: i64,
}

/// Growth of a counter that belongs to the bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Growth {
    pub(crate) bytes: i64,
    pub(crate) covered_us: i64,
}

impl Bucket {
    pub(crate) fn new(start_us: i64, first_us: i64, plan: &Plan) -> Self {
        Self {
            start_us,
            levels: plan.gauges.iter().map(Levels::new).collect(),
            growth: vec![Growth::default(); plan.counters.len()],
            samples: 0,
            duplicates: 0,
            first_us,
            last_us: first_us,
            sample_interval_seconds: None,
            boots: Vec::new(),
            clock_known: 0,
            clock_unsynced: 0,
            throttle_known: 0,
            throttle_counts: vec![0; plan.throttle_masks.len()],
            throttle_sticky_new: 0,
            network_resets: 0,
        }
    }

    /// Takes in everything of these rows that does not depend on the rows before them.
    pub(crate) fn add(&mut self, batch: &Batch, rows: Range<usize>, plan: &Plan) {
        self.samples += rows.len() as i64;
        self.last_us = batch.ints(plan.as_of)[rows.end - 1];
        for (levels, gauge) in self.levels.iter_mut().zip(&plan.gauges) {
            levels.add(&batch.columns[gauge.column], rows.clone());
        }
        for boot in &batch.texts(plan.boot_id)[rows.clone()] {
            if *boot != crate::batch::NULL_TEXT && !self.boots.contains(boot) {
                self.boots.push(*boot);
            }
        }
        for row in rows {
            let interval = batch.columns[plan.sample_interval].int(row);
            self.sample_interval_seconds = self.sample_interval_seconds.max(interval);
            if let Some(synced) = batch.columns[plan.clock_synced].int(row) {
                self.clock_known += 1;
                self.clock_unsynced += i64::from(synced == 0);
            }
        }
    }

    pub(crate) fn add_throttle_word(&mut self, word: u32, plan: &Plan) {
        self.throttle_known += 1;
        for (count, mask) in self.throttle_counts.iter_mut().zip(&plan.throttle_masks) {
            *count += i64::from(word & mask != 0);
        }
    }
}

/// The levels of one gauge.
pub(crate) enum Levels {
    /// Of an integer column.
    Int { n: i64, sum: i128, min: i64, max: i64 },
    /// Of a double column; `hundredths` is the sum of `round(100 v)`.
    Float { n: i64, hundredths: i128, min: f64, max: f64, kept: Option<Vec<f64>> },
}

impl Levels {
    fn new(gauge: &Gauge) -> Self {
        if gauge.is_float {
            let kept = gauge.keeps_values.then(Vec::new);
            Levels::Float { n: 0, hundredths: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, kept }
        } else {
            Levels::Int { n: 0, sum: 0, min: i64::MAX, max: i64::MIN }
        }
    }

    fn add(&mut self, column: &Data, rows: Range<usize>) {
        match (self, column) {
            (Levels::Int { n, sum, min, max }, Data::Int { present, .. }) => {
                let values = &column.ints_slice()[rows.clone()];
                for_each_present(values, present.as_deref().map(|present| &present[rows]), |value: i64| {
                    *n += 1;
                    *sum += i128::from(value);
                    *min = value.min(*min);
                    *max = value.max(*max);
                });
            }
            (Levels::Float { n, hundredths, min, max, kept }, Data::Float { present, .. }) => {
                let values = &column.floats_slice()[rows.clone()];
                for_each_present(values, present.as_deref().map(|present| &present[rows]), |value: f64| {
                    *n += 1;
                    *hundredths += (value * 100.0).round() as i128;
                    *min = value.min(*min);
                    *max = value.max(*max);
                    if let Some(kept) = kept {
                        kept.push(value);
                    }
                });
            }
            _ => {}
        }
    }

    /// The mean as a quotient of integer sums.
    pub(crate) fn average(&self) -> Option<f64> {
        match self {
            Levels::Int { n, sum, .. } => (*n > 0).then(|| *sum as f64 / *n as f64),
            Levels::Float { n, hundredths, .. } => (*n > 0).then(|| *hundredths as f64 / (100.0 * *n as f64)),
        }
    }

    pub(crate) fn int_max(&self) -> Option<i64> {
        match self {
            Levels::Int { n, max, .. } => (*n > 0).then_some(*max),
            Levels::Float { .. } => None,
        }
    }

    pub(crate) fn int_min(&self) -> Option<i64> {
        match self {
            Levels::Int { n, min, .. } => (*n > 0).then_some(*min),
            Levels::Float { .. } => None,
        }
    }

    pub(crate) fn float_max(&self) -> Option<f64> {
        match self {
            Levels::Float { n, max, .. } => (*n > 0).then_some(*max),
            Levels::Int { .. } => None,
        }
    }

    pub(crate) fn float_min(&self) -> Option<f64> {
        match self {
            Levels::Float { n, min, .. } => (*n > 0).then_some(*min),
            Levels::Int { .. } => None,
        }
    }

    /// The 95th percentile; reorders the kept values.
    pub(crate) fn percentile_95(&mut self) -> Option<f64> {
        match self {
            Levels::Float { kept: Some(values), .. } => percentile_95(values),
            Levels::Float { .. } | Levels::Int { .. } => None,
        }
    }
}

fn for_each_present<T: Copy>(values: &[T], present: Option<&[bool]>, mut take: impl FnMut(T)) {
    match present {
        None => values.iter().for_each(|value| take(*value)),
        Some(present) => {
            values.iter().zip(present).filter(|(_, present)| **present).for_each(|(value, _)| take(*value));
        }
    }
}

/// Linear interpolation at rank `95 (n - 1) / 100`, the rank in integers so that every engine takes
/// the same two values with the same weight.
fn percentile_95(values: &mut [f64]) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let (low, weight) = (95 * last / 100, (95 * last % 100) as f64 / 100.0);
    let (_, at_low, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let at_low = *at_low;
    let at_high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(at_low);
    Some(weight * (at_high - at_low) + at_low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_takes_the_integer_rank() {
        let up_to = |n: u32| (1..=n).rev().map(f64::from).collect::<Vec<_>>();
        assert_eq!(percentile_95(&mut []), None);
        assert_eq!(percentile_95(&mut [7.5]), Some(7.5));
        assert_eq!(percentile_95(&mut up_to(30)), Some(0.55 * 1.0 + 28.0));
        assert_eq!(percentile_95(&mut up_to(20)), Some(0.05 * 1.0 + 19.0));
        assert_eq!(percentile_95(&mut up_to(101)), Some(96.0));
    }
}
