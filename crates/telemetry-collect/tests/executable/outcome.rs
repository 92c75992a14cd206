//! What a run left behind that did not end as it should: every sample that was acknowledged is there
//! once.

use std::collections::BTreeMap;
use std::process::Child;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use telemetry_repository::{Lake, Selection};
use telemetry_schema::host_metrics::names;
use telemetry_schema::{HOST_METRICS, HostId, HostMetricsSample, Row as _, Value as Cell};

use crate::support::{Ended, World, ended};

pub(crate) const INTERVAL: &str = "TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES";
pub(crate) const DURABILITY: &str = "TELEMETRY__COLLECT__DURABILITY";

/// Samples by their instant.
type Samples = BTreeMap<String, Value>;

/// A lake with samples that are acknowledged, and how a run on it is configured.
pub(crate) struct Prepared {
    pub(crate) world: World,
    /// Minutes between publications.
    pub(crate) interval: &'static str,
    acknowledged: Samples,
}

impl Prepared {
    /// A sample is in Silver. The next run need not wait to measure the processor, and publishes.
    pub(crate) fn after_a_run() -> Self {
        let world = World::new();
        let got = world.run(&["--print", "json"]);
        assert_eq!((got.code, got.stderr.as_str()), (0, ""));
        let acknowledged = printed(&got);
        assert_eq!(acknowledged.len(), 1);
        Self { world, interval: "0", acknowledged }
    }

    /// Further runs have a spool.
    pub(crate) fn with_a_spool(mut self) -> Self {
        self.interval = "60";
        self
    }

    /// Samples of an hour that is over wait in it: publishing them is what a run does first.
    pub(crate) fn with_samples_that_are_due(self) -> Self {
        let mut prepared = self.with_a_spool();
        let lake = Lake::new(prepared.world.lake());
        let mut spool = lake.open_spool(&HostId::parse("pi").unwrap()).unwrap();
        let hour = (Utc::now() - TimeDelta::hours(2)).timestamp().div_euclid(3600) * 3600;
        for n in 0..12 {
            let as_of = DateTime::from_timestamp(hour + 10 * n, 0).unwrap();
            let cell = |name| match name {
                names::as_of => Cell::TimestampUs(as_of.timestamp_micros()),
                names::host_id => Cell::String("pi".into()),
                _ => Cell::Null,
            };
            let cells: Vec<_> = HOST_METRICS.columns.iter().map(|column| cell(column.name)).collect();
            let mut sample = [HostMetricsSample::from_values(&cells).unwrap()];
            spool.append(&mut sample, None, true).unwrap();
            let row = serde_json::to_value(&sample[0]).unwrap();
            prepared.acknowledged.insert(row[names::as_of].to_string(), row);
        }
        prepared
    }

    /// Checks the lake of a copy after a run, of which this was printed, and after the next one.
    #[track_caller]
    pub(crate) fn check(&self, world: &World, run: &Ended, what: &str) {
        // Nothing is visible but whole files.
        let _ = stored(world, what);
        let got = ended(world.command(&["--publish"]).env(INTERVAL, self.interval).output().unwrap());
        assert_eq!((got.code, got.stderr.as_str()), (0, ""), "{what}");
        let stored = stored(world, what);
        let mut acknowledged = self.acknowledged.clone();
        acknowledged.extend(printed(run));
        for (as_of, row) in &acknowledged {
            assert_eq!(stored.get(as_of), Some(row), "{as_of} is not as it was acknowledged: {what}");
        }
        let staging = std::fs::read_dir(world.lake().join(".staging")).into_iter().flatten();
        assert_eq!(staging.count(), 0, "left in staging: {what}");
    }
}

/// What a run printed is durable; the last line may be cut off.
fn printed(run: &Ended) -> Samples {
    let lines = run.stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            (row[names::as_of].to_string(), row)
        })
        .collect()
}

/// All samples of Silver, each of which must be there once, in files that are whole.
#[track_caller]
fn stored(world: &World, what: &str) -> Samples {
    let lake = Lake::new(world.lake());
    let store = lake.host_metrics().store().clone();
    for file in store.files(&Selection::all()).unwrap() {
        store.verify(&file).unwrap();
    }
    let mut stored = Samples::new();
    for sample in world.samples().0 {
        let row = serde_json::to_value(&sample).unwrap();
        let before = stored.insert(row[names::as_of].to_string(), row);
        assert_eq!(before, None, "stored twice: {what}");
    }
    stored
}

/// What a run that was killed had printed.
pub(crate) fn output_of_killed(run: &mut Child) -> Ended {
    use std::io::Read as _;
    let mut stdout = String::new();
    run.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    Ended { code: -1, stdout, stderr: String::new() }
}
