//! Rates from counters: which stretch of time a pair of samples speaks for, and how its growth is
//! divided among buckets.

use telemetry_schema::MICROS_PER_SECOND;

use crate::RollupConfig;
use crate::batch::{Batch, NULL_TEXT};
use crate::plan::{Counter, MOST_COUNTERS, Plan};

/// Wall clock and time since boot may disagree by this much between two samples; beyond it the wall
/// clock was stepped.
pub(crate) const CLOCK_TOLERANCE_SECONDS: f64 = 2.0;

/// What the pairwise formulas look at in one sample. Texts are positions within a pass, and owned
/// texts where samples of different passes meet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample<T> {
    pub(crate) us: i64,
    pub(crate) boot: Option<T>,
    pub(crate) uptime_seconds: Option<f64>,
    pub(crate) interfaces: Option<T>,
    pub(crate) counters: [Option<i64>; MOST_COUNTERS],
    pub(crate) sample_interval_seconds: Option<i64>,
    pub(crate) throttle_word: Option<u32>,
}

/// How the boots of two consecutive samples relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boots {
    Same,
    Other,
}

/// The stretch of time `[start_us, end_us)` in which counters grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
}

/// The part of a span that falls into one bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    /// The start of the bucket.
    pub(crate) bucket_us: i64,
    pub(crate) covered_us: i64,
    /// The part of the span that is over by its end; `None` if all of it is.
    until: Option<f64>,
}

/// What a pair of samples says of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It grew by `bytes`. The span is the same for all counters of a pair.
    Growth { span: Span, bytes: i64 },
    /// The counter fell within one boot.
    Reset,
    /// Nothing.
    Unknown,
}

impl Sample<u32> {
    pub(crate) fn read(batch: &Batch, row: usize, plan: &Plan, throttle_word: Option<u32>) -> Self {
        let text = |column: usize| Some(batch.texts(column)[row]).filter(|text| *text != NULL_TEXT);
        let mut counters = [None; MOST_COUNTERS];
        for (value, counter) in counters.iter_mut().zip(&plan.counters) {
            *value = batch.columns[counter.column].int(row);
        }
        Self {
            us: batch.ints(plan.as_of)[row],
            boot: text(plan.boot_id),
            uptime_seconds: batch.columns[plan.uptime].float(row),
            interfaces: text(plan.interfaces),
            counters,
            sample_interval_seconds: batch.columns[plan.sample_interval].int(row),
            throttle_word,
        }
    }
}

impl<T: PartialEq> Sample<T> {
    /// The same sample with its texts in another form.
    pub(crate) fn map<U>(self, text: impl Fn(T) -> U) -> Sample<U> {
        Sample {
            us: self.us,
            boot: self.boot.map(&text),
            uptime_seconds: self.uptime_seconds,
            interfaces: self.interfaces.map(&text),
            counters: self.counters,
            sample_interval_seconds: self.sample_interval_seconds,
            throttle_word: self.throttle_word,
        }
    }

    /// By boot identifier; without one on either side, a new boot shows in an uptime that fell.
    pub(crate) fn boots(&self, previous: &Self) -> Boots {
        let same = match (&previous.boot, &self.boot) {
            (Some(before), Some(now)) => before == now,
            _ => match (previous.uptime_seconds, self.uptime_seconds) {
                (Some(before), Some(now)) => now >= before,
                _ => true,
            },
        };
        if same { Boots::Same } else { Boots::Other }
    }

    pub(crate) fn evidence(
        &self,
        previous: &Self,
        slot: usize,
        counter: &Counter,
        config: RollupConfig,
    ) -> Evidence {
        let Some(now) = self.counters[slot] else { return Evidence::Unknown };
        if counter.is_network && self.interfaces != previous.interfaces {
            return Evidence::Unknown;
        }
        let span = match self.boots(previous) {
            Boots::Same => {
                let Some(before) = previous.counters[slot] else { return Evidence::Unknown };
                if !self.clock_agrees(previous) {
                    return Evidence::Unknown;
                }
                if now < before {
                    return Evidence::Reset;
                }
                now.checked_sub(before).map(|bytes| (previous.us, bytes))
            }
            Boots::Other => {
                self.boot_instant_us().filter(|boot| *boot >= previous.us).map(|boot| (boot, now))
            }
        };
        let longest = config.max_gap_us(self.sample_interval_seconds);
        match span {
            Some((start_us, bytes)) if bytes >= 0 && start_us < self.us && self.us - start_us <= longest => {
                Evidence::Growth { span: Span { start_us, end_us: self.us }, bytes }
            }
            _ => Evidence::Unknown,
        }
    }

    fn clock_agrees(&self, previous: &Self) -> bool {
        match (previous.uptime_seconds, self.uptime_seconds) {
            (Some(before), Some(now)) => clock_agrees(self.us - previous.us, now - before),
            _ => true,
        }
    }

    fn boot_instant_us(&self) -> Option<i64> {
        let uptime_us = (self.uptime_seconds? * MICROS_PER_SECOND as f64).round();
        self.us.checked_sub(uptime_us as i64)
    }
}

/// Whether the wall clock moved as far as the time since boot.
pub(crate) fn clock_agrees(wall_us: i64, uptime_seconds: f64) -> bool {
    (wall_us as f64 / MICROS_PER_SECOND as f64 - uptime_seconds).abs() <= CLOCK_TOLERANCE_SECONDS
}

/// The same of each pair of consecutive samples, in time order.
pub(crate) fn clocks_agree(us: &[i64], uptimes: &[f64]) -> bool {
    /// More than what rounding changes.
    const MARGIN_SECONDS: f64 = 1e-3;
    // Where the clocks have hardly moved apart, no pair of samples has to be looked at for itself.
    clock_drift(us, uptimes).is_some_and(|drift| 2.0 * drift < CLOCK_TOLERANCE_SECONDS - MARGIN_SECONDS)
        || us.windows(2).zip(uptimes.windows(2)).all(|(us, up)| clock_agrees(us[1] - us[0], up[1] - up[0]))
}

/// How far, in seconds, wall clock and time since boot are from where they were to each other in the
/// first of some samples in time order; `None` if that is a century ago.
fn clock_drift(us: &[i64], uptimes: &[f64]) -> Option<f64> {
    /// From here on each double is one more than the one before, and so are their bits: an integer
    /// becomes a double without the instruction that takes one at a time.
    const WHOLE: f64 = (1_u64 << 52) as f64;
    let ((first, last), first_up) = (us.first().zip(us.last())?, uptimes.first()?);
    last.checked_sub(*first).filter(|length| (0..1 << 52).contains(length))?;
    let drift = |(us, up): (&i64, &f64)| {
        let us = f64::from_bits(WHOLE.to_bits() + (us - first) as u64) - WHOLE;
        (us * (1.0 / MICROS_PER_SECOND as f64) - (up - first_up)).abs()
    };
    let mut most = [0.0; 4];
    let mut add = |us: &[i64], uptimes: &[f64]| {
        for (most, sample) in most.iter_mut().zip(us.iter().zip(uptimes)) {
            let drift = drift(sample);
            *most = if drift > *most { drift } else { *most };
        }
    };
    let ((us, us_rest), (uptimes, uptimes_rest)) = (us.as_chunks::<4>(), uptimes.as_chunks::<4>());
    us.iter().zip(uptimes).for_each(|(us, uptimes)| add(us, uptimes));
    add(us_rest, uptimes_rest);
    Some(most.into_iter().fold(0.0, f64::max))
}

impl Span {
    /// The buckets that it falls into, in order.
    pub(crate) fn shares(self, bucket_us: i64) -> impl Iterator<Item = Share> {
        let Span { start_us, end_us } = self;
        let (length, mut at) = ((end_us - start_us) as f64, start_us);
        std::iter::from_fn(move || {
            let bucket = bucket_start(at, bucket_us);
            let stop = (bucket + bucket_us).min(end_us);
            let until = (stop < end_us).then(|| (stop - start_us) as f64 / length);
            let share = Share { bucket_us: bucket, covered_us: stop - at, until };
            at = stop;
            (share.covered_us > 0).then_some(share)
        })
    }
}

impl Share {
    /// How many of the stretch's bytes have grown by the end of this share. Every byte goes to one bucket.
    pub(crate) fn cumulated(&self, bytes: i64) -> i64 {
        self.until.map_or(bytes, |until| (bytes as f64 * until).floor() as i64)
    }
}

/// The start of the bucket that holds the instant.
pub(crate) fn bucket_start(us: i64, bucket_us: i64) -> i64 {
    us - us.rem_euclid(bucket_us)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn clocks_agree_as_each_pair_does(
            first_us in prop_oneof![Just(0), 0..2_000_000_000_000_000_i64, Just(i64::MAX - 1_000_000_000_000)],
            steps in proptest::collection::vec(
                (0..20_000_000_i64, prop_oneof![-0.6..0.6f64, -2.5..2.5f64, Just(2.0), Just(0.0)]),
                0..30,
            ),
        ) {
            let (mut us, mut uptimes) = (vec![first_us], vec![1e6]);
            for (wall_us, drift) in steps {
                us.push(us[us.len() - 1] + wall_us);
                uptimes.push(uptimes[uptimes.len() - 1] + wall_us as f64 / 1e6 + drift);
            }
            let pairs = us.windows(2).zip(uptimes.windows(2));
            let expected = pairs.map(|(us, up)| clock_agrees(us[1] - us[0], up[1] - up[0]));
            prop_assert_eq!(clocks_agree(&us, &uptimes), expected.fold(true, |all, agrees| all & agrees));
        }
    }

    #[test]
    fn clocks_that_stay_together_need_no_pairs() {
        let us: Vec<i64> = (0..9).map(|sample| 1_700_000_000_000_000 + 10_000_000 * sample).collect();
        let uptimes: Vec<f64> = (0..9).map(|sample| 100.5 + f64::from(10 * sample)).collect();
        assert!(clock_drift(&us, &uptimes).is_some_and(|drift| drift < 1e-6));
        for late in 0..9 {
            let mut stepped = uptimes.clone();
            stepped[late..].iter_mut().for_each(|uptime| *uptime += 5.0);
            assert_eq!(clocks_agree(&us, &stepped), late == 0, "a step before sample {late}");
        }
        assert!(clocks_agree(&[], &[]));
    }
}
