//! How a service watches its own host: it samples, appends to a lake of its own, and whenever a bucket
//! has become final, rolls the last day up and evaluates the alert rules. What they find is the service's
//! to hand on.

use std::error::Error;

use chrono::{DateTime, Utc};
use telemetry_alert_rules::{AlertState, Event, Period, RuleSet, Settings, evaluate};
use telemetry_provider::Sampler;
use telemetry_repository::{FinalBuckets, Lake, Selection};
use telemetry_rollup_engine::{GRACE_US, RollupConfig, RollupRequest, rollup};
use telemetry_schema::host_metrics_rollup::silver_columns;
use telemetry_schema::{HostId, MICROS_PER_DAY};

/// Time between two samples: each is a file of its own.
pub const INTERVAL_SECONDS: u32 = 60;
const BUCKET_MINUTES: u32 = 5;

/// Watches this machine with the built-in rules: a sample at each of the instants, as they come. The lake
/// is one that no other host writes to.
pub fn watch(
    lake: &Lake,
    host_id: HostId,
    instants: impl IntoIterator<Item = DateTime<Utc>>,
    mut tell: impl FnMut(Event),
) -> Result<(), Box<dyn Error>> {
    let silver = lake.host_metrics();
    let mut sampler = Sampler::of_this_machine(host_id, INTERVAL_SECONDS);
    let config = RollupConfig::new(BUCKET_MINUTES, INTERVAL_SECONDS)?;
    let rules = RuleSet::built_in(Settings::new(BUCKET_MINUTES, INTERVAL_SECONDS))?;
    let mut state = AlertState::default();
    for now in instants {
        silver.append(&[sampler.sample(now)])?;
        let period = Period::of_run(&rules, now.timestamp_micros(), GRACE_US);
        let (to_us, evaluated_at_us) = (period.horizon_us, period.evaluated_at_us);
        if to_us <= state.horizon_us() {
            continue;
        }
        let request = RollupRequest { from_us: to_us - MICROS_PER_DAY, to_us, evaluated_at_us };
        let samples = silver.store().scan(&Selection::between(request.from_us, to_us), &silver_columns())?;
        let gold = rollup(&samples, request, config)?.rows;
        let buckets = FinalBuckets::of(&gold, rules.bucket_us(), rules.columns())?;
        let events;
        (events, state) = evaluate(&rules, state, period, buckets.hosts())?;
        events.into_iter().for_each(&mut tell);
    }
    Ok(())
}
