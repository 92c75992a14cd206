//! The formulas over levels: mean, extremes and percentile of one gauge in one bucket.

use std::ops::Range;

use crate::batch::Data;
use crate::plan::{Gauge, Needs};

/// The levels of one gauge in the open bucket.
pub(crate) enum Levels {
    /// Of an integer column.
    Int { needs: Needs, n: i64, sum: i128, min: i64, max: i64 },
    /// Of a double column; `hundredths` is the sum of `round(100 v)`.
    Float { needs: Needs, n: i64, hundredths: i128, min: f64, max: f64, values: Vec<f64> },
}

impl Levels {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        let needs = gauge.needs;
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        if gauge.is_float {
            Levels::Float { needs, n: 0, hundredths: 0, min, max, values: Vec::new() }
        } else {
            Levels::Int { needs, n: 0, sum: 0, min: i64::MAX, max: i64::MIN }
        }
    }

    /// Begins the next bucket.
    pub(crate) fn clear(&mut self) {
        match self {
            Levels::Int { n, sum, min, max, .. } => (*n, *sum, *min, *max) = (0, 0, i64::MAX, i64::MIN),
            Levels::Float { n, hundredths, min, max, values, .. } => {
                (*n, *hundredths, *min, *max) = (0, 0, f64::INFINITY, f64::NEG_INFINITY);
                values.clear();
            }
        }
    }

    pub(crate) fn add(&mut self, column: &Data, rows: Range<usize>) {
        match column.present() {
            None => self.add_present(column, rows),
            // Pieces of consecutive values, so that absent ones cost nothing but their test.
            Some(present) => {
                let mut at = rows.start;
                while at < rows.end {
                    let is_present = present[at];
                    let end = at + present[at..rows.end].iter().take_while(|p| **p == is_present).count();
                    if is_present {
                        self.add_present(column, at..end);
                    }
                    at = end;
                }
            }
        }
    }

    fn add_present(&mut self, column: &Data, rows: Range<usize>) {
        match self {
            Levels::Int { needs, n, sum, min, max } => {
                let values = &column.ints_slice()[rows];
                *n += values.len() as i64;
                if needs.sum {
                    *sum += values.iter().map(|value| i128::from(*value)).sum::<i128>();
                }
                if needs.min {
                    *min = values.iter().copied().fold(*min, i64::min);
                }
                if needs.max {
                    *max = values.iter().copied().fold(*max, i64::max);
                }
            }
            Levels::Float { needs, n, hundredths, min, max, values: kept } => {
                let values = &column.floats_slice()[rows];
                *n += values.len() as i64;
                if needs.sum {
                    *hundredths += values.iter().map(|value| i128::from(in_hundredths(*value))).sum::<i128>();
                }
                if needs.min {
                    *min = values.iter().copied().fold(*min, f64::min);
                }
                if needs.max {
                    *max = values.iter().copied().fold(*max, f64::max);
                }
                if needs.values {
                    kept.extend_from_slice(values);
                }
            }
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
            Levels::Float { values, .. } => percentile_95(values),
            Levels::Int { .. } => None,
        }
    }
}

/// `round(100 v)`, half away from zero, without the call that `f64::round` is on older processors.
fn in_hundredths(value: f64) -> i64 {
    let scaled = value * 100.0;
    let whole = scaled as i64;
    let rest = scaled - whole as f64;
    if rest >= 0.5 {
        whole.saturating_add(1)
    } else if rest <= -0.5 {
        whole.saturating_sub(1)
    } else {
        whole
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
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn hundredths_are_rounded_half_away_from_zero(value in -1e9..1e9f64, steps in -1_000_000i64..1_000_000) {
            prop_assert_eq!(in_hundredths(value), (value * 100.0).round() as i64);
            let half = steps as f64 / 200.0;
            prop_assert_eq!(in_hundredths(half), (half * 100.0).round() as i64);
        }
    }
}
