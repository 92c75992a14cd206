//! Builds dates of Gold.
//!
//! Each date is computed from its own files in one pass, dates side by side on the machine's cores;
//! then the pairs across midnight are joined: from the ends of the dates next to it where these are
//! built too, else from the files that hold them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use telemetry_repository::{
    DataFile, DatasetStore, FileName, Footer, Replacement, RepositoryError, RollupFileName,
};
use telemetry_rollup_engine::{
    DataFrame, Ends, EngineError, GRACE_US, Partial, PassError, RollupConfig, RollupRequest, Source,
    next_final_us, splice,
};
use telemetry_schema::HOST_METRICS_ROLLUP;

use crate::damaged::set_aside;
use crate::digest::digest;
use crate::hours::{self, HOUR_DIGESTS, HourDigests};
use crate::next_final::NextFinal;
use crate::plan::{Action, NEXT_FINAL_US, PlannedDate, Reason};
use crate::reach;
use crate::read_ahead::{ReadAhead, spare_cores};
use crate::silver::{Period, Silver, whole};

/// How often the inputs of a date may change under a build (compaction) before it gives up.
const MOST_CHANGES: usize = 5;

pub(crate) struct Builder<'a> {
    silver: &'a DatasetStore,
    gold: &'a DatasetStore,
    config: RollupConfig,
    now: DateTime<Utc>,
    /// The files of the lake when the run was planned. Those that come later are for the next run.
    listed: Arc<Silver>,
    next_final: Mutex<NextFinal>,
}

/// A date, or hours of it, computed from the files that hold them.
pub(crate) struct Computed {
    partial: Partial,
    period: Period,
    /// The files of the lake that it was computed from.
    silver: Arc<Silver>,
    /// No damaged file was left out.
    is_complete: bool,
}

/// A date whose new file is written but not yet durable.
pub(crate) struct Staged {
    date: NaiveDate,
    /// With its name, and when its next bucket becomes final; `None` if there are no rows.
    replacement: Option<(Replacement, RollupFileName, Option<i64>)>,
    is_complete: bool,
}

impl Computed {
    pub(crate) fn ends(&self) -> Ends {
        self.partial.ends()
    }
}

/// The dates next to a date whose ends are known because they are built in the same run.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) before: Option<Ends>,
    pub(crate) after: Option<Ends>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        (silver, listed): (&'a DatasetStore, Arc<Silver>),
        gold: &'a DatasetStore,
        config: RollupConfig,
        now: DateTime<Utc>,
    ) -> Self {
        Self { silver, gold, config, now, listed, next_final: Mutex::default() }
    }

    /// When the dates that were built and stay open have to be built again.
    pub(crate) fn into_next_final(self) -> NextFinal {
        self.next_final.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computes a date from its own files, with the help of spare cores.
    pub(crate) fn compute(&self, date: NaiveDate, spare_cores: usize) -> anyhow::Result<Computed> {
        self.compute_period(|_| whole(date), spare_cores)
    }

    /// Computes a period, which may depend on the files that there are.
    fn compute_period(
        &self,
        period: impl Fn(&Silver) -> Period,
        spare_cores: usize,
    ) -> anyhow::Result<Computed> {
        let (mut is_complete, mut changes) = (true, 0);
        let mut unsorted = BTreeSet::new();
        let mut silver = Arc::clone(&self.listed);
        loop {
            let period = period(&silver);
            let inputs = silver.inputs(&period, reach(self.config));
            let error = match self.pass(&inputs.own, &period, &unsorted, spare_cores) {
                Ok(partial) => return Ok(Computed { partial, period, silver, is_complete }),
                Err(error) => error,
            };
            match error {
                PassError::Source(error) if error.is_not_found() && changes < MOST_CHANGES => {
                    changes += 1;
                    silver = Arc::new(silver.list_again(self.silver)?);
                }
                PassError::Source(error) => {
                    set_aside(self.silver, inputs.own.iter().copied(), error)?;
                    is_complete = false;
                    silver = Arc::new(silver.list_again(self.silver)?);
                }
                PassError::Engine(EngineError::Unsorted { source_number }) => {
                    let path = inputs.own[source_number].path.clone();
                    tracing::warn!(path = %path.display(), "file is not sorted by host and time, sorted in memory");
                    unsorted.insert(path);
                }
                PassError::Engine(error) => return Err(error.into()),
            }
        }
    }

    /// Joins a date with what lies around it and writes it, but does not wait for the disk: that is
    /// for [`Self::publish`].
    pub(crate) fn stage(
        &self,
        planned: &PlannedDate,
        computed: Computed,
        neighbours: Neighbours,
    ) -> anyhow::Result<Staged> {
        let (rows, silver, is_complete) = self.join(planned.date, computed, neighbours)?;
        let replacement = match rows {
            Some(rows) => Some(self.replacement(planned, &rows, &silver)?),
            None => {
                tracing::warn!(date = %planned.date, "no usable samples, rollup left as it is");
                None
            }
        };
        Ok(Staged { date: planned.date, replacement, is_complete })
    }

    /// Puts a date in its place; false if damaged files or unusable rows were left out.
    pub(crate) fn publish(&self, staged: Staged) -> anyhow::Result<bool> {
        let Staged { date, replacement, is_complete } = staged;
        if let Some((replacement, name, next_final_us)) = replacement {
            let replaced = replacement.publish()?;
            if let Some(us) = next_final_us {
                self.next_final.lock().unwrap_or_else(PoisonError::into_inner).insert(&name, us);
            }
            tracing::info!(%date, rows = replaced.rows, path = %replaced.path.display(), "rollup built");
        }
        Ok(is_complete)
    }

    /// Builds only the hours of a date that have changed, if its rollup tells which; `None` if the
    /// whole date has to be built.
    pub(crate) fn build_hours(&self, planned: &PlannedDate) -> anyhow::Result<Option<bool>> {
        let Some((built, old)) = self.built(planned)? else { return Ok(None) };
        let hours = |silver: &Silver| {
            let inputs = silver.inputs(&whole(planned.date), reach(self.config));
            let now = HourDigests::of(planned.date, &inputs, self.config);
            now.to_build(&built.digests, planned.date, built.open_from, reach(self.config))
        };
        let Some(planned_hours) = hours(&self.listed) else { return Ok(None) };
        // Should the files change meanwhile so that nothing tells, the hours that were planned serve.
        let of_date = |silver: &Silver| {
            hours::period(planned.date, &hours(silver).unwrap_or_else(|| planned_hours.clone()))
        };
        let computed = self.compute_period(of_date, spare_cores(1))?;
        let period_us = (computed.period.start.timestamp_micros(), computed.period.end.timestamp_micros());
        let (rows, silver, is_complete) = self.join(planned.date, computed, Neighbours::default())?;
        let new = match rows {
            Some(rows) => rows,
            None => old.clear(),
        };
        let rows = splice(&old, &new, period_us)?;
        let replacement = Some(self.replacement(planned, &rows, &silver)?);
        self.publish(Staged { date: planned.date, replacement, is_complete }).map(Some)
    }

    /// What the date's file in Gold says of itself, and its rows.
    fn built(&self, planned: &PlannedDate) -> anyhow::Result<Option<(Built, DataFrame)>> {
        let Action::Build(Reason::Changed | Reason::BucketsBecomeFinal) = planned.action else {
            return Ok(None);
        };
        let files = self.gold.files_on(planned.date)?;
        let [file] = &files[..] else { return Ok(None) };
        if file.name.rollup() != planned.built.as_ref() {
            return Ok(None);
        }
        let columns: Vec<&str> = HOST_METRICS_ROLLUP.columns.iter().map(|column| column.name).collect();
        let read = self.gold.footer(file).and_then(|footer| Ok((footer, self.gold.read(file, &columns)?)));
        match read {
            Ok((footer, rows)) => Ok(Built::read(&footer, self.config).map(|built| (built, rows))),
            Err(error) if is_left_out(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the pairs across the ends of what was computed; no rows if there are none.
    fn join(
        &self,
        date: NaiveDate,
        computed: Computed,
        neighbours: Neighbours,
    ) -> anyhow::Result<(Option<DataFrame>, Arc<Silver>, bool)> {
        let Computed { mut partial, period, silver, is_complete } = computed;
        let inputs = silver.inputs(&period, reach(self.config));
        let (before, has_before) = self.ends(&inputs.before, neighbours.before, date.pred_opt())?;
        let (after, has_after) = self.ends(&inputs.after, neighbours.after, date.succ_opt())?;
        partial.join_before(&before);
        partial.join_after(&after);
        let unusable_rows = partial.unusable_rows();
        if unusable_rows > 0 {
            tracing::error!(%date, rows = unusable_rows, "samples without a key left out");
        }
        let is_complete = is_complete && has_before && has_after && unusable_rows == 0;
        let rows = if partial.is_empty() { None } else { Some(partial.into_frame()?) };
        Ok((rows, silver, is_complete))
    }

    fn replacement(
        &self,
        planned: &PlannedDate,
        rows: &DataFrame,
        silver: &Silver,
    ) -> anyhow::Result<(Replacement, RollupFileName, Option<i64>)> {
        let date = planned.date;
        let inputs = silver.inputs(&whole(date), reach(self.config));
        let next_final_us = next_final_us(rows, self.now.timestamp_micros(), self.config)?;
        let name = RollupFileName {
            date,
            generation: planned.generation + 1,
            digest: digest(inputs.all(), self.config),
            is_final: next_final_us.is_none(),
        };
        let digests = HourDigests::of(date, &inputs, self.config).to_text();
        let mut extra = vec![(HOUR_DIGESTS.to_owned(), digests)];
        extra.extend(next_final_us.map(|us| (NEXT_FINAL_US.to_owned(), us.to_string())));
        Ok((self.gold.stage_date(date, rows, &name, &extra)?, name, next_final_us))
    }

    /// The ends of the samples in these files, and whether all could be read; those of the date next
    /// to it are known if that is built too.
    fn ends(
        &self,
        files: &[&DataFile],
        known: Option<Ends>,
        next_to: Option<NaiveDate>,
    ) -> anyhow::Result<(Ends, bool)> {
        let is_known = |file: &&DataFile| known.is_some() && Some(file.date) == next_to;
        let files: Vec<&DataFile> = files.iter().copied().filter(|file| !is_known(file)).collect();
        let (mut ends, mut is_complete) = (known.unwrap_or_default(), true);
        for file in files {
            let nothing = DateTime::UNIX_EPOCH..DateTime::UNIX_EPOCH;
            match self.pass(&[file], &nothing, &BTreeSet::from([file.path.clone()]), 0) {
                Ok(partial) => ends.or(partial.ends()),
                // Gone to quarantine with its own date, or merged since: the digest brings it up again.
                Err(PassError::Source(error)) if error.is_not_found() => {
                    tracing::warn!(%error, "samples next to the date left out");
                }
                Err(PassError::Source(error)) => {
                    set_aside(self.silver, [file], error)?;
                    is_complete = false;
                }
                Err(PassError::Engine(error)) => return Err(error.into()),
            }
        }
        Ok((ends, is_complete))
    }

    /// One pass over the files, with as many threads more as there are spare cores; rows are made for
    /// the period.
    fn pass(
        &self,
        files: &[&DataFile],
        period: &Period,
        unsorted: &BTreeSet<PathBuf>,
        spare_cores: usize,
    ) -> Result<Partial, PassError<RepositoryError>> {
        let request = RollupRequest {
            from_us: period.start.timestamp_micros(),
            to_us: period.end.timestamp_micros(),
            evaluated_at_us: self.now.timestamp_micros(),
        };
        let ahead = ReadAhead::new(self.silver, files);
        let source = |(at, file): (usize, &&DataFile)| {
            let frames = ahead.frames(at);
            match &file.name {
                // Only our own names promise an order.
                FileName::Sample(name) if !unsorted.contains(&file.path) => {
                    Source::sorted(frames, name.host.as_ref().map(ToString::to_string))
                }
                FileName::Sample(_) | FileName::Rollup(_) | FileName::Other => Source::unsorted(frames),
            }
        };
        let sources = files.iter().enumerate().map(source).collect();
        ahead.run(spare_cores, || Partial::compute(sources, request, self.config))
    }
}

/// Whether a file is left out of what is read: damaged, or gone since it was listed.
pub(crate) fn is_left_out(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Damaged { .. }) || error.is_not_found()
}

/// What a date's file in Gold says of how it was built.
struct Built {
    digests: HourDigests,
    /// The first bucket that was not final then.
    open_from: Option<DateTime<Utc>>,
}

impl Built {
    fn read(footer: &Footer, config: RollupConfig) -> Option<Self> {
        let digests = HourDigests::parse(footer.get(HOUR_DIGESTS)?)?;
        let next_final_us: Option<i64> = footer.get(NEXT_FINAL_US).and_then(|text| text.parse().ok());
        let start_us = next_final_us.map(|final_us| final_us - GRACE_US - config.bucket_us());
        Some(Self { digests, open_from: start_us.and_then(DateTime::from_timestamp_micros) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use chrono::TimeDelta;
    use telemetry_repository::{Lake, Listings};
    use telemetry_schema::{HOST_METRICS, HOST_METRICS_ROLLUP, HostMetricsSample, Row, Value};

    use super::*;
    use crate::args::DateRange;
    use crate::expired::Expired;
    use crate::plan::{Action, Listed, Plan, Reason};

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
            let stores = (self.lake.host_metrics(), &self.gold);
            let listed = Listed::list((stores.0.store(), stores.1), &mut Listings::default(), now).unwrap();
            Plan::make(
                &listed,
                &self.gold,
                (&Expired::default(), &NextFinal::default()),
                &WHOLE,
                RollupConfig::default(),
                now,
            )
            .unwrap()
        }

        fn build(&self, now: DateTime<Utc>) {
            let silver = self.lake.host_metrics();
            let listed = Arc::new(Silver::list(silver.store()).unwrap());
            let builder = Builder::new((silver.store(), listed), &self.gold, RollupConfig::default(), now);
            let planned = &self.plan(now).dates[0];
            let computed = builder.compute(planned.date, 1).unwrap();
            let staged = builder.stage(planned, computed, Neighbours::default()).unwrap();
            assert!(builder.publish(staged).unwrap());
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
