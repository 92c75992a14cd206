//! A run: samples by the schedule, stored together.

use std::collections::VecDeque;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use telemetry_app::{Exit, PrintFormat, print_rows};
use telemetry_provider::Sampler;
use telemetry_schema::{HostMetricsSample, missing_required};

use crate::schedule::Schedule;
use crate::stop::Stop;
use crate::store::Store;

/// How many samples wait in memory while the lake cannot be written: a day's at the usual interval.
const MOST_PENDING: usize = 8_640;

pub(crate) struct Collector {
    sampler: Sampler,
    store: Store,
    print: Option<PrintFormat>,
    pending: VecDeque<HostMetricsSample>,
    /// Required columns that the last sample lacked.
    missing: Vec<&'static str>,
    is_incomplete: bool,
    is_stopped: bool,
}

impl Collector {
    pub(crate) fn new(sampler: Sampler, store: Store, print: Option<PrintFormat>) -> Self {
        Self {
            sampler,
            store,
            print,
            pending: VecDeque::new(),
            missing: Vec::new(),
            is_incomplete: false,
            is_stopped: false,
        }
    }

    /// Samples until the schedule ends or somebody stops the run, and stores everything.
    pub(crate) fn run(&mut self, schedule: &Schedule, stop: &Stop) -> anyhow::Result<Exit> {
        let by_the_minute = schedule.samples().is_none() || self.store.wants_each_minute();
        self.store.publish_if_due(Utc::now(), TimeDelta::zero());
        if let Some(window) = self.sampler.prime() {
            self.is_stopped = stop.wait(window);
        }
        let mut taken = 0;
        while !self.is_stopped {
            let last = Utc::now();
            self.take_sample(last);
            taken += 1;
            let (now, begun) = (Utc::now(), Instant::now());
            let Some(wait) = schedule.wait(taken, last, now) else { break };
            let is_minute_over =
                || self.oldest().is_some_and(|oldest| schedule.is_minute_over(oldest, now, wait));
            if self.store.wants_each_sample() || by_the_minute && is_minute_over() {
                self.store_or_keep();
                self.store.publish_if_due(now, TimeDelta::from_std(wait).unwrap_or_default());
            }
            // Storing took part of the wait; the clock may have stepped meanwhile.
            self.is_stopped = stop.wait(wait.saturating_sub(begun.elapsed()));
        }
        self.store_pending()?;
        // The next run's first sample follows after the interval.
        self.store.publish_if_due(Utc::now(), schedule.interval());
        self.is_incomplete |= self.store.is_incomplete;
        Ok(self.exit(schedule, taken))
    }

    fn exit(&self, schedule: &Schedule, taken: u32) -> Exit {
        match schedule.samples() {
            // A service that is told to end has done its work; what was missing was said then.
            None => Exit::Done,
            Some(samples) => {
                if self.is_stopped {
                    tracing::warn!(taken, samples, "stopped before the last sample");
                } else if taken < samples {
                    tracing::warn!(taken, samples, "began late, so the run ends before the next one begins");
                }
                if self.is_incomplete || self.is_stopped { Exit::Incomplete } else { Exit::Done }
            }
        }
    }

    fn oldest(&self) -> Option<DateTime<Utc>> {
        self.pending.front().map(|sample| sample.as_of)
    }

    fn take_sample(&mut self, as_of: DateTime<Utc>) {
        let sample = self.sampler.sample(as_of);
        let missing = missing_required(&sample);
        self.is_incomplete |= !missing.is_empty();
        if missing != self.missing && !missing.is_empty() {
            tracing::warn!(
                columns = missing.join(", "),
                "required values could not be read, stored as null (-vv says why)"
            );
        }
        self.missing = missing;
        self.pending.push_back(sample);
        if self.pending.len() > MOST_PENDING {
            self.pending.pop_front();
            tracing::error!(kept = MOST_PENDING, "lake cannot be written for long, oldest sample dropped");
        }
    }

    /// A run outlives a lake that cannot be written for a while.
    fn store_or_keep(&mut self) {
        if let Err(error) = self.store_pending() {
            let (help, waiting) = (self.store.help(&error), self.pending.len());
            let error = format!("{error:#}");
            tracing::error!(error, help, waiting, "samples cannot be stored, trying again in a minute");
        }
    }

    fn store_pending(&mut self) -> anyhow::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let baseline = self.sampler.cpu_baseline().map(|baseline| serde_json::to_string(&baseline));
        let baseline = baseline.transpose()?;
        self.store.store(self.pending.make_contiguous(), baseline.as_deref())?;
        if let Some(format) = self.print {
            print_rows(self.pending.make_contiguous(), format)?;
        }
        self.pending.clear();
        Ok(())
    }
}
