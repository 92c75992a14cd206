//! Builds one date of Gold.

use chrono::{DateTime, Utc};
use telemetry_repository::{DataFile, DatasetStore, RepositoryError, RollupFileName, rows_from_frame};
use telemetry_rollup_engine::{DataFrame, GRACE_US, Rollup, RollupConfig, RollupRequest, rollup};
use telemetry_schema::HostMetricsRollup;
use telemetry_schema::host_metrics_rollup::silver_columns;

use crate::digest::digest;
use crate::plan::{NEXT_FINAL_US, PlannedDate, bounds_us};
use crate::reach;
use crate::silver::Silver;

/// How often the inputs of a date may change under a build (compaction) before it gives up.
const MOST_CHANGES: usize = 5;

pub(crate) struct Builder<'a> {
    silver: &'a DatasetStore,
    gold: &'a DatasetStore,
    config: RollupConfig,
    now: DateTime<Utc>,
}

/// The samples of a date and its surroundings.
struct Samples {
    frames: Vec<DataFrame>,
    digest: u64,
    is_complete: bool,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        silver: &'a DatasetStore,
        gold: &'a DatasetStore,
        config: RollupConfig,
        now: DateTime<Utc>,
    ) -> Self {
        Self { silver, gold, config, now }
    }

    /// Builds the date; false if damaged files or unusable rows were left out.
    pub(crate) fn build(&self, planned: &PlannedDate) -> anyhow::Result<bool> {
        let date = planned.date;
        let samples = self.read(date)?;
        let (from_us, to_us) = bounds_us(date);
        let request = RollupRequest { from_us, to_us, evaluated_at_us: self.now.timestamp_micros() };
        let Rollup { rows, unusable_rows } = rollup(&samples.frames, request, self.config)?;
        if unusable_rows > 0 {
            tracing::error!(%date, rows = unusable_rows, "samples without a key left out");
        }
        let is_complete = samples.is_complete && unusable_rows == 0;
        if rows.height() == 0 {
            tracing::warn!(%date, "no usable samples, rollup left as it is");
            return Ok(is_complete);
        }
        let next_final_us = self.next_final_us(&rows)?;
        let name = RollupFileName {
            date,
            generation: planned.generation + 1,
            digest: samples.digest,
            is_final: next_final_us.is_none(),
        };
        let extra: Vec<(String, String)> =
            next_final_us.map(|us| (NEXT_FINAL_US.to_owned(), us.to_string())).into_iter().collect();
        let replaced = self.gold.replace_date(date, &rows, &name, &extra)?;
        tracing::info!(%date, rows = replaced.rows, path = %replaced.path.display(), "rollup built");
        Ok(is_complete)
    }

    /// Reads the inputs of a date. A damaged file goes to quarantine and the others are read again:
    /// the digest is that of exactly the files that were read.
    fn read(&self, date: chrono::NaiveDate) -> Result<Samples, RepositoryError> {
        let columns = silver_columns();
        let (mut is_complete, mut changes) = (true, 0);
        'listing: loop {
            let silver = Silver::list(self.silver)?;
            let inputs = silver.inputs(date, reach(self.config));
            let mut frames = Vec::with_capacity(inputs.len());
            for file in &inputs {
                match self.silver.read(file, &columns) {
                    Ok(frame) => frames.push(frame),
                    Err(error @ RepositoryError::Damaged { .. }) => {
                        self.set_aside(file, &error)?;
                        is_complete = false;
                        continue 'listing;
                    }
                    Err(error) if error.is_not_found() && changes < MOST_CHANGES => {
                        changes += 1;
                        continue 'listing;
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(Samples { frames, digest: digest(&inputs, self.config), is_complete });
        }
    }

    fn set_aside(&self, file: &DataFile, error: &RepositoryError) -> Result<(), RepositoryError> {
        match self.silver.quarantine(file) {
            Ok(path) => {
                let quarantine = path.display().to_string();
                tracing::error!(%error, quarantine, "damaged samples set aside");
                Ok(())
            }
            Err(gone) if gone.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// When the first bucket that is not final yet becomes so.
    fn next_final_us(&self, rows: &DataFrame) -> Result<Option<i64>, RepositoryError> {
        let rows: Vec<HostMetricsRollup> = rows_from_frame(rows)?;
        let final_at = |row: &HostMetricsRollup| {
            row.bucket_start.timestamp_micros() + self.config.bucket_us() + GRACE_US
        };
        Ok(rows.iter().filter(|row| row.is_final != Some(true)).map(final_at).min())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use chrono::TimeDelta;
    use telemetry_repository::Lake;
    use telemetry_schema::{HOST_METRICS, HOST_METRICS_ROLLUP, HostMetricsSample, Row, Value};

    use super::*;
    use crate::args::DateRange;
    use crate::expired::Expired;
    use crate::plan::{Action, Plan, Reason};

    const WHOLE: DateRange = DateRange { from: None, to: None, force: false };

    struct World {
        _directory: tempfile::TempDir,
        lake: Lake,
        gold: DatasetStore,
    }

    impl World {
        /// A lake with a sample at 12:01 and one at 12:06.
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let lake = Lake::new(directory.path().join("lake"));
            let samples = [at(12, 1), at(12, 6)].map(|as_of| {
                let mut values = vec![Value::Null; HOST_METRICS.columns.len()];
                values[0] = Value::TimestampUs(as_of.timestamp_micros());
                values[1] = Value::String("pi".into());
                HostMetricsSample::from_values(&values).unwrap()
            });
            lake.host_metrics().append(&samples).unwrap();
            let gold = lake.store(&HOST_METRICS_ROLLUP, HOST_METRICS_ROLLUP.name.to_owned());
            Self { _directory: directory, lake, gold }
        }

        fn action(&self, now: DateTime<Utc>) -> Action {
            self.plan(now).dates[0].action
        }

        fn plan(&self, now: DateTime<Utc>) -> Plan {
            let silver = Silver::list(self.lake.host_metrics().store()).unwrap();
            Plan::make(&silver, &self.gold, &Expired::default(), &WHOLE, RollupConfig::default(), now)
                .unwrap()
        }

        fn build(&self, now: DateTime<Utc>) {
            let silver = self.lake.host_metrics();
            let builder = Builder::new(silver.store(), &self.gold, RollupConfig::default(), now);
            assert!(builder.build(&self.plan(now).dates[0]).unwrap());
        }
    }

    fn at(hour: u32, minute: u32) -> DateTime<Utc> {
        let midnight: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        midnight + TimeDelta::minutes(i64::from(hour * 60 + minute))
    }

    #[test]
    fn an_open_date_is_built_again_when_a_bucket_becomes_final_and_not_before() {
        let world = World::new();
        assert_eq!(world.action(at(12, 7)), Action::Build(Reason::New));
        world.build(at(12, 7));
        assert_eq!(world.action(at(12, 7)), Action::UpToDate);
        assert_eq!(world.action(at(12, 14)), Action::UpToDate);
        assert_eq!(world.action(at(12, 15)), Action::Build(Reason::BucketsBecomeFinal));
        world.build(at(12, 15));
        assert_eq!(world.action(at(12, 19)), Action::UpToDate);
        assert_eq!(world.action(at(12, 20)), Action::Build(Reason::BucketsBecomeFinal));
        world.build(at(12, 20));
        assert_eq!(world.action(at(23, 59)), Action::UpToDate);
    }
}
