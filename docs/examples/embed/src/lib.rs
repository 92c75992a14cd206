//! How a service watches its own host: it samples, appends to a lake of its own, and every now and then
//! rolls the last day up and evaluates the alert rules. What they find is the service's to hand on.

use std::error::Error;
use std::mem;

use chrono::{DateTime, Utc};
use telemetry_alert_rules::{AlertState, Evaluation, Event, HostTicks, Period, RuleSet, Settings};
use telemetry_provider::{ProviderSettings, Sampler, Stamp};
use telemetry_repository::{Lake, Selection, flags, instants_us, numbers};
use telemetry_rollup_engine::{GRACE_US, RollupConfig, RollupRequest, rollup};
use telemetry_schema::host_metrics_rollup::{names, silver_columns};
use telemetry_schema::{HostId, MICROS_PER_DAY, MICROS_PER_SECOND};

/// Time between two samples: each is a file of its own.
pub const INTERVAL_SECONDS: u32 = 60;
/// Width of a bucket, and so the time between two evaluations.
pub const BUCKET_MINUTES: u32 = 5;

/// What the service keeps from one sample to the next.
pub struct Watch {
    lake: Lake,
    host_id: HostId,
    sampler: Sampler,
    config: RollupConfig,
    rules: RuleSet,
    state: AlertState,
}

impl Watch {
    /// Watches this machine, with the built-in rules and a lake that no other host writes to.
    pub fn new(lake: Lake, host_id: HostId) -> Result<Self, Box<dyn Error>> {
        let stamp =
            Stamp { host_id: host_id.clone(), run_id: None, sample_interval_seconds: INTERVAL_SECONDS };
        let config = RollupConfig::new(BUCKET_MINUTES, INTERVAL_SECONDS)?;
        let sample_interval_us = i64::from(INTERVAL_SECONDS) * MICROS_PER_SECOND;
        let settings = Settings { bucket_us: config.bucket_us(), sample_interval_us };
        Ok(Self {
            lake,
            host_id,
            sampler: Sampler::new(&ProviderSettings::default(), stamp, None),
            config,
            rules: RuleSet::read(&[], settings)?,
            state: AlertState::default(),
        })
    }

    /// Takes a sample and appends it.
    pub fn sample(&mut self, now: DateTime<Utc>) -> Result<(), Box<dyn Error>> {
        let sample = self.sampler.sample(now);
        self.lake.host_metrics().append(&[sample])?;
        Ok(())
    }

    /// Rolls the last day up, and evaluates what has become final since the last time.
    pub fn evaluate(&mut self, now: DateTime<Utc>) -> Result<Vec<Event>, Box<dyn Error>> {
        let (now_us, bucket_us) = (now.timestamp_micros(), self.config.bucket_us());
        let to_us = now_us - now_us.rem_euclid(bucket_us);
        let request = RollupRequest { from_us: to_us - MICROS_PER_DAY, to_us, evaluated_at_us: now_us };
        let silver = self.lake.host_metrics();
        let files = silver.store().files(&Selection::between(request.from_us, to_us))?;
        let columns = silver_columns();
        let samples =
            files.iter().map(|file| silver.store().read(file, &columns)).collect::<Result<Vec<_>, _>>()?;
        let gold = rollup(&samples, request, self.config)?.rows;

        // One host in time order: the buckets that are not final yet come last.
        let number =
            flags(&gold, names::is_final)?.iter().filter(|is_final| **is_final == Some(true)).count();
        let gold = gold.head(Some(number));
        let starts = instants_us(&gold, names::bucket_start)?.into_iter().flatten();
        let ends: Vec<i64> = starts.map(|start_us| start_us + bucket_us).collect();
        let last: Vec<i64> = instants_us(&gold, names::last_as_of)?.into_iter().flatten().collect();
        let coverage = numbers(&gold, names::coverage)?;
        let values = self.rules.columns().iter().map(|name| numbers(&gold, name));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let values: Vec<&[Option<f64>]> = values.iter().map(Vec::as_slice).collect();

        let horizon_us = now_us - GRACE_US - (now_us - GRACE_US).rem_euclid(bucket_us);
        let state = mem::take(&mut self.state);
        let mut evaluation = Evaluation::new(&self.rules, state, Period::until(horizon_us, now_us));
        evaluation.host(&HostTicks::new(self.host_id.as_str(), &ends, &coverage, &last, &values)?);
        let (events, state) = evaluation.finish();
        self.state = state;
        Ok(events)
    }
}
