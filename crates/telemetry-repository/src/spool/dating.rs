//! When samples were taken whose clock was not right: by the time since boot, as soon as a clock that
//! is right has been read in the same boot.
//!
//! Machines without a battery start in the past, and step when they reach a time server. Silver is
//! immutable, so such samples wait.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use telemetry_schema::{FIRST_MEASURED_US, HostMetricsSample, MICROS_PER_SECOND};

use super::frame::u64_at;
use crate::host_metrics::{Appended, accept};

/// How long after its start a machine is waited for: one without any time server is then taken at its
/// word.
const CLOCK_WAIT_SECONDS: f64 = 3_600.0;

/// A clock that is nearer to another than this has not stepped, as for rates: the difference is what
/// reading it and the time since boot took.
const STEP_US: i64 = 2 * MICROS_PER_SECOND;

/// A publication says of so many boots how it dated them; those of all others are over, so that they
/// are dated the same way each time.
const MOST_ANNOUNCED: usize = 16;

/// What a machine says of its clock at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct ClockReading {
    /// The time that it shows.
    pub now: DateTime<Utc>,
    /// The kernel's identifier of this boot.
    pub boot_id: Option<String>,
    /// Seconds since boot, suspension included.
    pub uptime_seconds: Option<f64>,
    /// Whether the clock is called synchronised.
    pub clock_synced: Option<bool>,
}

/// Whether the instant of a sample is not known yet but may become so: its clock shows a time before
/// the first release, or is not synchronised within an hour of the start of the machine. Such samples
/// belong into the spool. A sample without `boot_id` and `uptime_seconds` is taken at its word.
pub fn awaits_clock(sample: &HostMetricsSample) -> bool {
    Reading::of_sample(sample).is_some_and(|reading| reading.awaits())
}

/// A clock and the time since boot, read together.
#[derive(Debug, Clone, Copy)]
struct Reading<'a> {
    shown_us: i64,
    boot_id: &'a str,
    uptime_seconds: f64,
    is_synced: Option<bool>,
}

impl<'a> Reading<'a> {
    fn of_sample(sample: &'a HostMetricsSample) -> Option<Self> {
        Some(Self {
            shown_us: sample.as_of.timestamp_micros(),
            boot_id: sample.boot_id.as_deref()?,
            uptime_seconds: sample.uptime_seconds?,
            is_synced: sample.clock_synced,
        })
    }

    fn of_machine(clock: &'a ClockReading) -> Option<Self> {
        Some(Self {
            shown_us: clock.now.timestamp_micros(),
            boot_id: clock.boot_id.as_deref()?,
            uptime_seconds: clock.uptime_seconds?,
            is_synced: clock.clock_synced,
        })
    }

    /// The instant of the start, by this clock.
    fn booted_us(&self) -> i64 {
        self.shown_us.saturating_sub(microseconds(self.uptime_seconds))
    }

    fn is_set(&self) -> bool {
        self.shown_us >= FIRST_MEASURED_US
    }

    fn awaits(&self) -> bool {
        !self.is_set() || self.is_synced == Some(false) && self.uptime_seconds < CLOCK_WAIT_SECONDS
    }
}

fn microseconds(seconds: f64) -> i64 {
    (seconds * MICROS_PER_SECOND as f64).round() as i64
}

/// What becomes of the samples of one boot whose clock was not right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// They are not published yet.
    Wait,
    /// They are dated by the instant of the start, in microseconds since 1970.
    Booted(i64),
    /// The boot is over, and no clock was right in it.
    Unknown,
}

/// What a publication is about, as it is said in the journal: a second attempt must date those samples
/// as the first one did, or would not find them in Silver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Announcement {
    /// The frames before this one.
    pub(super) up_to: u64,
    /// The instants of starts by which samples were dated, by [`boot_key`].
    pub(super) booted: Vec<(u64, i64)>,
}

impl Announcement {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.up_to.to_le_bytes().to_vec();
        for (key, booted_us) in self.booted.iter().take(MOST_ANNOUNCED) {
            bytes.extend(key.to_le_bytes());
            bytes.extend(booted_us.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let up_to = u64_at(payload, 0)?;
        let pair = |at| Some((u64_at(payload, at)?, u64_at(payload, at + 8)?.cast_signed()));
        Some(Self { up_to, booted: (8..payload.len()).step_by(16).map_while(pair).collect() })
    }
}

/// Stands for a boot's identifier.
fn boot_key(boot_id: &str) -> u64 {
    u64_at(blake3::hash(boot_id.as_bytes()).as_bytes(), 0).unwrap_or_default()
}

/// Samples whose instant is known, and the others.
#[derive(Debug, Default)]
pub(super) struct Dated {
    /// With the numbers of their frames.
    pub(super) samples: Vec<(u64, HostMetricsSample)>,
    /// Samples of which nobody will ever know when they were taken.
    pub(super) unknown: Vec<HostMetricsSample>,
    /// The first frame with a sample that waits: it and those after it stay.
    pub(super) held_from: Option<u64>,
    /// For [`Announcement::booted`].
    pub(super) booted: Vec<(u64, i64)>,
}

/// Dates the samples of frames, which are in the order of their numbers. `clock` is that of the machine
/// now: without it, samples wait that only it could date. Where there is little room, samples do not
/// wait for a clock that is set but not synchronised.
pub(super) fn date(
    frames: Vec<(u64, Vec<HostMetricsSample>)>,
    announced: &[Announcement],
    clock: Option<&ClockReading>,
    has_little_room: bool,
) -> Dated {
    let decisions = decide(&frames, clock.and_then(Reading::of_machine), has_little_room);
    let mut dated = Dated::default();
    for (sequence, samples) in frames {
        let before = announced.iter().find(|announcement| announcement.up_to > sequence);
        let decision = |boot_id: &str| {
            let said = before.and_then(|before| booted(&before.booted, boot_id));
            said.map_or_else(
                || decisions.get(boot_id).copied(),
                |booted_us| Some(Decision::Booted(booted_us)),
            )
        };
        let awaited = |sample: &HostMetricsSample| {
            Reading::of_sample(sample).filter(Reading::awaits).and_then(|reading| decision(reading.boot_id))
        };
        if samples.iter().any(|sample| awaited(sample) == Some(Decision::Wait)) {
            dated.held_from = Some(sequence);
            break;
        }
        for mut sample in samples {
            match awaited(&sample) {
                Some(Decision::Booted(booted_us)) if !redate(&mut sample, booted_us) => {
                    dated.unknown.push(sample);
                }
                Some(Decision::Unknown) => dated.unknown.push(sample),
                _ => dated.samples.push((sequence, sample)),
            }
        }
    }
    dated.booted = decisions
        .iter()
        .filter_map(|(boot_id, decision)| match decision {
            Decision::Booted(booted_us) => Some((boot_key(boot_id), *booted_us)),
            Decision::Wait | Decision::Unknown => None,
        })
        .collect();
    // The boot that is not over comes first: only its samples could be dated otherwise the next time.
    let current = clock.and_then(|clock| clock.boot_id.as_deref()).map(boot_key);
    dated.booted.sort_by_key(|(key, _)| Some(*key) != current);
    dated
}

fn booted(announced: &[(u64, i64)], boot_id: &str) -> Option<i64> {
    let key = boot_key(boot_id);
    announced.iter().find(|(other, _)| *other == key).map(|(_, booted_us)| *booted_us)
}

fn decide(
    frames: &[(u64, Vec<HostMetricsSample>)],
    clock: Option<Reading<'_>>,
    has_little_room: bool,
) -> BTreeMap<String, Decision> {
    let mut boots: BTreeMap<&str, Vec<Reading<'_>>> = BTreeMap::new();
    for reading in frames.iter().flat_map(|(_, samples)| samples).filter_map(Reading::of_sample) {
        boots.entry(reading.boot_id).or_default().push(reading);
    }
    boots.retain(|_, readings| readings.iter().any(Reading::awaits));
    let decision = |boot_id: &str, readings: &[Reading<'_>]| {
        let is_over = clock.is_some_and(|clock| clock.boot_id != boot_id);
        let here = clock.filter(|clock| {
            clock.boot_id == boot_id && clock.is_set() && (has_little_room || !clock.awaits())
        });
        let mut newest = readings.iter().rev().copied();
        let right = here.or_else(|| newest.clone().find(|reading| !reading.awaits()));
        // The best that is left of a boot that is over.
        let right = right.or_else(|| newest.find(|reading| is_over && reading.is_set()));
        match right {
            Some(right) => Decision::Booted(right.booted_us()),
            None if is_over => Decision::Unknown,
            None => Decision::Wait,
        }
    };
    boots.iter().map(|(boot_id, readings)| ((*boot_id).to_owned(), decision(boot_id, readings))).collect()
}

/// Moves a sample to where it belongs, unless it is there; whether that is a time that can be.
fn redate(sample: &mut HostMetricsSample, booted_us: i64) -> bool {
    let Some(reading) = Reading::of_sample(sample) else { return true };
    let is_there = reading.is_set() && reading.booted_us().abs_diff(booted_us) <= STEP_US.unsigned_abs();
    if !is_there {
        let taken_us = booted_us.saturating_add(microseconds(reading.uptime_seconds));
        let Some(taken) = DateTime::from_timestamp_micros(taken_us) else { return false };
        sample.as_of = taken.round_subsecs(3);
    }
    sample.as_of.timestamp_micros() >= FIRST_MEASURED_US
}

/// As [`accept`], but a sample whose clock is not set is accepted if it can be dated later.
pub(super) fn accept_undated(
    samples: &[HostMetricsSample],
    appended: &mut Appended,
) -> Vec<HostMetricsSample> {
    let first = DateTime::from_timestamp_micros(FIRST_MEASURED_US).unwrap_or_default();
    let mut accepted = Vec::with_capacity(samples.len());
    for sample in samples {
        let shown = sample.as_of;
        let is_set = shown >= first;
        let dated = if is_set || !awaits_clock(sample) { shown } else { first };
        let (refused, nulled) = (appended.refused.len(), appended.nulled.len());
        for sample in accept(&[HostMetricsSample { as_of: dated, ..sample.clone() }], appended) {
            accepted.push(HostMetricsSample { as_of: shown, ..sample });
        }
        appended.refused[refused..].iter_mut().for_each(|refused| refused.as_of = shown);
        appended.nulled[nulled..].iter_mut().for_each(|nulled| nulled.as_of = shown);
    }
    accepted
}

#[cfg(test)]
#[path = "dating_tests.rs"]
mod tests;
