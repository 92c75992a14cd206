//! The engine against the contract written down naively: rows as objects, every formula on its own,
//! over data with reboots, resets, clock steps, gaps, duplicates, nulls and shuffled files.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use polars::prelude::DataFrame;
use proptest::prelude::*;
use support::{MINUTE_US, NOON_US, SECOND_US, frame, gold_rows, instant, sample};
use telemetry_rollup_engine::{GRACE_US, Partial, RollupConfig, RollupRequest, Source, rollup};
use telemetry_schema::{HOST_METRICS, HostMetricsRollup, HostMetricsSample, Row};

type Rows = Vec<HostMetricsSample>;

fn us(row: &HostMetricsSample) -> i64 {
    row.as_of.timestamp_micros()
}

/// Keeps the best of each key; counts the others by instant.
fn deduplicate(rows: &[HostMetricsSample]) -> (Rows, Vec<i64>) {
    let mut by_key: BTreeMap<i64, Rows> = BTreeMap::new();
    for row in rows {
        by_key.entry(us(row)).or_default().push(row.clone());
    }
    let mut dropped = Vec::new();
    let kept = by_key
        .into_iter()
        .map(|(at, mut rows)| {
            rows.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap());
            dropped.extend(std::iter::repeat_n(at, rows.len() - 1));
            rows.swap_remove(0)
        })
        .collect();
    (kept, dropped)
}

/// What decides between duplicates, in the order of the contract; `None` is smallest.
fn rank(row: &HostMetricsSample) -> impl PartialOrd + use<> {
    let row = row.clone();
    (
        (row.uptime_seconds, row.net_rx_bytes, row.net_tx_bytes, row.cpu_pct, row.ram_used_mb, row.boot_id),
        (row.ram_total_mb, row.ram_available_mb, row.swap_total_mb, row.swap_used_mb),
        (row.disk_root_total_gb, row.disk_root_free_gb, row.cpu_temp_c, row.throttle_flags),
        (row.sample_interval_seconds, row.disk_read_bytes, row.disk_write_bytes),
        (row.net_interfaces, row.clock_synced),
    )
}

fn same_boot(a: &HostMetricsSample, b: &HostMetricsSample) -> bool {
    match (&a.boot_id, &b.boot_id) {
        (Some(a), Some(b)) => a == b,
        _ => match (a.uptime_seconds, b.uptime_seconds) {
            (Some(a), Some(b)) => b >= a,
            _ => true,
        },
    }
}

fn clock_agrees(a: &HostMetricsSample, b: &HostMetricsSample) -> bool {
    match (a.uptime_seconds, b.uptime_seconds) {
        (Some(before), Some(now)) => ((us(b) - us(a)) as f64 / 1e6 - (now - before)).abs() <= 2.0,
        _ => true,
    }
}

type Counter = fn(&HostMetricsSample) -> Option<i64>;

/// The span (start, end, growth) of a pair, if it speaks for one.
fn span(
    a: &HostMetricsSample,
    b: &HostMetricsSample,
    counter: Counter,
    network: bool,
    limit: i64,
) -> Option<(i64, i64, i64)> {
    let now = counter(b)?;
    if network && a.net_interfaces != b.net_interfaces {
        return None;
    }
    let (start, growth) = if same_boot(a, b) {
        let before = counter(a)?;
        (clock_agrees(a, b) && now >= before).then_some((us(a), now - before))?
    } else {
        let boot = us(b) - (b.uptime_seconds? * 1e6).round() as i64;
        (boot >= us(a)).then_some((boot, now))?
    };
    (us(b) > start && us(b) - start <= limit).then_some((start, us(b), growth))
}

/// Bytes and microseconds of a span in [from, to).
fn share(span: (i64, i64, i64), from: i64, to: i64) -> (i64, i64) {
    let (start, end, growth) = span;
    let until = |at: i64| {
        if at <= start {
            0
        } else if at >= end {
            growth
        } else {
            (growth as f64 * ((at - start) as f64 / (end - start) as f64)).floor() as i64
        }
    };
    (until(to) - until(from), (to.min(end) - from.max(start)).max(0))
}

fn percentile(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let k = 95 * n.checked_sub(1)?;
    let (low, f) = (k / 100, (k % 100) as f64 / 100.0);
    Some(if n == 1 { values[0] } else { f * (values[(low + 1).min(n - 1)] - values[low]) + values[low] })
}

fn float_max(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(f64::max)
}

fn word(row: &HostMetricsSample) -> Option<u32> {
    row.throttle_flags.as_ref().map(|text| u32::from_str_radix(&text[2..], 16).unwrap())
}

/// The throttle words of a bucket, and the sticky bits that rose in it.
struct Throttle {
    words: Vec<u32>,
    risen: u32,
}

type Pair<'a> = (&'a HostMetricsSample, &'a HostMetricsSample);

/// How often a counter is lower than before within one boot, with clock and interfaces in order.
fn falls(ending: &[&Pair<'_>], counter: Counter) -> i64 {
    let fell = |(a, b): &&&Pair<'_>| {
        let lower = matches!((counter(a), counter(b)), (Some(a), Some(b)) if b < a);
        lower && same_boot(a, b) && clock_agrees(a, b) && a.net_interfaces == b.net_interfaces
    };
    ending.iter().filter(fell).count() as i64
}

impl Throttle {
    fn of(rows: &[&HostMetricsSample], ending: &[&Pair<'_>]) -> Self {
        let risen = ending.iter().fold(0, |bits, (a, b)| {
            let before = if same_boot(a, b) { word(a) } else { Some(0) };
            bits | before.zip(word(b)).map_or(0, |(before, now)| now & !before & 0xF_0000)
        });
        Self { words: rows.iter().filter_map(|row| word(row)).collect(), risen }
    }

    fn with(&self, mask: u32) -> Option<i64> {
        let count = self.words.iter().filter(|word| **word & mask != 0).count() as i64;
        (!self.words.is_empty()).then_some(count)
    }

    fn risen(&self) -> Option<String> {
        (!self.words.is_empty()).then(|| format!("0x{:x}", self.risen))
    }
}

struct Naive {
    request: RollupRequest,
    config: RollupConfig,
}

impl Naive {
    fn host(&self, host: &str, rows: &[HostMetricsSample]) -> Vec<HostMetricsRollup> {
        let (rows, dropped) = deduplicate(rows);
        let width = self.config.bucket_us();
        let starts: BTreeSet<i64> = rows.iter().map(|row| us(row).div_euclid(width) * width).collect();
        starts
            .into_iter()
            .filter(|start| (self.request.from_us..self.request.to_us).contains(start))
            .map(|start| self.bucket(host, &rows, &dropped, start))
            .collect()
    }

    fn bucket(&self, host: &str, all: &Rows, dropped: &[i64], start: i64) -> HostMetricsRollup {
        let end = start + self.config.bucket_us();
        let inside = |at: i64| (start..end).contains(&at);
        let rows: Vec<&HostMetricsSample> = all.iter().filter(|row| inside(us(row))).collect();
        let pairs: Vec<_> = all.windows(2).map(|pair| (&pair[0], &pair[1])).collect();
        let ending: Vec<_> = pairs.iter().filter(|(_, b)| inside(us(b))).collect();
        let interval = rows.iter().filter_map(|row| row.sample_interval_seconds).max();
        let interval = interval.map_or(i64::from(self.config.sample_interval_seconds()), i64::from);
        let expected = (i64::from(self.config.interval_minutes()) * 60 / interval).max(1);
        let count = rows.len() as i64;
        let growth = |counter: Counter, network: bool| {
            let spans = pairs.iter().filter_map(|(a, b)| span(a, b, counter, network, self.limit(b)));
            spans
                .map(|span| share(span, start, end))
                .fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
        };
        let rate = |(bytes, covered): (i64, i64), factor: f64| {
            (covered > 0).then(|| factor * 1_000_000.0 * bytes as f64 / covered as f64)
        };
        let (rx, tx) = (growth(|row| row.net_rx_bytes, true), growth(|row| row.net_tx_bytes, true));
        let throttle = Throttle::of(&rows, &ending);
        let synced: Vec<bool> = rows.iter().filter_map(|row| row.clock_synced).collect();
        let boots: BTreeSet<&String> = rows.iter().filter_map(|row| row.boot_id.as_ref()).collect();
        let cpu: Vec<f64> = rows.iter().filter_map(|row| row.cpu_pct).collect();
        let ram: Vec<i64> = rows.iter().filter_map(|row| row.ram_used_mb).collect();
        let hundredths: i64 = cpu.iter().map(|value| (value * 100.0).round() as i64).sum();
        HostMetricsRollup {
            bucket_start: instant(start),
            host_id: host.to_owned(),
            cpu_pct_avg: (!cpu.is_empty()).then(|| hundredths as f64 / (100.0 * cpu.len() as f64)),
            cpu_pct_p95: percentile(cpu.clone()),
            cpu_pct_max: float_max(cpu.iter().copied()),
            ram_used_mb_avg: (!ram.is_empty()).then(|| ram.iter().sum::<i64>() as f64 / ram.len() as f64),
            ram_used_mb_max: ram.iter().copied().max(),
            disk_root_free_gb_min: rows.iter().filter_map(|row| row.disk_root_free_gb).reduce(f64::min),
            cpu_temp_c_max: float_max(rows.iter().filter_map(|row| row.cpu_temp_c)),
            net_rx_rate_bps_avg: rate(rx, 8.0),
            net_tx_rate_bps_avg: rate(tx, 8.0),
            ram_total_mb_max: rows.iter().filter_map(|row| row.ram_total_mb).max(),
            ram_available_mb_min: rows.iter().filter_map(|row| row.ram_available_mb).min(),
            swap_total_mb_max: rows.iter().filter_map(|row| row.swap_total_mb).max(),
            swap_used_mb_max: rows.iter().filter_map(|row| row.swap_used_mb).max(),
            disk_root_total_gb_max: float_max(rows.iter().filter_map(|row| row.disk_root_total_gb)),
            net_rx_bytes: (rx.1 > 0).then_some(rx.0),
            net_tx_bytes: (tx.1 > 0).then_some(tx.0),
            net_rx_covered_seconds: Some(rx.1 as f64 / 1e6),
            net_tx_covered_seconds: Some(tx.1 as f64 / 1e6),
            net_reset_count: Some(
                falls(&ending, |row| row.net_rx_bytes) + falls(&ending, |row| row.net_tx_bytes),
            ),
            disk_read_rate_bytes_avg: rate(growth(|row| row.disk_read_bytes, false), 1.0),
            disk_write_rate_bytes_avg: rate(growth(|row| row.disk_write_bytes, false), 1.0),
            sample_count: Some(count),
            expected_count: Some(expected),
            coverage: Some((count as f64 / expected as f64).min(1.0)),
            duplicate_count: Some(dropped.iter().filter(|at| inside(**at)).count() as i64),
            undervoltage_samples: throttle.with(0x1),
            throttled_samples: throttle.with(0xE),
            throttle_sticky_new: throttle.risen(),
            clock_unsynced_samples: (!synced.is_empty())
                .then(|| synced.iter().filter(|synced| !**synced).count() as i64),
            boot_count: (!boots.is_empty()).then_some(boots.len() as i64),
            first_as_of: rows.iter().map(|row| row.as_of).min(),
            last_as_of: rows.iter().map(|row| row.as_of).max(),
            is_final: Some(self.request.evaluated_at_us >= end + GRACE_US),
        }
    }

    /// The longest believed span that ends at the sample.
    fn limit(&self, row: &HostMetricsSample) -> i64 {
        let interval =
            row.sample_interval_seconds.map_or(self.config.sample_interval_seconds().into(), i64::from);
        let seconds = 300.max(60 * i64::from(self.config.interval_minutes())).max(2 * interval);
        (seconds * SECOND_US).min(self.config.reach_us())
    }
}

/// What happens between one sample and the next.
#[derive(Debug, Clone)]
enum Event {
    Steady,
    Reboot,
    CounterReset,
    ClockStep(i64),
    Gap(i64),
    OtherInterfaces,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => Just(Event::Steady),
        1 => Just(Event::Reboot),
        1 => Just(Event::CounterReset),
        1 => (-400i64..400).prop_map(Event::ClockStep),
        1 => (20i64..900).prop_map(Event::Gap),
        1 => Just(Event::OtherInterfaces),
    ]
}

#[derive(Debug, Clone)]
struct Step {
    event: Event,
    growth: [i64; 4],
    cpu: Option<i32>,
    levels: [Option<i64>; 4],
    word: Option<u32>,
    synced: Option<bool>,
    interval: Option<i32>,
    lost: bool,
    copies: Vec<Twin>,
    has_evidence: bool,
}

/// A second delivery of a sample: the columns of [`vary`] from `first` on are lower, higher or gone.
#[derive(Debug, Clone)]
struct Twin {
    first: usize,
    changes: Vec<Option<i64>>,
}

fn twin() -> impl Strategy<Value = Twin> {
    let change = proptest::option::weighted(0.85, -2..3i64);
    let changes = proptest::collection::vec(change, 0..4);
    (0..DECIDING_COLUMNS, changes).prop_map(|(first, changes)| Twin { first, changes })
}

const DECIDING_COLUMNS: usize = 19;

/// Changes the column of this place in [`rank`].
fn vary(row: &mut HostMetricsSample, place: usize, by: Option<i64>) {
    let int = |value: &mut Option<i64>| *value = by.map(|by| (value.unwrap_or(7) + by).max(0));
    let float = |value: &mut Option<f64>| *value = by.map(|by| value.unwrap_or(7.0) + by as f64);
    let text = |value: &mut Option<String>, texts: [&str; 5]| {
        *value = by.map(|by| texts[usize::try_from(by + 2).unwrap()].to_owned());
    };
    match place {
        0 => float(&mut row.uptime_seconds),
        1 => int(&mut row.net_rx_bytes),
        2 => int(&mut row.net_tx_bytes),
        3 => float(&mut row.cpu_pct),
        4 => int(&mut row.ram_used_mb),
        5 => text(&mut row.boot_id, ["a", "boot-0", "boot-1", "boot-2", "c"]),
        6 => int(&mut row.ram_total_mb),
        7 => int(&mut row.ram_available_mb),
        8 => int(&mut row.swap_total_mb),
        9 => int(&mut row.swap_used_mb),
        10 => float(&mut row.disk_root_total_gb),
        11 => float(&mut row.disk_root_free_gb),
        12 => float(&mut row.cpu_temp_c),
        13 => text(&mut row.throttle_flags, ["0x0", "0x1", "0x50005", "0x8", "0xf0000"]),
        14 => row.sample_interval_seconds = by.map(|by| 10 + i32::try_from(by).unwrap()),
        15 => int(&mut row.disk_read_bytes),
        16 => int(&mut row.disk_write_bytes),
        17 => text(&mut row.net_interfaces, ["eth", "eth0", "eth0,eth1", "eth1", "wlan0"]),
        _ => row.clock_synced = by.map(|by| by > 0),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let maybe = |range: std::ops::Range<i64>| proptest::option::weighted(0.9, range);
    (
        (
            event(),
            [0..50_000i64, 0..50_000, 0..50_000, 0..50_000],
            proptest::option::weighted(0.9, 0..10_000i32),
        ),
        [maybe(0..8_000), maybe(0..8_000), maybe(0..900), maybe(0..100)],
        proptest::option::weighted(
            0.5,
            proptest::sample::select(vec![0, 0x1, 0x50005, 0x50000, 0x8, 0xF0000]),
        ),
        proptest::option::of(any::<bool>()),
        proptest::option::weighted(0.8, proptest::sample::select(vec![1, 10, 60, 400])),
        (
            proptest::bool::weighted(0.05),
            prop_oneof![9 => Just(Vec::new()), 1 => proptest::collection::vec(twin(), 1..3)],
            proptest::bool::weighted(0.95),
        ),
    )
        .prop_map(
            |((event, growth, cpu), levels, word, synced, interval, (lost, copies, has_evidence))| Step {
                event,
                growth,
                cpu,
                levels,
                word,
                synced,
                interval,
                lost,
                copies,
                has_evidence,
            },
        )
}

/// A host's life as samples, in the order in which they were taken.
fn samples(host: &str, steps: &[Step]) -> Rows {
    let (mut at, mut booted, mut boot, mut interfaces) =
        (NOON_US - 20 * MINUTE_US, NOON_US - 100 * MINUTE_US, 0, 0);
    let mut skew = 0;
    let mut counters = [1_000_000i64; 4];
    let mut rows = Vec::new();
    for step in steps {
        at += 10 * SECOND_US;
        match step.event {
            Event::Steady => {}
            Event::Reboot => (booted, boot, counters) = (at - 5 * SECOND_US, boot + 1, [0; 4]),
            Event::CounterReset => counters = [0; 4],
            Event::ClockStep(seconds) => skew += seconds * SECOND_US,
            Event::Gap(seconds) => at += seconds * SECOND_US,
            Event::OtherInterfaces => interfaces += 1,
        }
        for (counter, growth) in counters.iter_mut().zip(step.growth) {
            *counter += growth;
        }
        let mut row = sample(host, at + skew);
        let counter = |slot: usize| (!step.lost).then_some(counters[slot]);
        row.cpu_pct = step.cpu.map(|cpu| f64::from(cpu) / 100.0);
        row.ram_total_mb = Some(8_000);
        row.ram_used_mb = step.levels[0];
        row.ram_available_mb = step.levels[1];
        row.disk_root_free_gb = step.levels[2].map(|gb| gb as f64 / 8.0);
        row.disk_root_total_gb = Some(128.0);
        row.cpu_temp_c = step.levels[3].map(|c| c as f64);
        (row.net_rx_bytes, row.net_tx_bytes) = (counter(0), counter(1));
        (row.disk_read_bytes, row.disk_write_bytes) = (counter(2), counter(3));
        row.throttle_flags = step.word.map(|word| format!("0x{word:x}"));
        row.clock_synced = step.synced;
        row.sample_interval_seconds = step.interval;
        row.net_interfaces = Some(format!("eth{interfaces}"));
        if step.has_evidence {
            row.boot_id = Some(format!("boot-{boot}"));
            row.uptime_seconds = Some((at - booted) as f64 / 1e6);
        }
        for twin in &step.copies {
            let mut copy = row.clone();
            for (place, by) in (twin.first..DECIDING_COLUMNS).zip(&twin.changes) {
                vary(&mut copy, place, *by);
            }
            rows.push(copy);
        }
        rows.push(row);
    }
    rows
}

fn request() -> RollupRequest {
    RollupRequest {
        from_us: NOON_US - 15 * MINUTE_US,
        to_us: NOON_US + 15 * MINUTE_US,
        evaluated_at_us: NOON_US + 12 * MINUTE_US,
    }
}

/// A partial rollup of rows that come sorted, a few at a time.
fn part(rows: &mut Rows, rows_at_a_time: usize, request: RollupRequest) -> Partial {
    rows.sort_by(|a, b| (&a.host_id, a.as_of).cmp(&(&b.host_id, b.as_of)));
    let frames: Vec<DataFrame> = rows.chunks(rows_at_a_time).map(frame).collect();
    let source = Source::<Infallible>::sorted(frames.into_iter().map(Ok), None);
    Partial::compute(vec![source], request, RollupConfig::default()).unwrap()
}

fn check(hosts: &[Rows], files: &[DataFrame], config: RollupConfig) {
    let naive = Naive { request: request(), config };
    let expected: Vec<_> =
        hosts.iter().enumerate().flat_map(|(n, rows)| naive.host(&format!("host-{n}"), rows)).collect();
    let got = gold_rows(&rollup(files, request(), config).unwrap().rows);
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        for ((name, got), (_, expected)) in got.to_row().into_iter().zip(expected.to_row()) {
            assert_eq!(got, expected, "{name} of {}", HOST_METRICS.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn engine_equals_the_naive_reference(
        hosts in proptest::collection::vec(proptest::collection::vec(step(), 1..180), 1..3),
        cuts in proptest::collection::vec(0..360usize, 0..6),
        interval_minutes in proptest::sample::select(vec![1u32, 5, 15]),
    ) {
        let hosts: Vec<Rows> =
            hosts.iter().enumerate().map(|(n, steps)| samples(&format!("host-{n}"), steps)).collect();
        let all: Rows = hosts.iter().flatten().cloned().collect();
        // Files as they come: cut anywhere, the last one first.
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
        cuts.extend([0, all.len()]);
        cuts.sort_unstable();
        let mut files: Vec<DataFrame> = cuts.windows(2).map(|cut| frame(&all[cut[0]..cut[1]])).collect();
        files.reverse();
        check(&hosts, &files, RollupConfig::new(interval_minutes, 10).unwrap());
    }

    #[test]
    fn order_of_rows_does_not_matter(steps in proptest::collection::vec(step(), 1..120), seed in any::<u64>()) {
        let rows = samples("host-0", &steps);
        let mut shuffled = rows.clone();
        let mut state = seed | 1;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        check(&[rows], &[frame(&shuffled)], RollupConfig::default());
    }

    /// As files are read: sorted ones a few rows at a time, and each part of the range on its own.
    #[test]
    fn parts_that_are_joined_equal_the_whole(
        hosts in proptest::collection::vec(proptest::collection::vec(step(), 1..150), 1..4),
        cut_minutes in -14..14i64,
        rows_at_a_time in 1..40usize,
    ) {
        let hosts: Vec<Rows> =
            hosts.iter().enumerate().map(|(n, steps)| samples(&format!("host-{n}"), steps)).collect();
        let all: Rows = hosts.iter().flatten().cloned().collect();
        let config = RollupConfig::default();
        let whole = gold_rows(&rollup(&[frame(&all)], request(), config).unwrap().rows);
        let cut_us = (NOON_US + cut_minutes * MINUTE_US).div_euclid(config.bucket_us()) * config.bucket_us();
        let (mut early, mut late): (Rows, Rows) = all.into_iter().partition(|row| us(row) < cut_us);
        let mut first = part(&mut early, rows_at_a_time, RollupRequest { to_us: cut_us, ..request() });
        let mut second = part(&mut late, rows_at_a_time, RollupRequest { from_us: cut_us, ..request() });
        first.join_after(&second.ends());
        second.join_before(&first.ends());
        let mut joined = gold_rows(&first.into_frame().unwrap());
        joined.extend(gold_rows(&second.into_frame().unwrap()));
        joined.sort_by(|a, b| (&a.host_id, a.bucket_start).cmp(&(&b.host_id, b.bucket_start)));
        prop_assert_eq!(joined, whole);
    }

    #[test]
    fn a_range_is_the_sum_of_its_parts(steps in proptest::collection::vec(step(), 1..180)) {
        let file = [frame(&samples("host-0", &steps))];
        let whole = gold_rows(&rollup(&file, request(), RollupConfig::default()).unwrap().rows);
        let middle_us = NOON_US;
        let parts: Vec<_> = [
            RollupRequest { to_us: middle_us, ..request() },
            RollupRequest { from_us: middle_us, ..request() },
        ]
        .into_iter()
        .flat_map(|part| gold_rows(&rollup(&file, part, RollupConfig::default()).unwrap().rows))
        .collect();
        prop_assert_eq!(whole, parts);
    }
}

#[test]
fn rows_without_a_key_are_counted() {
    let mut rows = frame(&[sample("a", NOON_US), sample("b", NOON_US)]);
    let hosts = polars::prelude::Column::new("host_id".into(), [Some("a"), None]);
    rows.replace("host_id", hosts).unwrap();
    let result = rollup(&[rows], request(), RollupConfig::default()).unwrap();
    assert_eq!((result.rows.height(), result.unusable_rows), (1, 1));
}

#[test]
fn values_of_foreign_files_that_are_not_finite_are_absent() {
    let mut rows = vec![sample("a", NOON_US), sample("a", NOON_US + SECOND_US)];
    (rows[0].cpu_pct, rows[1].cpu_pct) = (Some(f64::NAN), Some(40.0));
    let gold = gold_rows(&rollup(&[frame(&rows)], request(), RollupConfig::default()).unwrap().rows);
    assert_eq!((gold[0].cpu_pct_max, gold[0].cpu_pct_avg), (Some(40.0), Some(40.0)));
}

#[test]
fn no_samples_make_no_rows() {
    for files in [vec![], vec![frame(&[])]] {
        let result = rollup(&files, request(), RollupConfig::default()).unwrap();
        assert_eq!(result.rows.height(), 0);
        assert_eq!(result.rows.width(), HostMetricsRollup::DATASET.columns.len());
        assert!(result.rows.get_column_names().iter().any(|name| name.as_str() == "bucket_start"));
    }
}
