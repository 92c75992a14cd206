//! When samples are taken: the first at once, the others at full multiples of the interval, so that
//! all hosts of a lake sample at the same instants and a run of cron continues the one before.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A run that cron begins every minute must be over before the next one begins, or that one finds
/// the lock taken.
const REST_BEFORE_NEXT_RUN: TimeDelta = TimeDelta::seconds(5);

/// Two samples closer than this (or than half the interval) say little about what lies between them:
/// the first sample of a run stands in for a tick that follows at once.
const SHORTEST_GAP: TimeDelta = TimeDelta::milliseconds(500);

/// The instants of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval: TimeDelta,
    /// How many samples to take; `None` without end.
    samples: Option<u32>,
    /// When a scheduler begins the next run, if it does.
    next_run: Option<NextRun>,
}

/// When a scheduler begins the next run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NextRun {
    at: DateTime<Utc>,
    /// And again each time after this.
    every: TimeDelta,
}

impl NextRun {
    /// Whether a sample at `tick` would be in its way. One whose time has passed began and found this
    /// run at work, or the clock was set: then it is the one that comes after it.
    fn is_hindered_by(&self, tick: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let passed = (now - self.at).num_seconds().div_euclid(self.every.num_seconds()) + 1;
        let skipped = i32::try_from(passed.max(0)).unwrap_or(i32::MAX);
        tick >= self.at + self.every * skipped - REST_BEFORE_NEXT_RUN
    }
}

impl Schedule {
    /// Until the process is stopped.
    pub(crate) fn endless(interval_seconds: u32) -> Self {
        Self { interval: TimeDelta::seconds(interval_seconds.into()), samples: None, next_run: None }
    }

    /// So many samples. Samples that fill whole minutes are a scheduler's work, as cron's minute of six
    /// every ten seconds: they are over in time for the run that begins next, counted from the minute
    /// of the start.
    pub(crate) fn burst(samples: u32, interval_seconds: u32, started: DateTime<Utc>) -> Self {
        let interval = TimeDelta::seconds(interval_seconds.into());
        let seconds = i64::from(samples) * i64::from(interval_seconds);
        let minute = started.timestamp().div_euclid(60) * 60;
        let next_run = DateTime::from_timestamp(minute + seconds, 0).filter(|_| seconds % 60 == 0);
        let next_run = next_run.map(|at| NextRun { at, every: TimeDelta::seconds(seconds) });
        Self { interval, samples: Some(samples), next_run }
    }

    /// Number of samples, if the run ends by itself.
    pub(crate) fn samples(&self) -> Option<u32> {
        self.samples
    }

    /// The time between two samples.
    pub(crate) fn interval(&self) -> TimeDelta {
        self.interval
    }

    /// How long to wait for the next sample after the `taken`-th, which was taken at `last`; `None`
    /// when the run is over. Never longer than the interval and the shortest gap, whatever the clock
    /// does.
    pub(crate) fn wait(&self, taken: u32, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
        if self.samples.is_some_and(|samples| taken >= samples) {
            return None;
        }
        let earliest = now.max(last + SHORTEST_GAP.min(self.interval / 2));
        let tick = self.tick_after(if last > now { now } else { earliest })?;
        if self.next_run.as_ref().is_some_and(|next| next.is_hindered_by(tick, now)) {
            return None;
        }
        (tick - now).to_std().ok()
    }

    /// The first full multiple of the interval after the instant.
    fn tick_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let interval = self.interval.num_microseconds()?;
        let ticks = at.timestamp_micros().div_euclid(interval) + 1;
        DateTime::from_timestamp_micros(ticks.checked_mul(interval)?)
    }

    /// Whether the samples that wait since `oldest` are to be published before the next sample, which
    /// comes after `wait`: files hold the samples of one minute.
    pub(crate) fn is_minute_over(&self, oldest: DateTime<Utc>, now: DateTime<Utc>, wait: Duration) -> bool {
        let next = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        let minute = |at: DateTime<Utc>| at.timestamp().div_euclid(60);
        minute(next) != minute(oldest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    /// The instants of all samples if each takes no time.
    fn instants(schedule: &Schedule, start: &str) -> Vec<String> {
        let mut now = at(start);
        let mut taken = vec![now];
        while let Some(wait) = schedule.wait(taken.len() as u32, now, now) {
            now += TimeDelta::from_std(wait).unwrap();
            taken.push(now);
        }
        taken.iter().map(|at| at.format("%H:%M:%S%.3f").to_string()).collect()
    }

    fn cron_minute(start: &str) -> Vec<String> {
        instants(&Schedule::burst(6, 10, at(start)), start)
    }

    #[test]
    fn the_cron_minute_is_over_before_the_next_one() {
        let all =
            ["12:00:00.700", "12:00:10.000", "12:00:20.000", "12:00:30.000", "12:00:40.000", "12:00:50.000"];
        assert_eq!(cron_minute("12:00:00.700"), all);
        assert_eq!(cron_minute("12:00:09.000")[1], "12:00:10.000");
        assert_eq!(cron_minute("12:00:09.800")[1], "12:00:20.000", "two samples at once");
        assert_eq!(cron_minute("12:00:47"), ["12:00:47.000", "12:00:50.000"]);
        assert_eq!(cron_minute("12:00:58"), ["12:00:58.000"]);
    }

    #[test]
    fn a_long_burst_may_pass_minutes() {
        let three = Schedule::burst(3, 60, at("12:00:01"));
        assert_eq!(instants(&three, "12:00:01"), ["12:00:01.000", "12:01:00.000", "12:02:00.000"]);
        let half_a_minute = Schedule::burst(3, 10, at("12:00:41"));
        assert_eq!(instants(&half_a_minute, "12:00:41"), ["12:00:41.000", "12:00:50.000", "12:01:00.000"]);
        let one = Schedule::burst(1, 10, at("12:00:59.999"));
        assert_eq!(instants(&one, "12:00:59.999").len(), 1);
    }

    #[test]
    fn a_clock_that_steps_does_not_stretch_the_wait() {
        let schedule = Schedule::endless(10);
        let back = schedule.wait(1, at("13:00:00"), at("12:00:03")).unwrap();
        assert_eq!(back, Duration::from_secs(7));
        let forward = schedule.wait(1, at("12:00:00"), at("13:00:03")).unwrap();
        assert_eq!(forward, Duration::from_secs(7));
    }

    #[test]
    fn a_clock_that_steps_costs_a_run_of_cron_no_sample() {
        let minute = Schedule::burst(6, 10, at("12:00:00.700"));
        let rest = |step: &str, taken: u32| {
            let mut now = at(step);
            let mut instants = Vec::new();
            while let Some(wait) = minute.wait(taken + instants.len() as u32, now, now) {
                now += TimeDelta::from_std(wait).unwrap();
                instants.push(now.format("%H:%M:%S").to_string());
            }
            instants
        };
        assert_eq!(rest("12:00:20", 3), ["12:00:30", "12:00:40", "12:00:50"]);
        assert_eq!(rest("13:00:20", 3), ["13:00:30", "13:00:40", "13:00:50"]);
        assert_eq!(rest("11:00:20", 3), ["11:00:30", "11:00:40", "11:00:50"]);
        assert_eq!(rest("13:00:40", 3), ["13:00:50"], "the next run begins");
        assert_eq!(rest("11:59:50", 3), ["12:00:00", "12:00:10", "12:00:20"]);
    }

    #[test]
    fn a_wake_a_little_early_is_no_further_sample() {
        let schedule = Schedule::endless(10);
        let woken = at("12:00:09.999");
        assert_eq!(schedule.wait(1, woken, woken).unwrap(), Duration::from_millis(10_001));
        let seconds = Schedule::endless(1);
        assert_eq!(seconds.wait(1, woken, woken).unwrap(), Duration::from_millis(1_001));
    }

    #[test]
    fn files_hold_the_samples_of_one_minute() {
        let schedule = Schedule::endless(10);
        let over = |oldest, now| schedule.is_minute_over(at(oldest), at(now), Duration::from_secs(10));
        assert!(!over("12:00:00", "12:00:40"));
        assert!(over("12:00:00", "12:00:50"));
        assert!(over("12:00:00", "12:07:20"));
    }
}
