#![allow(clippy::unwrap_used)]
//! Samples of clocks that are not right, and when they were really taken.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use telemetry_schema::{HOST_METRICS, HostId, Row as _, Value, host_metrics::names};

use super::*;
use crate::Lake;
use crate::faults::Faulty;
use crate::filesystem::Space;

const HOUR: i64 = 3_600;
/// When the machine of these tests is switched on, in seconds since 1970: ten minutes before midnight.
const START: i64 = 1_795_305_600 - 600;
/// What a clock shows that has never been set is so much too little.
const UNSET: i64 = -START;

/// A sample so many seconds after the start of a boot, by a clock that is off by so many.
fn sample(boot: &str, uptime: i64, off: i64, synced: Option<bool>) -> HostMetricsSample {
    let cell = |name| match name {
        names::as_of => Value::TimestampUs((START + uptime + off) * MICROS_PER_SECOND),
        names::host_id => Value::String("pi".into()),
        names::boot_id => Value::String(boot.to_owned().into()),
        names::uptime_seconds => Value::Float64(uptime as f64),
        names::clock_synced => synced.map_or(Value::Null, Value::Boolean),
        _ => Value::Null,
    };
    let cells: Vec<_> = HOST_METRICS.columns.iter().map(|column| cell(column.name)).collect();
    HostMetricsSample::from_values(&cells).unwrap()
}

fn clock(boot: &str, uptime: i64, off: i64, synced: Option<bool>) -> ClockReading {
    ClockReading {
        now: DateTime::from_timestamp(START + uptime + off, 0).unwrap(),
        boot_id: Some(boot.to_owned()),
        uptime_seconds: Some(uptime as f64),
        clock_synced: synced,
    }
}

/// For each sample how far it is from the truth, in seconds; `None` if it waits.
fn dated(samples: &[HostMetricsSample], clock: Option<ClockReading>) -> (Vec<Option<i64>>, usize) {
    let frames = (5..).zip(samples.iter().map(|sample| vec![sample.clone()])).collect();
    let found = date(frames, &[], clock.as_ref(), false);
    let off =
        |sample: &HostMetricsSample| sample.as_of.timestamp() - START - sample.uptime_seconds.unwrap() as i64;
    let mut all: Vec<_> = found.samples.iter().map(|(_, sample)| Some(off(sample))).collect();
    let waiting = found.held_from.map_or(0, |from| 5 + samples.len() - from as usize);
    all.extend(std::iter::repeat_n(None, waiting));
    (all, found.unknown.len())
}

/// A machine that has been switched on has taken a sample at once, and now its clock shows this.
fn first_sample(off: i64, synced: Option<bool>, now: Option<ClockReading>) -> Option<i64> {
    let (found, unknown) = dated(&[sample("a", 20, off, synced)], now);
    assert_eq!((found.len(), unknown), (1, 0));
    found[0]
}

#[test]
fn samples_wait_for_a_clock_that_is_right() {
    let minute = |off, synced| Some(clock("a", 60, off, synced));
    let unsynced = |now| first_sample(-HOUR, Some(false), now);
    assert_eq!(unsynced(minute(-HOUR, Some(false))), None);
    assert_eq!(unsynced(minute(0, Some(false))), None, "set, but by whom?");
    assert_eq!(unsynced(minute(0, Some(true))), Some(0));
    assert_eq!(unsynced(minute(0, None)), Some(0), "whoever said so before is gone");
    assert_eq!(unsynced(minute(-HOUR, Some(true))), Some(-HOUR), "it was right all the time");
    assert_eq!(unsynced(Some(clock("a", HOUR, -HOUR, Some(false)))), Some(-HOUR), "nobody will");
    assert_eq!(unsynced(Some(clock("a", HOUR, 0, Some(false)))), Some(0), "it was set by hand");
    assert_eq!(unsynced(None), None);
    let unset = |now| first_sample(UNSET, None, now);
    assert_eq!(unset(minute(UNSET, None)), None);
    assert_eq!(unset(Some(clock("a", 30 * HOUR, UNSET, Some(false)))), None, "an hour makes it no better");
    assert_eq!(unset(minute(0, None)), Some(0));
    assert_eq!(unset(minute(0, Some(false))), None);
}

#[test]
fn clocks_are_taken_at_their_word() {
    for synced in [Some(true), None] {
        let now = Some(clock("a", 60, 0, Some(true)));
        assert_eq!(first_sample(-HOUR, synced, now.clone()), Some(-HOUR));
        assert_eq!(first_sample(-HOUR, synced, None), Some(-HOUR));
    }
    let late = sample("a", HOUR, -HOUR, Some(false));
    assert_eq!(dated(&[late], Some(clock("a", 2 * HOUR, 0, Some(true)))).0, [Some(-HOUR)]);
    let anonymous = HostMetricsSample { boot_id: None, ..sample("a", 20, -HOUR, Some(false)) };
    assert!(!awaits_clock(&anonymous));
    assert_eq!(dated(&[anonymous], None).0, [Some(-HOUR)]);
}

#[test]
fn another_sample_of_the_boot_tells_too() {
    let before = sample("a", 20, -HOUR, Some(false));
    let samples = [before.clone(), sample("a", 30, 0, Some(true)), sample("a", 40, UNSET, None)];
    assert_eq!(dated(&samples, None).0, [Some(0), Some(0), Some(0)]);
    // The machine was switched off before its clock was right.
    let next = Some(clock("b", 5 * HOUR, 0, Some(true)));
    let by_hand = sample("a", 30, -9, Some(false));
    assert_eq!(dated(&[before.clone(), by_hand], next.clone()).0, [Some(-9), Some(-9)]);
    assert_eq!(dated(&[before], next.clone()), (vec![Some(-HOUR)], 0));
    assert_eq!(dated(&[sample("a", 20, UNSET, None)], next), (vec![], 1));
    // What waits holds back what comes after it, but not what came before.
    let samples = [sample("a", 900, 0, None), sample("b", 20, UNSET, None), sample("c", 20, 0, None)];
    let now = Some(clock("b", 30, UNSET, None));
    assert_eq!(dated(&samples, now).0, [Some(0), None, None]);
}

proptest! {
    /// A clock that is off at first, steps, and is synchronised some time later.
    #[test]
    fn no_sample_is_lost_and_all_are_right_once_the_clock_is(
        off in prop_oneof![Just(UNSET), -9 * HOUR..9 * HOUR],
        step in 0..HOUR,
        until_synced in 0..HOUR,
        now in 0..HOUR,
        batch in 1..9usize,
    ) {
        let synced = (step + until_synced).min(HOUR - 1);
        let off_at = |uptime| if uptime < step { off } else { 0 };
        let at = |uptime| sample("a", uptime, off_at(uptime), Some(uptime >= synced));
        let samples: Vec<_> = (0..=now).step_by(10).map(at).collect();
        let frames = (0..).zip(samples.chunks(batch).map(<[_]>::to_vec)).collect();
        let clock = clock("a", now, off_at(now), Some(now >= synced));
        let found = date(frames, &[], Some(&clock), false);
        if now < synced {
            prop_assert_eq!(found.held_from, Some(0));
        } else {
            prop_assert_eq!(found.held_from, None);
            prop_assert_eq!(found.samples.len(), samples.len());
            for ((_, found), taken) in found.samples.iter().zip(&samples) {
                let truth = START as f64 + taken.uptime_seconds.unwrap();
                prop_assert!((found.as_of.timestamp() as f64 - truth).abs() <= 2.0, "{}", found.as_of);
                prop_assert_eq!(&HostMetricsSample { as_of: taken.as_of, ..found.clone() }, taken);
            }
        }
    }
}

/// Uptime and time of all samples in Silver, in seconds since START.
fn silver(lake: &Lake) -> Vec<(i64, i64)> {
    let store = lake.host_metrics().store().clone();
    let names: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
    let mut found = Vec::new();
    for file in store.files(&crate::Selection::all()).unwrap() {
        let rows: Vec<HostMetricsSample> =
            crate::frame::rows_from_frame(&store.read(&file, &names).unwrap()).unwrap();
        let times =
            rows.iter().map(|row| (row.uptime_seconds.unwrap() as i64, row.as_of.timestamp() - START));
        found.extend(times);
    }
    found.sort_unstable();
    found
}

fn host() -> HostId {
    HostId::parse("pi").unwrap()
}

fn lake(directory: &Path, system: Faulty) -> (Lake, Arc<Faulty>) {
    let system =
        Arc::new(Faulty { space: Some(Space { free_bytes: 700_000, total_bytes: 1 << 20 }), ..system });
    (Lake::with_file_system(directory.join("lake"), Arc::clone(&system) as Arc<_>), system)
}

/// A machine starts in 1970 before midnight, and is dated after it: two files. Its clock steps by
/// another hour before the second attempt.
fn publish_twice(lake: &Lake) -> bool {
    let attempt = |off| -> Result<(), crate::RepositoryError> {
        let mut spool = lake.open_spool(&host())?;
        if off == 0 {
            let mut samples = [300, 900].map(|uptime| sample("a", uptime, UNSET, None));
            spool.append(&mut samples, None, true)?;
        }
        spool.set_clock(clock("a", 1_000, off, Some(true)));
        spool.publish().map(drop)
    };
    let first = attempt(0);
    attempt(HOUR).or_else(|_| attempt(HOUR)).unwrap();
    first.is_ok()
}

#[test]
fn a_publication_that_failed_dates_its_samples_as_it_did() {
    let calls = {
        let directory = tempfile::tempdir().unwrap();
        let (lake, system) = lake(directory.path(), Faulty::default());
        assert!(publish_twice(&lake));
        assert_eq!(silver(&lake), [(300, 300), (900, 900)]);
        system.log().len()
    };
    let mut dated_later = 0;
    for call in 1..=calls {
        let directory = tempfile::tempdir().unwrap();
        let (lake, _) = lake(directory.path(), Faulty::failing_at(call, std::io::ErrorKind::Other));
        publish_twice(&lake);
        let seen = silver(&lake);
        let later = vec![(300, 300 + HOUR), (900, 900 + HOUR)];
        dated_later += usize::from(seen == later);
        assert!(seen.is_empty() || seen == later || seen == [(300, 300), (900, 900)], "{call}: {seen:?}");
    }
    assert!(dated_later > 0, "the first attempt never failed before it was announced");
}

#[test]
fn what_nobody_can_date_is_set_aside_once() {
    let directory = tempfile::tempdir().unwrap();
    let (lake, _) = lake(directory.path(), Faulty::default());
    let mut spool = lake.open_spool(&host()).unwrap();
    let mut unset = [sample("a", 20, UNSET, None), sample("a", 30, UNSET, None)];
    unset[1].cpu_pct = Some(-1.0);
    let appended = spool.append(&mut unset, None, true).unwrap();
    assert_eq!((appended.rows, appended.refused[0].as_of), (1, unset[1].as_of), "other rules hold");
    spool.set_clock(clock("a", 40, UNSET, None));
    assert_eq!(spool.publish().unwrap().held, 1);
    assert_eq!(spool.waiting().samples, 1);
    spool.append(&mut [sample("b", 20, 0, None)], None, true).unwrap();
    spool.set_clock(clock("b", 30, 0, None));
    let appended = spool.publish().unwrap();
    assert_eq!((appended.rows, appended.held, spool.waiting().samples), (1, 0, 0));
    let aside = appended.undated.unwrap();
    assert!(aside.starts_with(lake.root().join(".quarantine/.spool/pi")));
    let text = std::fs::read_to_string(aside).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), rows[0][names::uptime_seconds].as_f64()), (1, Some(20.0)));
    let mut anonymous = [HostMetricsSample { boot_id: None, ..sample("b", 50, UNSET, None) }];
    assert_eq!(spool.append(&mut anonymous, None, true).unwrap().refused.len(), 1);
}

/// What happens to a machine.
#[derive(Debug, Clone)]
enum Event {
    /// So many samples, ten seconds apart, appended together.
    Samples(usize),
    Publish,
    /// The clock is off by so much from now on, unless it is synchronised.
    Step(i64),
    Synchronise,
    /// It starts anew, and its clock is off by so much.
    Boot(i64),
    Pass(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let off = || prop_oneof![Just(UNSET), -9 * HOUR..9 * HOUR];
    prop_oneof![
        4 => (1..4usize).prop_map(Event::Samples),
        3 => Just(Event::Publish),
        1 => off().prop_map(Event::Step),
        1 => Just(Event::Synchronise),
        1 => off().prop_map(Event::Boot),
        1 => (1..HOUR).prop_map(Event::Pass),
    ]
}

/// A machine, its clock, and all samples that it has taken: their boot and age.
struct Machine {
    lake: Lake,
    now: i64,
    boots: Vec<i64>,
    off: i64,
    is_synced: bool,
    taken: Vec<(usize, i64)>,
    /// At which age of each boot a run saw a synchronised clock.
    synced: BTreeMap<usize, i64>,
}

impl Machine {
    fn boot(&self) -> usize {
        self.boots.len() - 1
    }

    fn uptime(&self) -> i64 {
        self.now - self.boots[self.boot()]
    }

    /// As [`sample`], at an age of this boot.
    fn sample(&self) -> HostMetricsSample {
        let off = self.off + self.boots[self.boot()];
        sample(&self.boot().to_string(), self.uptime(), off, Some(self.is_synced))
    }

    fn clock(&self) -> ClockReading {
        let off = self.off + self.boots[self.boot()];
        clock(&self.boot().to_string(), self.uptime(), off, Some(self.is_synced))
    }

    fn meets(&mut self, event: &Event) {
        let mut spool = self.lake.open_spool(&host()).unwrap();
        match event {
            Event::Samples(count) => {
                let mut samples = Vec::new();
                for _ in 0..*count {
                    self.now += 10;
                    self.taken.push((self.boot(), self.uptime()));
                    samples.push(self.sample());
                }
                assert_eq!(spool.append(&mut samples, None, true).unwrap().rows, *count);
            }
            Event::Publish => {
                spool.set_clock(self.clock());
                spool.publish().unwrap();
            }
            Event::Step(off) if !self.is_synced => self.off = *off,
            Event::Step(_) => {}
            Event::Synchronise => {
                (self.off, self.is_synced) = (0, true);
            }
            Event::Boot(off) => {
                self.now += 60;
                self.boots.push(self.now);
                (self.off, self.is_synced) = (*off, false);
            }
            Event::Pass(seconds) => self.now += seconds,
        }
        if self.is_synced && matches!(event, Event::Samples(_) | Event::Publish) {
            let (boot, uptime) = (self.boot(), self.uptime());
            self.synced.entry(boot).or_insert(uptime);
        }
    }

    /// All samples that are somewhere, and of those in Silver how far they are from the truth.
    fn found(&self) -> Vec<(usize, i64, Option<i64>)> {
        let store = self.lake.host_metrics().store().clone();
        let names: Vec<_> = HOST_METRICS.columns.iter().map(|column| column.name).collect();
        let mut rows = Vec::new();
        for file in store.files(&crate::Selection::all()).unwrap() {
            let frame = store.read(&file, &names).unwrap();
            rows.extend(crate::frame::rows_from_frame::<HostMetricsSample>(&frame).unwrap());
        }
        let aside = self.lake.root().join(".quarantine/.spool/pi");
        let aside = std::fs::read_dir(aside).into_iter().flatten().flatten();
        let lines: String = aside.map(|file| std::fs::read_to_string(file.path()).unwrap()).collect();
        let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let undated = lines.map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().parse().unwrap();
            (text(names::boot_id), row[names::uptime_seconds].as_f64().unwrap() as i64, None)
        });
        let dated = rows.iter().map(|row| {
            let boot: usize = row.boot_id.as_ref().unwrap().parse().unwrap();
            let uptime = row.uptime_seconds.unwrap() as i64;
            (boot, uptime, Some(row.as_of.timestamp() - START - self.boots[boot] - uptime))
        });
        let mut found: Vec<_> = dated.chain(undated).collect();
        found.sort_unstable();
        found
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_each_sample_is_somewhere_once(
        off in prop_oneof![Just(UNSET), -9 * HOUR..9 * HOUR],
        events in proptest::collection::vec(event(), 1..24),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (lake, _) = lake(directory.path(), Faulty::default());
        let mut machine = Machine {
            lake, now: 0, boots: vec![0], off, is_synced: false, taken: Vec::new(), synced: Default::default(),
        };
        for event in events.iter().chain(&[Event::Synchronise, Event::Publish]) {
            machine.meets(event);
        }
        prop_assert_eq!(machine.lake.open_spool(&host()).unwrap().waiting().samples, 0);
        let found = machine.found();
        let ages: Vec<_> = found.iter().map(|(boot, uptime, _)| (*boot, *uptime)).collect();
        prop_assert_eq!(&ages, &machine.taken);
        for (boot, uptime, off) in found {
            let synced = machine.synced.get(&boot).copied();
            if synced.is_some_and(|synced| synced < HOUR || uptime > synced) {
                prop_assert!(off.is_some_and(|off| off.abs() <= 2), "{} s of boot {}: {:?}", uptime, boot, off);
            }
        }
    }
}
