//! Appending samples to Silver.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use telemetry_schema::{HostId, HostMetricsSample, Violation, validate};

use crate::error::RepositoryError;
use crate::frame::frame_from_rows;
use crate::layout::SampleFileName;
use crate::publish::{StagedFile, publish, stage};
use crate::store::DatasetStore;

/// The Silver samples of one lake.
#[derive(Debug, Clone)]
pub struct HostMetricsRepository {
    store: DatasetStore,
}

/// What [`HostMetricsRepository::append`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Appended {
    /// The published files: one a UTC date.
    pub files: Vec<PathBuf>,
    /// Number of rows in them.
    pub rows: usize,
    /// Samples that were not stored.
    pub refused: Vec<Refused>,
    /// Optional values that were stored as null.
    pub nulled: Vec<Nulled>,
    /// Number of samples that stay in the spool until their time is known.
    pub held: usize,
    /// Where samples were set aside of which nobody knows when they were taken.
    pub undated: Option<PathBuf>,
}

/// A sample that was not stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The sample's host.
    pub host_id: String,
    /// The sample's instant.
    pub as_of: DateTime<Utc>,
    /// The first rule that it breaks.
    pub violation: Violation,
}

/// An optional value that was stored as null.
#[derive(Debug, Clone, PartialEq)]
pub struct Nulled {
    /// The sample's host.
    pub host_id: String,
    /// The sample's instant.
    pub as_of: DateTime<Utc>,
    /// The rule that the value breaks.
    pub violation: Violation,
}

impl HostMetricsRepository {
    pub(crate) fn new(store: DatasetStore) -> Self {
        Self { store }
    }

    /// For listing and reading.
    pub fn store(&self) -> &DatasetStore {
        &self.store
    }

    /// Stores the samples durably: one file a UTC date, sorted by host and time. When this returns,
    /// they survive a power cut.
    ///
    /// A sample without a valid `host_id` or `as_of`, or with a required value that breaks its rule,
    /// is refused and the others are stored; an optional value that breaks its rule becomes null.
    /// Where nothing is left to store, nothing is touched.
    ///
    /// # Errors
    /// Every file is complete in staging before the first is published, so that an error normally
    /// means that nothing was stored.
    pub fn append(&self, samples: &[HostMetricsSample]) -> Result<Appended, RepositoryError> {
        let mut appended = Appended::default();
        let accepted = accept(samples, &mut appended);
        let staged = self.stage_all(accepted)?;
        self.publish_all(staged, &mut appended)?;
        Ok(appended)
    }

    /// Builds the files of samples that were accepted: one a UTC date.
    pub(crate) fn stage_all(
        &self,
        samples: Vec<HostMetricsSample>,
    ) -> Result<Vec<StagedSamples>, RepositoryError> {
        let mut dates: BTreeMap<NaiveDate, Vec<HostMetricsSample>> = BTreeMap::new();
        for sample in samples {
            dates.entry(sample.as_of.date_naive()).or_default().push(sample);
        }
        dates.into_iter().map(|(date, samples)| self.stage(date, samples)).collect()
    }

    /// Gives the files their names in Silver.
    pub(crate) fn publish_all(
        &self,
        staged: Vec<StagedSamples>,
        appended: &mut Appended,
    ) -> Result<(), RepositoryError> {
        for StagedSamples { date, file, name } in staged {
            let mut next = name.clone();
            let path = publish(&self.store, date, file, || {
                std::mem::replace(&mut next, name.renamed()).to_string()
            })?;
            tracing::debug!(path = %path.display(), rows = name.rows, "published samples");
            appended.rows += name.rows as usize;
            appended.files.push(path);
        }
        Ok(())
    }

    fn stage(
        &self,
        date: NaiveDate,
        mut samples: Vec<HostMetricsSample>,
    ) -> Result<StagedSamples, RepositoryError> {
        samples.sort_by(|one, other| (&one.host_id, one.as_of).cmp(&(&other.host_id, other.as_of)));
        let times = || samples.iter().map(|sample| sample.as_of.timestamp_micros());
        let range = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let name = SampleFileName::covering(single_host(&samples), range, samples.len() as u64);
        let (path, session) = self.store.lake().staging().new_path_with_session()?;
        let (file, _) = stage(&self.store, path, date, &frame_from_rows(&samples), Vec::new())?;
        Ok(StagedSamples { date, file: file.with_session(session), name })
    }
}

/// Samples of one date, complete but for their place.
#[derive(Debug)]
pub(crate) struct StagedSamples {
    date: NaiveDate,
    file: StagedFile,
    name: SampleFileName,
}

/// Applies the data-quality rules; returns what passes.
pub(crate) fn accept(samples: &[HostMetricsSample], appended: &mut Appended) -> Vec<HostMetricsSample> {
    let mut accepted = Vec::with_capacity(samples.len());
    for sample in samples {
        let (host_id, as_of) = (&sample.host_id, sample.as_of);
        let mut sample = sample.clone();
        match validate(&mut sample) {
            Ok(violations) => {
                for violation in violations {
                    tracing::debug!(host_id, %as_of, %violation, "value stored as null");
                    appended.nulled.push(Nulled { host_id: host_id.clone(), as_of, violation });
                }
                accepted.push(sample);
            }
            Err(violation) => {
                tracing::warn!(host_id, %as_of, %violation, "sample refused");
                appended.refused.push(Refused { host_id: host_id.clone(), as_of, violation });
            }
        }
    }
    accepted
}

/// The host of sorted samples, if all are of one.
fn single_host(samples: &[HostMetricsSample]) -> Option<HostId> {
    let (first, last) = (samples.first()?, samples.last()?);
    if first.host_id == last.host_id { HostId::parse(&first.host_id).ok() } else { None }
}
