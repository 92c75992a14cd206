//! The formulas over levels: mean, extremes and percentile of one gauge in one bucket.

use std::ops::Range;

use telemetry_schema::Formula;

use crate::batch::Numbers;
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

    pub(crate) fn add(&mut self, column: Numbers<'_>, rows: Range<usize>) {
        for piece in column.present_pieces(rows) {
            self.add_present(column, piece);
        }
    }

    fn add_present(&mut self, column: Numbers<'_>, rows: Range<usize>) {
        match self {
            Levels::Int { needs, n, sum, min, max } => {
                let values = &column.ints[rows];
                *n += values.len() as i64;
                if needs.sum {
                    *sum += sum_of(values);
                }
                if needs.min {
                    *min = in_lanes(values, *min, |least, value| if value < least { value } else { least });
                }
                if needs.max {
                    *max = in_lanes(values, *max, |most, value| if value > most { value } else { most });
                }
            }
            Levels::Float { needs, n, hundredths, min, max, values: kept } => {
                let values = &column.floats[rows];
                *n += values.len() as i64;
                if needs.sum {
                    *hundredths += sum_of_hundredths(values);
                }
                if needs.min {
                    *min = in_lanes(values, *min, |least, value| if value < least { value } else { least });
                }
                if needs.max {
                    *max = in_lanes(values, *max, |most, value| if value > most { value } else { most });
                }
                if needs.values {
                    kept.extend_from_slice(values);
                }
            }
        }
    }

    /// What a formula with an integer result makes of them.
    pub(crate) fn int(&self, formula: Formula) -> Option<i64> {
        let Levels::Int { n, min, max, .. } = self else { return None };
        let value = match formula {
            Formula::Max(_) => *max,
            Formula::Min(_) => *min,
            _ => return None,
        };
        (*n > 0).then_some(value)
    }

    /// What any other formula makes of them; a percentile reorders the kept values.
    pub(crate) fn float(&mut self, formula: Formula) -> Option<f64> {
        match (formula, self) {
            // The mean as a quotient of integer sums.
            (Formula::Average(_), Levels::Int { n, sum, .. }) => (*n > 0).then(|| nearest(*sum) / *n as f64),
            (Formula::Average(_), Levels::Float { n, hundredths, .. }) => {
                (*n > 0).then(|| nearest(*hundredths) / (100.0 * *n as f64))
            }
            (Formula::Max(_), Levels::Float { n, max, .. }) => (*n > 0).then_some(*max),
            (Formula::Min(_), Levels::Float { n, min, .. }) => (*n > 0).then_some(*min),
            (Formula::Percentile95(_), Levels::Float { values, .. }) => percentile_95(values),
            _ => None,
        }
    }
}

/// The nearest double; nearly every sum fits 64 bits, for which there is an instruction.
fn nearest(sum: i128) -> f64 {
    i64::try_from(sum).map_or_else(|_| sum as f64, |sum| sum as f64)
}

/// A fold whose order does not matter, four at a time, so that no step waits for the one before.
fn in_lanes<T: Copy>(values: &[T], start: T, step: impl Fn(T, T) -> T) -> T {
    let (fours, rest) = values.as_chunks::<4>();
    let mut lanes = [start; 4];
    for four in fours {
        for (lane, value) in lanes.iter_mut().zip(four) {
            *lane = step(*lane, *value);
        }
    }
    rest.iter().chain(&lanes).fold(start, |kept, value| step(kept, *value))
}

/// As many values of 42 bits, or of ten billion hundredths, as add up exactly in 64 bits or a double.
const EXACT_VALUES: usize = 1 << 16;

fn sum_of(values: &[i64]) -> i128 {
    let sum_of_part = |part: &[i64]| {
        let bits = part.iter().fold(0, |bits, value| bits | (value ^ (value >> 63)));
        if bits < 1 << 42 {
            i128::from(part.iter().sum::<i64>())
        } else {
            part.iter().map(|value| i128::from(*value)).sum()
        }
    };
    values.chunks(EXACT_VALUES).map(sum_of_part).sum()
}

/// The sum of `round(100 v)`, half away from zero.
fn sum_of_hundredths(values: &[f64]) -> i128 {
    let sum_of_part = |part: &[f64]| {
        let (sum, largest) = small_hundredths(part);
        if largest < 1e8 {
            sum as i128
        } else {
            part.iter().map(|value| i128::from(in_hundredths(*value))).sum()
        }
    };
    values.chunks(EXACT_VALUES).map(sum_of_part).sum()
}

/// The sum of `round(100 v)`, right if no value is large, and the largest absolute value: in one walk,
/// since a bucket's values are few and a large one is rare.
fn small_hundredths(values: &[f64]) -> (f64, f64) {
    let (fours, rest) = values.as_chunks::<4>();
    let (mut sums, mut largest) = ([0.0; 4], [0.0; 4]);
    let mut add = |values: &[f64]| {
        for ((sum, largest), value) in sums.iter_mut().zip(&mut largest).zip(values) {
            *sum += small_in_hundredths(*value);
            *largest = if value.abs() > *largest { value.abs() } else { *largest };
        }
    };
    fours.iter().for_each(|four| add(four));
    add(rest);
    (sums.iter().sum(), largest.into_iter().fold(0.0, f64::max))
}

/// `round(100 v)`, half away from zero, as a whole double, for values that are far from 2^51.
fn small_in_hundredths(value: f64) -> f64 {
    /// Doubles from here on are the whole numbers, so adding it rounds, half to even.
    const WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;
    let scaled = value * 100.0;
    let even = (scaled + WHOLE) - WHOLE;
    let is_half_towards_zero = scaled - even == 0.5_f64.copysign(scaled);
    even + if is_half_towards_zero { 1.0_f64.copysign(scaled) } else { 0.0 }
}

/// `round(100 v)`, half away from zero.
fn in_hundredths(value: f64) -> i64 {
    (value * 100.0).round() as i64
}

/// Linear interpolation at rank `95 (n - 1) / 100`, the rank in integers so that every engine takes
/// the same two values with the same weight.
fn percentile_95(values: &mut [f64]) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let (low, weight) = (95 * last / 100, (95 * last % 100) as f64 / 100.0);
    let (at_low, at_high) = two_at(values, low);
    Some(weight * (at_high - at_low) + at_low)
}

/// The values at a rank and at the next one; the largest has no next and counts twice.
fn two_at(values: &mut [f64], low: usize) -> (f64, f64) {
    // Few are above: with a sample each ten seconds, two of thirty.
    match values.len() - 1 - low {
        0 => return nth_largest::<1>(values),
        1 => return nth_largest::<2>(values),
        2 => return nth_largest::<3>(values),
        3 => return nth_largest::<4>(values),
        _ => {}
    }
    let (_, at_low, above) = values.select_nth_unstable_by(low, f64::total_cmp);
    let at_low = *at_low;
    (at_low, above.iter().copied().min_by(f64::total_cmp).unwrap_or(at_low))
}

/// The `N`th largest value and the next larger one; the largest is its own.
fn nth_largest<const N: usize>(values: &[f64]) -> (f64, f64) {
    let mut most = [f64::NEG_INFINITY; N];
    for value in values {
        let mut value = *value;
        for kept in &mut most {
            let is_larger = value > *kept;
            (*kept, value) = if is_larger { (value, *kept) } else { (*kept, value) };
        }
    }
    (most[N - 1], most[N.saturating_sub(2)])
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

    fn hundredths() -> impl Strategy<Value = f64> {
        prop_oneof![
            -1e3..1e3f64,
            -1e14..1e14f64,
            (-1_000_000i64..1_000_000).prop_map(|steps| steps as f64 / 200.0),
        ]
    }

    proptest! {
        #[test]
        fn hundredths_are_rounded_half_away_from_zero(values in proptest::collection::vec(hundredths(), 0..40)) {
            let expected: i128 = values.iter().map(|value| (value * 100.0).round() as i128).sum();
            prop_assert_eq!(sum_of_hundredths(&values), expected);
        }

        #[test]
        fn small_hundredths_are_rounded_half_away_from_zero(steps in -1_000_000i64..1_000_000, bits in -2i32..3) {
            let half = steps as f64 / 200.0;
            let near = f64::from_bits(half.to_bits().saturating_add_signed(bits.into()));
            prop_assert_eq!(small_in_hundredths(near), (near * 100.0).round());
        }

        #[test]
        fn integers_add_up(values in proptest::collection::vec(prop_oneof![-1_000_000..1_000_000i64, any::<i64>()], 0..40)) {
            prop_assert_eq!(sum_of(&values), values.iter().map(|value| i128::from(*value)).sum::<i128>());
        }

        #[test]
        fn percentiles_are_those_of_the_sorted_values(values in proptest::collection::vec(-9.0..9.0f64, 1..200)) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            for low in 0..values.len() {
                let next = sorted[(low + 1).min(values.len() - 1)];
                prop_assert_eq!(two_at(&mut values.clone(), low), (sorted[low], next));
            }
        }
    }
}
