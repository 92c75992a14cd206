//! Rollup rows while they grow, as columns.
//!
//! A row is opened with its bucket and counts while samples come in, some of it until the end, since
//! later samples tell of earlier buckets too: growth of counters, duplicates. What is made of levels is
//! known when the bucket closes.

use std::ops::Range;

use crate::batch::split;
use crate::levels::Levels;
use crate::plan::{MOST_COUNTERS, MOST_MASKS, Plan, PlannedOutput, is_level};
use polars::prelude::{ChunkedArray, PolarsNumericType};

/// Growth of a counter that belongs to one bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Growth {
    pub(crate) bytes: i64,
    pub(crate) covered_us: i64,
}

/// The rows of a pass, hosts one after the other, each host's in time order.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) starts_us: Vec<i64>,
    pub(crate) growth: Vec<[Growth; MOST_COUNTERS]>,
    pub(crate) network_resets: Vec<i64>,
    pub(crate) sticky_new: Vec<u32>,
    pub(crate) duplicates: Vec<i64>,
    pub(crate) samples: Vec<i64>,
    pub(crate) first_us: Vec<i64>,
    pub(crate) last_us: Vec<i64>,
    /// The longest schedule that a sample of the bucket says, in seconds.
    pub(crate) sample_interval_seconds: Vec<Option<i64>>,
    pub(crate) boots: Vec<i64>,
    pub(crate) clock_known: Vec<i64>,
    pub(crate) clock_unsynced: Vec<i64>,
    /// Samples whose throttle word is known.
    pub(crate) throttle_known: Vec<i64>,
    /// Samples with a bit of each of the plan's masks.
    pub(crate) throttled: Vec<[i64; MOST_MASKS]>,
    /// What is made of levels, one a Gold column.
    pub(crate) levels: Vec<Cells>,
}

/// Cells of one column that are known when a bucket closes.
pub(crate) enum Cells {
    Int(Values<i64>),
    Float(Values<f64>),
    /// Not made of levels.
    Other,
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
        let (values, present) = split(cells.into_iter());
        Self { values, present }
    }
}

/// The bucket that takes samples now: what its row of the table does not need afterwards.
pub(crate) struct OpenBucket {
    pub(crate) start_us: i64,
    pub(crate) levels: Vec<Levels>,
    pub(crate) boots: Vec<u32>,
}

impl Table {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { levels: plan.outputs.iter().map(Cells::new).collect(), ..Self::default() }
    }

    /// Opens a row at the end, whose first sample is of that instant.
    pub(crate) fn open(&mut self, start_us: i64, first_us: i64) {
        self.starts_us.push(start_us);
        self.growth.push([Growth::default(); MOST_COUNTERS]);
        self.network_resets.push(0);
        self.sticky_new.push(0);
        self.duplicates.push(0);
        self.samples.push(0);
        self.first_us.push(first_us);
        self.last_us.push(first_us);
        self.sample_interval_seconds.push(None);
        self.boots.push(0);
        self.clock_known.push(0);
        self.clock_unsynced.push(0);
        self.throttle_known.push(0);
        self.throttled.push([0; MOST_MASKS]);
    }

    /// Adds the next row's cells of all columns that are made of one gauge.
    pub(crate) fn close_levels(&mut self, levels: &mut Levels, slot: usize, plan: &Plan) {
        for at in &plan.gauges[slot].outputs {
            let formula = plan.outputs[*at].formula;
            match &mut self.levels[*at] {
                Cells::Int(cells) => cells.push(levels.int(formula)),
                Cells::Float(cells) => cells.push(levels.float(formula)),
                Cells::Other => {}
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
        match (is_level(output.formula), output.is_int()) {
            (true, true) => Cells::Int(Values::default()),
            (true, false) => Cells::Float(Values::default()),
            (false, _) => Cells::Other,
        }
    }
}

impl OpenBucket {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { start_us: 0, levels: plan.gauges.iter().map(Levels::new).collect(), boots: Vec::new() }
    }

    /// Begins the next bucket; its levels begin for themselves.
    pub(crate) fn begin(&mut self, start_us: i64) {
        self.boots.clear();
        self.start_us = start_us;
    }
}
