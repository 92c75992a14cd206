//! One host's samples in time order, bucket by bucket.

use crate::batch::{Batch, NULL_TEXT, Texts};
use crate::bucket::Bucket;
use crate::counters::{Boots, Evidence, Sample, bucket_start};
use crate::merge::Stretch;
use crate::plan::Plan;
use crate::{RollupConfig, RollupRequest};

/// The Raspberry Pi's bits that stay set until the next boot.
const STICKY_BITS: u32 = 0xF_0000;

pub(crate) struct HostPass<'a> {
    plan: &'a Plan,
    texts: &'a Texts,
    request: RollupRequest,
    config: RollupConfig,
    previous: Option<Sample>,
    buckets: Vec<Bucket>,
}

impl<'a> HostPass<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        texts: &'a Texts,
        request: RollupRequest,
        config: RollupConfig,
    ) -> Self {
        Self { plan, texts, request, config, previous: None, buckets: Vec::new() }
    }

    /// The buckets of the request that hold samples, in time order.
    pub(crate) fn finish(self) -> Vec<Bucket> {
        self.buckets
    }

    /// Takes the next samples, all later than those before.
    pub(crate) fn consume(&mut self, stretch: &Stretch<'_>) {
        let batch = stretch.batch();
        let times = batch.ints(self.plan.as_of);
        let width = self.config.bucket_us();
        let mut at = stretch.rows.start;
        while at < stretch.rows.end {
            let start = bucket_start(times[at], width);
            let piece = times[at..stretch.rows.end].partition_point(|us| *us < start + width);
            let rows = at..at + piece;
            if (self.request.from_us..self.request.to_us).contains(&start) {
                let plan = self.plan;
                self.open(start, times[at]).add(batch, rows.clone(), plan);
            }
            for row in rows {
                self.pair(batch, row);
            }
            at += piece;
        }
        for us in &stretch.dropped_us {
            if let Some(bucket) = find(&mut self.buckets, bucket_start(*us, width)) {
                bucket.duplicates += 1;
            }
        }
    }

    fn open(&mut self, start: i64, first_us: i64) -> &mut Bucket {
        if self.buckets.last().is_none_or(|bucket| bucket.start_us != start) {
            self.buckets.push(Bucket::new(start, first_us, self.plan));
        }
        self.buckets.last_mut().expect("pushed above where there was none")
    }

    fn pair(&mut self, batch: &Batch, row: usize) {
        let word = self.throttle_word(batch.texts(self.plan.throttle)[row]);
        let sample = Sample::read(batch, row, self.plan, word);
        let width = self.config.bucket_us();
        if let (Some(word), Some(bucket)) = (word, find(&mut self.buckets, bucket_start(sample.us, width))) {
            bucket.add_throttle_word(word, self.plan);
        }
        if let Some(previous) = self.previous.replace(sample.clone()) {
            self.count_growth(&previous, &sample);
            self.note_sticky_bits(&previous, &sample);
        }
    }

    fn count_growth(&mut self, previous: &Sample, sample: &Sample) {
        let width = self.config.bucket_us();
        let buckets = &mut self.buckets;
        for (slot, counter) in self.plan.counters.iter().enumerate() {
            match sample.evidence(previous, slot, counter, self.config) {
                Evidence::Span(span) => span.divide(width, |start, bytes, covered_us| {
                    if let Some(bucket) = find(buckets, start) {
                        let growth = &mut bucket.growth[slot];
                        growth.bytes = growth.bytes.saturating_add(bytes);
                        growth.covered_us += covered_us;
                    }
                }),
                Evidence::Reset if counter.is_network => {
                    if let Some(bucket) = find(buckets, bucket_start(sample.us, width)) {
                        bucket.network_resets += 1;
                    }
                }
                Evidence::Reset | Evidence::Unknown => {}
            }
        }
    }

    /// A sticky bit tells of the whole boot, so only its rise is news. It is clear when a boot
    /// begins.
    fn note_sticky_bits(&mut self, previous: &Sample, sample: &Sample) {
        let before = match sample.boots(previous) {
            Boots::Same => previous.throttle_word,
            Boots::Other => Some(0),
        };
        if let (Some(before), Some(now)) = (before, sample.throttle_word)
            && let Some(bucket) = find(&mut self.buckets, bucket_start(sample.us, self.config.bucket_us()))
        {
            bucket.throttle_sticky_new |= now & !before & STICKY_BITS;
        }
    }

    fn throttle_word(&self, text: u32) -> Option<u32> {
        if text == NULL_TEXT {
            return None;
        }
        u32::from_str_radix(self.texts.get(text)?.strip_prefix("0x")?, 16).ok()
    }
}

/// The bucket with that start; the latest ones are asked for most.
fn find(buckets: &mut [Bucket], start_us: i64) -> Option<&mut Bucket> {
    buckets
        .iter_mut()
        .rev()
        .take_while(|bucket| bucket.start_us >= start_us)
        .find(|bucket| bucket.start_us == start_us)
}
