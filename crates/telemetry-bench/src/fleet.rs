//! Hosts, a day at a time.

use std::ops::Range;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use telemetry_schema::{HostMetricsSample, MICROS_PER_DAY};

use crate::faults::{Faults, Taken, kind};
use crate::machine::{Kind, Machine};
use crate::random::Random;

const MINUTE_US: i64 = 60_000_000;
const SECOND_US: i64 = 1_000_000;
/// Streams of random numbers that belong to one host.
const STREAMS_PER_HOST: u64 = 4;

/// What happens to the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// TSBS-like: nothing ever goes wrong
    Steady,
    /// Everything goes wrong, often
    Faulty,
}

/// Which samples are made. The same values make the same samples, on every machine.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Number of hosts.
    pub hosts: u32,
    /// First UTC date.
    pub from: NaiveDate,
    /// Number of dates.
    pub days: u32,
    /// Samples later than this are left out.
    pub until: Option<DateTime<Utc>>,
    /// Samples up to this instant are left out.
    pub after: Option<DateTime<Utc>>,
    /// Time between samples, in seconds.
    pub interval_seconds: u32,
    /// Seed.
    pub seed: u64,
    /// What happens.
    pub profile: Profile,
}

/// What one host delivers of one date.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostDay {
    /// The rows of each minute, in the order in which they were taken.
    pub minutes: Vec<Vec<HostMetricsSample>>,
    /// Files that are delivered after the next date.
    pub late: Vec<Vec<HostMetricsSample>>,
}

/// The hosts; an iterator over dates, each with what every host delivers.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    next: u32,
    hosts: Vec<Host>,
}

#[derive(Debug)]
struct Host {
    machine: Machine,
    faults: Option<Faults>,
}

impl Fleet {
    /// The hosts before their first sample.
    pub fn new(options: FleetOptions) -> Self {
        let start_us = midnight_us(options.from);
        let hosts = (0..options.hosts).map(|index| Host::new(index, &options, start_us)).collect();
        Self { options, next: 0, hosts }
    }
}

impl Iterator for Fleet {
    type Item = (NaiveDate, Vec<HostDay>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.options.days {
            return None;
        }
        let date = self.options.from.checked_add_days(Days::new(self.next.into()))?;
        self.next += 1;
        let start_us = midnight_us(date);
        let until_us = self.options.until.map_or(i64::MAX, |until| until.timestamp_micros());
        let end_us = (start_us + MICROS_PER_DAY).min(until_us.saturating_add(1));
        let step_us = i64::from(self.options.interval_seconds) * SECOND_US;
        let after_us = self.options.after.map_or(i64::MIN, |after| after.timestamp_micros());
        let days = self.hosts.iter_mut().map(|host| host.day(start_us..end_us, step_us, after_us)).collect();
        Some((date, days))
    }
}

impl Host {
    fn new(index: u32, options: &FleetOptions, start_us: i64) -> Self {
        let host_id = format!("host-{index:05}");
        let stream = |number: u64| Random::new(options.seed, u64::from(index) * STREAMS_PER_HOST + number);
        let kind = match options.profile {
            Profile::Steady => Kind::Server,
            Profile::Faulty => kind(index),
        };
        let machine =
            |host_id, random| Machine::new(host_id, kind, options.interval_seconds, start_us, random);
        let faults = (options.profile == Profile::Faulty)
            .then(|| Faults::new(machine(host_id.clone(), stream(1)), stream(2)));
        Self { machine: machine(host_id, stream(0)), faults }
    }

    /// Samples up to `after_us` are taken, and forgotten.
    fn day(&mut self, range_us: Range<i64>, step_us: i64, after_us: i64) -> HostDay {
        let mut day = HostDay::default();
        let (mut rows, mut late) = (Vec::new(), Vec::new());
        let mut minute = range_us.start / MINUTE_US;
        for at_us in range_us.step_by(step_us as usize) {
            if at_us / MINUTE_US != minute {
                day.minutes.push(std::mem::take(&mut rows));
                minute = at_us / MINUTE_US;
            }
            let Some(faults) = &mut self.faults else {
                let row = self.machine.sample(at_us, 0);
                if at_us > after_us {
                    rows.push(row);
                }
                continue;
            };
            for Taken { row, is_late } in faults.sample(&mut self.machine, at_us) {
                if at_us <= after_us {
                    continue;
                }
                if is_late {
                    late.push(row);
                } else {
                    day.late.push(std::mem::take(&mut late));
                    rows.push(row);
                }
            }
        }
        day.minutes.push(rows);
        day.late.push(late);
        day.minutes.retain(|rows| !rows.is_empty());
        day.late.retain(|rows| !rows.is_empty());
        day
    }
}

fn midnight_us(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
}
