//! One pass over samples: host by host in time order, bucket by bucket.

use std::ops::{BitOr, BitXor, Range};

use crate::batch::{Batch, NULL_TEXT, Numbers, Presence, Texts};
use crate::counters::{Boots, Evidence, Sample, Span, bucket_start, clocks_agree};
use crate::merge::Stretch;
use crate::plan::{Counter, MOST_COUNTERS, Plan};
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
    /// Room for the pieces of a stretch.
    pieces: Vec<Piece>,
    /// The throttle word of the text that was read last.
    word: (u32, Option<u32>),
}

/// Consecutive rows of a stretch that fall into one bucket.
struct Piece {
    bucket_us: i64,
    rows: Range<usize>,
    /// The bucket's row of the table, if one is made.
    table_row: Option<usize>,
    /// The bucket begins here; else it goes on from the stretch before.
    is_new: bool,
}

/// The columns that every bucket looks at.
struct Known<'b> {
    times: &'b [i64],
    boots: &'b [u32],
    throttle: &'b [u32],
    sample_intervals: Numbers<'b>,
    clock_synced: Numbers<'b>,
}

impl<'b> Known<'b> {
    fn of(batch: &'b Batch, plan: &Plan) -> Self {
        Self {
            times: batch.ints(plan.as_of),
            boots: batch.texts(plan.boot_id),
            throttle: batch.texts(plan.throttle),
            sample_intervals: batch.columns[plan.sample_interval].numbers(),
            clock_synced: batch.columns[plan.clock_synced].numbers(),
        }
    }
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
        Self {
            plan,
            texts,
            request,
            config,
            table,
            bucket,
            first_row,
            first: None,
            previous: None,
            pieces: Vec::new(),
            word,
        }
    }

    pub(crate) fn finish(self) -> HostEnds {
        if !self.rows().is_empty() {
            for slot in 0..self.plan.gauges.len() {
                self.table.close_levels(&mut self.bucket.levels[slot], slot, self.plan);
            }
        }
        HostEnds { rows: self.rows(), first: self.first, last: self.previous }
    }

    /// Takes the next samples, all later than those before.
    pub(crate) fn consume(&mut self, stretch: &Stretch) {
        let batch = &*stretch.batch;
        let mut pieces = std::mem::take(&mut self.pieces);
        self.divide(batch, stretch.rows.clone(), &mut pieces);
        // Nearly always, and then no piece has to be looked at for itself.
        let is_uniform = self.is_uniform(batch, stretch.rows.clone());
        let is_open = !self.rows().is_empty();
        let known = Known::of(batch, self.plan);
        for piece in &mut pieces {
            self.add_piece(&known, piece, is_uniform);
        }
        // A column at a time: what lies next to each other in memory is read one after the other.
        for slot in 0..self.plan.gauges.len() {
            self.add_levels(batch, slot, &pieces, is_open);
        }
        if is_uniform {
            self.add_uniform_pairs(batch, &pieces);
        } else {
            pieces.iter().for_each(|piece| self.add_pairs(batch, piece));
        }
        self.pieces = pieces;
        let width = self.config.bucket_us();
        for us in &stretch.dropped_us {
            if let Some(row) = self.table.find(self.rows(), bucket_start(*us, width)) {
                self.table.duplicates[row] += 1;
            }
        }
    }

    fn divide(&self, batch: &Batch, rows: Range<usize>, pieces: &mut Vec<Piece>) {
        let (times, width) = (batch.ints(self.plan.as_of), self.config.bucket_us());
        let mut at = rows.start;
        pieces.clear();
        while at < rows.end {
            let bucket_us = bucket_start(times[at], width);
            let end = at + times[at..rows.end].partition_point(|us| *us < bucket_us + width);
            pieces.push(Piece { bucket_us, rows: at..end, table_row: None, is_new: false });
            at = end;
        }
    }

    fn rows(&self) -> Range<usize> {
        self.first_row..self.table.starts_us.len()
    }

    /// Everything but levels and pairs: what is known of a bucket beside its values.
    fn add_piece(&mut self, known: &Known<'_>, piece: &mut Piece, is_uniform: bool) {
        if !(self.request.from_us..self.request.to_us).contains(&piece.bucket_us) {
            return;
        }
        let (rows, times) = (piece.rows.clone(), known.times);
        let is_open = !self.rows().is_empty();
        piece.is_new = !is_open || self.bucket.start_us != piece.bucket_us;
        if piece.is_new {
            self.bucket.begin(piece.bucket_us);
            self.table.open(piece.bucket_us, times[rows.start]);
        }
        let table_row = self.table.starts_us.len() - 1;
        piece.table_row = Some(table_row);
        let (table, bucket) = (&mut *self.table, &mut *self.bucket);
        table.samples[table_row] += rows.len() as i64;
        table.last_us[table_row] = times[rows.end - 1];
        // One of each stands for all where all are the same.
        let texts = if is_uniform { rows.start..rows.start + 1 } else { rows.clone() };
        let mut last_boot = NULL_TEXT;
        for boot in &known.boots[texts.clone()] {
            if *boot != last_boot && *boot != NULL_TEXT && !bucket.boots.contains(boot) {
                bucket.boots.push(*boot);
            }
            last_boot = *boot;
        }
        table.boots[table_row] = bucket.boots.len() as i64;
        let interval = &mut table.sample_interval_seconds[table_row];
        for intervals in known.sample_intervals.present_ints(rows.clone()) {
            let longest = if are_equal(intervals) { intervals.first() } else { intervals.iter().max() };
            *interval = (*interval).max(longest.copied());
        }
        for synced in known.clock_synced.present_ints(rows.clone()) {
            table.clock_known[table_row] += synced.len() as i64;
            table.clock_unsynced[table_row] += synced.len() as i64 - synced.iter().sum::<i64>();
        }
        let times_each = if is_uniform { rows.len() as i64 } else { 1 };
        self.add_throttle_words(&known.throttle[texts], times_each, table_row);
    }

    fn add_throttle_words(&mut self, texts: &[u32], times_each: i64, table_row: usize) {
        for text in texts.iter().filter(|text| **text != NULL_TEXT) {
            if let Some(word) = self.throttle_word(*text) {
                self.table.throttle_known[table_row] += times_each;
                for (count, mask) in self.table.throttled[table_row].iter_mut().zip(&self.plan.throttle_masks)
                {
                    *count += if word & mask == 0 { 0 } else { times_each };
                }
            }
        }
    }

    /// Adds one gauge's values. `is_open` says whether a bucket was open before these pieces.
    fn add_levels(&mut self, batch: &Batch, slot: usize, pieces: &[Piece], mut is_open: bool) {
        let column = batch.columns[self.plan.gauges[slot].column].numbers();
        let levels = &mut self.bucket.levels[slot];
        for piece in pieces.iter().filter(|piece| piece.table_row.is_some()) {
            if piece.is_new {
                if is_open {
                    self.table.close_levels(levels, slot, self.plan);
                }
                levels.clear();
                is_open = true;
            }
            levels.add(column, piece.rows.clone());
        }
    }

    /// Everything that looks at pairs of samples.
    fn add_pairs(&mut self, batch: &Batch, piece: &Piece) {
        let rows = piece.rows.clone();
        self.add_sample(batch, rows.start);
        if rows.len() > 1 && self.is_uniform(batch, rows.clone()) {
            let counters = self.steady_counters(batch, rows.clone());
            self.add_uniform_growth(batch.ints(self.plan.as_of), &counters, piece);
            self.previous = Some(self.sample(batch, rows.end - 1));
            return;
        }
        for row in rows.start + 1..rows.end {
            self.add_sample(batch, row);
        }
    }

    /// The same for the pieces of a uniform stretch: only its first sample can be anything but growth.
    fn add_uniform_pairs(&mut self, batch: &Batch, pieces: &[Piece]) {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return };
        let counters = self.steady_counters(batch, first.rows.start..last.rows.end);
        let times = batch.ints(self.plan.as_of);
        self.add_sample(batch, first.rows.start);
        for piece in pieces {
            if piece.rows.start > first.rows.start {
                self.add_uniform_step(times, &counters, piece.rows.start);
            }
            self.add_uniform_growth(times, &counters, piece);
        }
        if last.rows.end - 1 > first.rows.start {
            self.previous = Some(self.sample(batch, last.rows.end - 1));
        }
    }

    /// The values of each counter in uniform rows; `None` where it is absent from all of them.
    fn steady_counters<'b>(
        &self,
        batch: &'b Batch,
        rows: Range<usize>,
    ) -> [Option<&'b [i64]>; MOST_COUNTERS] {
        let values = |counter: &Counter| {
            let column = &batch.columns[counter.column];
            (column.presence(rows.clone()) == Presence::All).then(|| column.ints_slice())
        };
        std::array::from_fn(|slot| self.plan.counters.get(slot).and_then(values))
    }

    /// Growth from the row before, which lies in an earlier bucket.
    fn add_uniform_step(&mut self, times: &[i64], counters: &[Option<&[i64]>], row: usize) {
        let rows = self.rows();
        let mut grown = Grown::default();
        for (bytes, counter) in grown.iter_mut().zip(counters) {
            *bytes = counter.map(|values| values[row] - values[row - 1]);
        }
        credit(self.table, rows, Span { start_us: times[row - 1], end_us: times[row] }, &grown, self.config);
    }

    /// Whether nothing happens between the first and the last of these rows but steady growth: one
    /// boot, one set of interfaces, one throttle word, a clock that agrees, no gap, no counter that
    /// falls or is absent at times. That is nearly always so, and then the differences of the pairs add
    /// up to one difference.
    fn is_uniform(&self, batch: &Batch, rows: Range<usize>) -> bool {
        let plan = self.plan;
        let is_one_text = |column: usize| are_equal(&batch.texts(column)[rows.clone()]);
        let is_steady = |column: usize| match batch.columns[column].presence(rows.clone()) {
            Presence::All => grows(&batch.ints(column)[rows.clone()]),
            Presence::None => true,
            Presence::Some => false,
        };
        let (times, uptimes) =
            (&batch.ints(plan.as_of)[rows.clone()], batch.columns[plan.uptime].floats_slice());
        let longest = self.config.max_gap_us(None);
        batch.texts(plan.boot_id)[rows.start] != NULL_TEXT
            && [plan.boot_id, plan.interfaces, plan.throttle].into_iter().all(is_one_text)
            && batch.columns[plan.uptime].presence(rows.clone()) == Presence::All
            && times.windows(2).fold(0, |signs, us| signs | (longest - (us[1] - us[0]))) >= 0
            && clocks_agree(times, &uptimes[rows.clone()])
            && plan.counters.iter().all(|counter| is_steady(counter.column))
    }

    /// Growth within a bucket.
    fn add_uniform_growth(&mut self, times: &[i64], counters: &[Option<&[i64]>], piece: &Piece) {
        let Some(table_row) = piece.table_row else { return };
        let (first, last) = (piece.rows.start, piece.rows.end - 1);
        for (growth, counter) in self.table.growth[table_row].iter_mut().zip(counters) {
            if let Some(values) = counter {
                growth.bytes = growth.bytes.saturating_add(values[last] - values[first]);
                growth.covered_us += times[last] - times[first];
            }
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

/// Whether all values are the same. Without a way out in the middle several are looked at at a time.
fn are_equal<T: Copy + Default + BitXor<Output = T> + BitOr<Output = T> + PartialEq>(values: &[T]) -> bool {
    let zero = T::default();
    values.iter().fold(zero, |other, value| other | (*value ^ values[0])) == zero
}

/// Whether a counter is never negative and never falls: then no value and no difference has a sign.
fn grows(values: &[i64]) -> bool {
    let signs =
        values.windows(2).fold(values[0], |signs, pair| signs | pair[1] | pair[1].wrapping_sub(pair[0]));
    signs >= 0
}

/// By how much each counter grew, if that is known.
type Grown = [Option<i64>; MOST_COUNTERS];

/// Gives the growth of the counters to the buckets that it falls into.
fn credit(table: &mut Table, rows: Range<usize>, span: Span, grown: &Grown, config: RollupConfig) {
    let mut given = [0; MOST_COUNTERS];
    for share in span.shares(config.bucket_us()) {
        let row = table.find(rows.clone(), share.bucket_us);
        for (slot, bytes) in grown.iter().enumerate() {
            let Some(bytes) = bytes else { continue };
            let cumulated = share.cumulated(*bytes);
            if let Some(row) = row {
                let growth = &mut table.growth[row][slot];
                growth.bytes = growth.bytes.saturating_add(cumulated - given[slot]);
                growth.covered_us += share.covered_us;
            }
            given[slot] = cumulated;
        }
    }
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
    let (mut grown, mut grown_in) = (Grown::default(), None);
    for (slot, counter) in plan.counters.iter().enumerate() {
        match sample.evidence(previous, slot, counter, config) {
            Evidence::Growth { span, bytes } => {
                grown[slot] = Some(bytes);
                grown_in = Some(span);
            }
            Evidence::Reset if counter.is_network => {
                if let Some(row) = own_row {
                    table.network_resets[row] += 1;
                }
            }
            Evidence::Reset | Evidence::Unknown => {}
        }
    }
    if let Some(span) = grown_in {
        credit(table, rows, span, &grown, config);
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
