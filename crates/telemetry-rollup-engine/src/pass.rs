//! One pass over samples: host by host in time order, bucket by bucket.

use std::ops::Range;

use crate::batch::{Batch, NULL_TEXT, Texts};
use crate::counters::{Boots, Evidence, Sample, bucket_start, clock_agrees};
use crate::merge::Stretch;
use crate::plan::Plan;
use crate::table::{OpenBucket, Table};
use crate::{RollupConfig, RollupRequest};

/// The Raspberry Pi's bits that stay set until the next boot.
const STICKY_BITS: u32 = 0xF_0000;

/// One host of a pass, while its samples come in.
pub(crate) struct HostPass<'a> {
    plan: &'a Plan,
    texts: &'a Texts,
    request: RollupRequest,
    config: RollupConfig,
    table: &'a mut Table,
    bucket: &'a mut OpenBucket,
    /// The host's rows of the table begin here.
    first_row: usize,
    first: Option<Sample<u32>>,
    previous: Option<Sample<u32>>,
    /// The throttle word of the text that was read last.
    word: (u32, Option<u32>),
}

/// What is left of a host: its rows of the table, and the samples at its ends.
pub(crate) struct HostEnds {
    pub(crate) rows: Range<usize>,
    pub(crate) first: Option<Sample<u32>>,
    pub(crate) last: Option<Sample<u32>>,
}

impl<'a> HostPass<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        texts: &'a Texts,
        (table, bucket): (&'a mut Table, &'a mut OpenBucket),
        request: RollupRequest,
        config: RollupConfig,
    ) -> Self {
        let first_row = table.starts_us.len();
        let word = (NULL_TEXT, None);
        Self { plan, texts, request, config, table, bucket, first_row, first: None, previous: None, word }
    }

    pub(crate) fn finish(mut self) -> HostEnds {
        self.close();
        HostEnds { rows: self.rows(), first: self.first, last: self.previous }
    }

    /// Takes the next samples, all later than those before.
    pub(crate) fn consume(&mut self, stretch: &Stretch) {
        let batch = &*stretch.batch;
        let times = batch.ints(self.plan.as_of);
        let width = self.config.bucket_us();
        let mut at = stretch.rows.start;
        while at < stretch.rows.end {
            let start = bucket_start(times[at], width);
            let end = at + times[at..stretch.rows.end].iter().take_while(|us| **us < start + width).count();
            let is_wanted = (self.request.from_us..self.request.to_us).contains(&start);
            if is_wanted {
                self.open(start, times[at]);
                self.add_levels(batch, at..end);
            }
            self.add_pairs(batch, at..end, is_wanted);
            at = end;
        }
        for us in &stretch.dropped_us {
            if let Some(row) = self.table.find(self.rows(), bucket_start(*us, width)) {
                self.table.duplicates[row] += 1;
            }
        }
    }

    fn rows(&self) -> Range<usize> {
        self.first_row..self.table.starts_us.len()
    }

    fn open(&mut self, start_us: i64, first_us: i64) {
        if !self.rows().is_empty() && self.bucket.start_us == start_us {
            return;
        }
        self.close();
        self.bucket.begin(start_us, first_us);
        self.table.open(start_us);
    }

    fn close(&mut self) {
        if !self.rows().is_empty() {
            self.table.close(self.bucket, self.plan, self.config);
        }
    }

    /// Everything that does not depend on the samples before.
    fn add_levels(&mut self, batch: &Batch, rows: Range<usize>) {
        let bucket = &mut *self.bucket;
        bucket.samples += rows.len() as i64;
        bucket.last_us = batch.ints(self.plan.as_of)[rows.end - 1];
        for (levels, gauge) in bucket.levels.iter_mut().zip(&self.plan.gauges) {
            levels.add(&batch.columns[gauge.column], rows.clone());
        }
        let mut last_boot = NULL_TEXT;
        for boot in &batch.texts(self.plan.boot_id)[rows.clone()] {
            if *boot != last_boot && *boot != NULL_TEXT && !bucket.boots.contains(boot) {
                bucket.boots.push(*boot);
            }
            last_boot = *boot;
        }
        batch.columns[self.plan.sample_interval].for_each_int(rows.clone(), |interval| {
            bucket.sample_interval_seconds = bucket.sample_interval_seconds.max(Some(interval));
        });
        batch.columns[self.plan.clock_synced].for_each_int(rows, |synced| {
            bucket.clock_known += 1;
            bucket.clock_unsynced += i64::from(synced == 0);
        });
    }

    /// Everything that looks at pairs of samples.
    fn add_pairs(&mut self, batch: &Batch, rows: Range<usize>, is_wanted: bool) {
        if is_wanted {
            self.add_throttle_words(batch, rows.clone());
        }
        self.add_sample(batch, rows.start);
        if rows.len() > 1 && self.is_uniform(batch, rows.clone()) {
            if is_wanted {
                self.add_uniform_growth(batch, rows.clone());
            }
            self.previous = Some(self.sample(batch, rows.end - 1));
            return;
        }
        for row in rows.start + 1..rows.end {
            self.add_sample(batch, row);
        }
    }

    fn add_throttle_words(&mut self, batch: &Batch, rows: Range<usize>) {
        let texts = &batch.texts(self.plan.throttle)[rows];
        let Some(row) = self.table.throttle_known.len().checked_sub(1) else { return };
        for text in texts.iter().filter(|text| **text != NULL_TEXT) {
            if let Some(word) = self.throttle_word(*text) {
                self.table.throttle_known[row] += 1;
                for (count, mask) in self.bucket.throttle_counts.iter_mut().zip(&self.plan.throttle_masks) {
                    *count += i64::from(word & mask != 0);
                }
            }
        }
    }

    /// Whether nothing happens between the first and the last of these rows but steady growth: one
    /// boot, one set of interfaces, one throttle word, a clock that agrees, no gap, no counter that
    /// falls or is absent. That is nearly always so, and then the differences of the pairs add up to
    /// one difference.
    fn is_uniform(&self, batch: &Batch, rows: Range<usize>) -> bool {
        let plan = self.plan;
        // Without a way out in the middle these loops take several rows at a time.
        let is_one_text = |column: usize| {
            let texts = &batch.texts(column)[rows.clone()];
            texts.iter().fold(0, |other, text| other | (text ^ texts[0])) == 0
        };
        let is_complete = |column: usize| batch.columns[column].present().is_none();
        let (times, uptimes) =
            (&batch.ints(plan.as_of)[rows.clone()], batch.columns[plan.uptime].floats_slice());
        let longest = self.config.max_gap_us(None);
        batch.texts(plan.boot_id)[rows.start] != NULL_TEXT
            && [plan.boot_id, plan.interfaces, plan.throttle].into_iter().all(is_one_text)
            && is_complete(plan.uptime)
            && plan.counters.iter().all(|counter| is_complete(counter.column))
            && times.windows(2).zip(uptimes[rows.clone()].windows(2)).fold(true, |all, (us, uptime)| {
                all & (us[1] - us[0] <= longest) & clock_agrees(us[1] - us[0], uptime[1] - uptime[0])
            })
            && plan.counters.iter().all(|counter| grows(&batch.ints(counter.column)[rows.clone()]))
    }

    fn add_uniform_growth(&mut self, batch: &Batch, rows: Range<usize>) {
        let Some(growth) = self.table.growth.last_mut() else { return };
        let times = batch.ints(self.plan.as_of);
        for (growth, counter) in growth.iter_mut().zip(&self.plan.counters) {
            let values = batch.ints(counter.column);
            growth.bytes = growth.bytes.saturating_add(values[rows.end - 1] - values[rows.start]);
            growth.covered_us += times[rows.end - 1] - times[rows.start];
        }
    }

    fn sample(&mut self, batch: &Batch, row: usize) -> Sample<u32> {
        let word = self.throttle_word(batch.texts(self.plan.throttle)[row]);
        Sample::read(batch, row, self.plan, word)
    }

    fn add_sample(&mut self, batch: &Batch, row: usize) {
        let sample = self.sample(batch, row);
        let rows = self.rows();
        if let Some(previous) = &self.previous {
            join(self.table, rows.clone(), rows, (previous, &sample), self.plan, self.config);
        } else {
            self.first = Some(sample.clone());
        }
        self.previous = Some(sample);
    }

    fn throttle_word(&mut self, text: u32) -> Option<u32> {
        if self.word.0 != text {
            let digits = self.texts.get(text).and_then(|text| text.strip_prefix("0x"));
            self.word = (text, digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()));
        }
        self.word.1
    }
}

/// Whether a counter is never negative and never falls: then no value and no difference has a sign.
fn grows(values: &[i64]) -> bool {
    let signs =
        values.windows(2).fold(values[0], |signs, pair| signs | pair[1] | pair[1].wrapping_sub(pair[0]));
    signs >= 0
}

/// Adds what two consecutive samples say together. Growth goes to the buckets that it falls into,
/// everything else to that of the later sample.
pub(crate) fn join<T: PartialEq>(
    table: &mut Table,
    rows: Range<usize>,
    later_rows: Range<usize>,
    (previous, sample): (&Sample<T>, &Sample<T>),
    plan: &Plan,
    config: RollupConfig,
) {
    let width = config.bucket_us();
    let own_row = table.find(later_rows, bucket_start(sample.us, width));
    for (slot, counter) in plan.counters.iter().enumerate() {
        match sample.evidence(previous, slot, counter, config) {
            Evidence::Span(span) => span.divide(width, |start, bytes, covered_us| {
                if let Some(row) = table.find(rows.clone(), start) {
                    let growth = &mut table.growth[row][slot];
                    growth.bytes = growth.bytes.saturating_add(bytes);
                    growth.covered_us += covered_us;
                }
            }),
            Evidence::Reset if counter.is_network => {
                if let Some(row) = own_row {
                    table.network_resets[row] += 1;
                }
            }
            Evidence::Reset | Evidence::Unknown => {}
        }
    }
    // A sticky bit tells of the whole boot, so only its rise is news. It is clear when a boot begins.
    let before = match sample.boots(previous) {
        Boots::Same => previous.throttle_word,
        Boots::Other => Some(0),
    };
    if let (Some(before), Some(now), Some(row)) = (before, sample.throttle_word, own_row) {
        table.sticky_new[row] |= now & !before & STICKY_BITS;
    }
}
