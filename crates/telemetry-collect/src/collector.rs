//! A run: samples by the schedule, published together.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use telemetry_app::{Exit, PrintFormat, print_rows, with_lake_hint};
use telemetry_provider::Sampler;
use telemetry_repository::{Appended, Lake};
use telemetry_schema::{HostId, HostMetricsSample, missing_required};

use crate::CPU_STATE;
use crate::schedule::Schedule;
use crate::stop::Stop;

/// How many samples wait in memory while the lake cannot be written: a day's at the usual interval.
const MOST_PENDING: usize = 8_640;

pub(crate) struct Collector {
    sampler: Sampler,
    lake: Lake,
    host_id: HostId,
    print: Option<PrintFormat>,
    pending: VecDeque<HostMetricsSample>,
    /// Required columns that the last sample lacked.
    missing: Vec<&'static str>,
    is_incomplete: bool,
    is_stopped: bool,
}

impl Collector {
    pub(crate) fn new(sampler: Sampler, lake: Lake, host_id: HostId, print: Option<PrintFormat>) -> Self {
        Self {
            sampler,
            lake,
            host_id,
            print,
            pending: VecDeque::new(),
            missing: Vec::new(),
            is_incomplete: false,
            is_stopped: false,
        }
    }

    /// Samples until the schedule ends or somebody stops the run, and publishes everything.
    pub(crate) fn run(&mut self, schedule: &Schedule, stop: &Stop) -> anyhow::Result<Exit> {
        let is_endless = schedule.samples().is_none();
        if let Some(window) = self.sampler.prime() {
            self.is_stopped = stop.wait(window);
        }
        let mut taken = 0;
        while !self.is_stopped {
            let last = Utc::now();
            self.take_sample(last);
            taken += 1;
            let now = Utc::now();
            let Some(wait) = schedule.wait(taken, last, now) else { break };
            if is_endless && self.oldest().is_some_and(|oldest| schedule.is_minute_over(oldest, now, wait)) {
                self.publish_or_keep();
            }
            // Publishing took part of the wait.
            let spent = (Utc::now() - now).to_std().unwrap_or_default();
            self.is_stopped = stop.wait(wait.saturating_sub(spent));
        }
        self.publish()?;
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

    /// A service outlives a lake that cannot be written for a while.
    fn publish_or_keep(&mut self) {
        if let Err(error) = self.publish() {
            let error = format!("{error:#}");
            tracing::error!(
                error,
                waiting = self.pending.len(),
                "samples cannot be published, trying again in a minute"
            );
        }
    }

    fn publish(&mut self) -> anyhow::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let samples = self.pending.make_contiguous();
        let appended = self.lake.host_metrics().append(samples).map_err(with_lake_hint)?;
        self.is_incomplete |= !appended.refused.is_empty();
        report(&appended);
        self.keep_baseline();
        if let Some(format) = self.print {
            print_rows(self.pending.make_contiguous(), format)?;
        }
        self.pending.clear();
        Ok(())
    }

    /// The next run measures the processor since this one.
    fn keep_baseline(&self) {
        let Some(baseline) = self.sampler.cpu_baseline() else { return };
        let saved = serde_json::to_string(&baseline)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(self.lake.save_state(&self.host_id, CPU_STATE, &text)?));
        if let Err(error) = saved {
            tracing::warn!(error = format!("{error:#}"), "reading cannot be kept for the next run");
        }
    }
}

fn report(appended: &Appended) {
    for refused in &appended.refused {
        let as_of = refused.as_of.to_rfc3339();
        tracing::error!(host_id = refused.host_id, as_of, reason = %refused.violation, "sample refused");
    }
    for nulled in &appended.nulled {
        let as_of = nulled.as_of.to_rfc3339();
        tracing::warn!(host_id = nulled.host_id, as_of, reason = %nulled.violation, "value stored as null");
    }
    for file in &appended.files {
        tracing::info!(path = %file.display(), rows = appended.rows, "samples published");
    }
}
