//! Rollup rows while they grow, as columns.
//!
//! A row is opened with its bucket and filled when the bucket closes; only what later samples can
//! still change stays open until the end: growth of counters, resets, sticky bits, duplicates.

use std::ops::Range;

use polars::prelude::{ChunkedArray, PolarsNumericType};
use telemetry_schema::Formula;

use crate::RollupConfig;
use crate::levels::Levels;
use crate::plan::{MOST_COUNTERS, Plan, PlannedOutput};

/// Growth of a counter that belongs to one bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Growth {
    pub(crate) bytes: i64,
    pub(crate) covered_us: i64,
}

/// The rows of a pass, hosts one after the other, each host's in time order.
pub(crate) struct Table {
    pub(crate) starts_us: Vec<i64>,
    pub(crate) growth: Vec<[Growth; MOST_COUNTERS]>,
    pub(crate) network_resets: Vec<i64>,
    pub(crate) sticky_new: Vec<u32>,
    pub(crate) duplicates: Vec<i64>,
    /// Samples whose throttle word is known.
    pub(crate) throttle_known: Vec<i64>,
    /// What was known when the bucket closed, one a Gold column; empty for the columns above.
    pub(crate) closed: Vec<Cells>,
}

/// Cells of one column that are known when a bucket closes.
pub(crate) enum Cells {
    Int(Values<i64>),
    Float(Values<f64>),
    /// Made at the end.
    Late,
}

/// Values of which some may be absent, as the column that they become.
#[derive(Default)]
pub(crate) struct Values<T> {
    values: Vec<T>,
    /// Only there if something is absent.
    present: Option<Vec<bool>>,
}

impl<T: Copy + Default> Values<T> {
    #[inline]
    fn push(&mut self, value: Option<T>) {
        if value.is_none() && self.present.is_none() {
            self.present = Some(vec![true; self.values.len()]);
        }
        self.values.push(value.unwrap_or_default());
        if let Some(present) = &mut self.present {
            present.push(value.is_some());
        }
    }

    pub(crate) fn into_column<P: PolarsNumericType<Native = T>>(self, name: &str) -> ChunkedArray<P> {
        let present = self.present.map(|present| present.into_iter().collect());
        ChunkedArray::from_vec_validity(name.into(), self.values, present)
    }
}

impl<T: Copy + Default> FromIterator<Option<T>> for Values<T> {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(cells: I) -> Self {
        let cells = cells.into_iter();
        let mut values = Self { values: Vec::with_capacity(cells.size_hint().0), present: None };
        cells.for_each(|cell| values.push(cell));
        values
    }
}

/// The bucket that takes samples now.
pub(crate) struct OpenBucket {
    pub(crate) start_us: i64,
    pub(crate) levels: Vec<Levels>,
    pub(crate) samples: i64,
    pub(crate) first_us: i64,
    pub(crate) last_us: i64,
    /// The longest schedule that a sample of the bucket says, in seconds.
    pub(crate) sample_interval_seconds: Option<i64>,
    pub(crate) boots: Vec<u32>,
    pub(crate) clock_known: i64,
    pub(crate) clock_unsynced: i64,
    pub(crate) throttle_counts: Vec<i64>,
}

impl Table {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            starts_us: Vec::new(),
            growth: Vec::new(),
            network_resets: Vec::new(),
            sticky_new: Vec::new(),
            duplicates: Vec::new(),
            throttle_known: Vec::new(),
            closed: plan.outputs.iter().map(Cells::new).collect(),
        }
    }

    /// Opens a row at the end.
    pub(crate) fn open(&mut self, start_us: i64) {
        self.starts_us.push(start_us);
        self.growth.push([Growth::default(); MOST_COUNTERS]);
        self.network_resets.push(0);
        self.sticky_new.push(0);
        self.duplicates.push(0);
        self.throttle_known.push(0);
    }

    /// Fills the row at the end from its bucket, but for the levels.
    pub(crate) fn close(&mut self, bucket: &OpenBucket, plan: &Plan, config: RollupConfig) {
        let throttle_known = self.throttle_known.last().copied().unwrap_or(0);
        let expected_count = bucket.expected_count(config);
        for at in &plan.scalars {
            let output = &plan.outputs[*at];
            match &mut self.closed[*at] {
                Cells::Int(cells) => cells.push(int(output, bucket, throttle_known, expected_count)),
                Cells::Float(cells) => cells.push(float(output, bucket, expected_count)),
                Cells::Late => {}
            }
        }
    }

    /// Adds the next row's cells of all columns that are made of one gauge.
    pub(crate) fn close_levels(&mut self, levels: &mut Levels, slot: usize, plan: &Plan) {
        for at in &plan.gauges[slot].outputs {
            let formula = plan.outputs[*at].formula;
            match &mut self.closed[*at] {
                Cells::Int(cells) => cells.push(levels.int(formula)),
                Cells::Float(cells) => cells.push(levels.float(formula)),
                Cells::Late => {}
            }
        }
    }

    /// Among the rows of one host, that of the bucket.
    pub(crate) fn find(&self, rows: Range<usize>, start_us: i64) -> Option<usize> {
        self.starts_us[rows.clone()].binary_search(&start_us).ok().map(|row| rows.start + row)
    }
}

impl Cells {
    fn new(output: &PlannedOutput) -> Self {
        match output.formula {
            Formula::BucketStart
            | Formula::HostId
            | Formula::CounterGrowth(_)
            | Formula::CounterCoveredSeconds(_)
            | Formula::BitRate(_)
            | Formula::ByteRate(_)
            | Formula::NetworkResets
            | Formula::DuplicateCount
            | Formula::ThrottleStickyNew
            | Formula::IsFinal => Cells::Late,
            Formula::Average(_)
            | Formula::Percentile95(_)
            | Formula::Max(_)
            | Formula::Min(_)
            | Formula::SampleCount
            | Formula::ExpectedCount
            | Formula::Coverage
            | Formula::ThrottleBits(_)
            | Formula::ClockUnsynced
            | Formula::BootCount
            | Formula::FirstAsOf
            | Formula::LastAsOf => {
                if output.is_int() {
                    Cells::Int(Values::default())
                } else {
                    Cells::Float(Values::default())
                }
            }
        }
    }
}

fn int(output: &PlannedOutput, bucket: &OpenBucket, throttle_known: i64, expected_count: i64) -> Option<i64> {
    match output.formula {
        Formula::SampleCount => Some(bucket.samples),
        Formula::ExpectedCount => Some(expected_count),
        Formula::ThrottleBits(_) => (throttle_known > 0).then(|| bucket.throttle_counts[output.slot]),
        Formula::ClockUnsynced => (bucket.clock_known > 0).then_some(bucket.clock_unsynced),
        Formula::BootCount => (!bucket.boots.is_empty()).then_some(bucket.boots.len() as i64),
        Formula::FirstAsOf => Some(bucket.first_us),
        Formula::LastAsOf => Some(bucket.last_us),
        _ => None,
    }
}

fn float(output: &PlannedOutput, bucket: &OpenBucket, expected_count: i64) -> Option<f64> {
    match output.formula {
        Formula::Coverage => Some((bucket.samples as f64 / expected_count as f64).min(1.0)),
        _ => None,
    }
}

impl OpenBucket {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            start_us: 0,
            levels: plan.gauges.iter().map(Levels::new).collect(),
            samples: 0,
            first_us: 0,
            last_us: 0,
            sample_interval_seconds: None,
            boots: Vec::new(),
            clock_known: 0,
            clock_unsynced: 0,
            throttle_counts: vec![0; plan.throttle_masks.len()],
        }
    }

    /// Begins the next bucket, whose first sample is of that instant; its levels begin for themselves.
    pub(crate) fn begin(&mut self, start_us: i64, first_us: i64) {
        self.boots.clear();
        self.throttle_counts.fill(0);
        (self.start_us, self.first_us, self.last_us) = (start_us, first_us, first_us);
        (self.samples, self.clock_known, self.clock_unsynced) = (0, 0, 0);
        self.sample_interval_seconds = None;
    }

    fn expected_count(&self, config: RollupConfig) -> i64 {
        let interval =
            self.sample_interval_seconds.unwrap_or_else(|| config.sample_interval_seconds().into());
        let bucket_seconds = i64::from(config.interval_minutes()) * 60;
        bucket_seconds.checked_div(interval).unwrap_or(1).max(1)
    }
}
