//! From the spool to Silver, each row once; and damage to the quarantine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use telemetry_schema::{HostMetricsSample, Row as _};

use super::dating::{self, Announcement, Dated};
use super::frame::Kind;
use super::journal::offset;
use super::recovery::Contents;
use super::segment::SEGMENT_BYTES;
use super::{Spool, SpoolDamage, Waiting, decode};
use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{read_all_at, rename_to_free_name};
use crate::frame::rows_from_frame;
use crate::host_metrics::Appended;
use crate::lake::Lake;
use crate::layout::{QUARANTINE, SPOOL, unique};
use crate::lock::make_directories;
use crate::publish::Exclusion;

impl Spool {
    /// Publishes the samples that wait: one file a UTC date. Those whose clock was not right are dated
    /// by [`Spool::set_clock`]; the first that cannot be dated yet stays, and all after it.
    ///
    /// # Errors
    /// What was not published stays in the spool, and nothing is published twice when this is called
    /// again, also by another process.
    pub fn publish(&mut self) -> Result<Appended, RepositoryError> {
        let contents = self.journal.contents()?;
        if contents.frames.iter().all(|frame| frame.kind != Kind::Rows) {
            return Ok(Appended::default());
        }
        let dated = self.date(&contents);
        let up_to = dated.held_from.unwrap_or(self.journal.state().next);
        let unsure = self.journal.state().unsure;
        let (mut rows, mut doubtful) = (Vec::new(), Vec::new());
        for (sequence, sample) in dated.samples {
            if sequence < unsure { doubtful.push(sample) } else { rows.push(sample) }
        }
        let mut appended = Appended::default();
        if !dated.unknown.is_empty() {
            appended.undated = Some(self.set_undated_aside(&dated.unknown)?);
        }
        let mut unpublished = self.without_published(doubtful)?;
        unpublished.append(&mut rows);
        let repository = self.lake.host_metrics();
        let staged = repository.stage_all(unpublished)?;
        if !staged.is_empty() {
            self.journal.begin_publishing(&Announcement { up_to, booted: dated.booted })?;
        }
        repository.publish_all(staged, &mut appended)?;
        let held: Vec<_> = contents.frames.into_iter().filter(|frame| frame.sequence >= up_to).collect();
        appended.held = held.iter().map(|frame| frame.rows as usize).sum();
        if up_to > self.journal.state().released {
            match self.journal.release(up_to) {
                Ok(()) => self.waiting = Waiting::of(&held),
                // Published all the same: the next publication will find the rows there.
                Err(error) => tracing::warn!(%error, "spool cannot be told what is published"),
            }
        }
        Ok(appended)
    }

    /// All samples that can be read, with their instants.
    fn date(&self, contents: &Contents) -> Dated {
        let mut frames = Vec::new();
        for frame in contents.frames.iter().filter(|frame| frame.kind == Kind::Rows) {
            match decode(frame) {
                Ok(samples) => frames.push((frame.sequence, samples)),
                Err(reason) => {
                    tracing::error!(
                        path = %self.journal.path().display(), rows = frame.rows, reason,
                        "samples of the spool cannot be read and are lost"
                    );
                }
            }
        }
        let announced: Vec<_> = contents
            .frames
            .iter()
            .filter(|frame| frame.kind == Kind::Publishing)
            .filter_map(|frame| Announcement::decode(&frame.payload))
            .collect();
        dating::date(frames, &announced, self.clock.as_ref(), self.journal.is_half_full())
    }

    /// The rows that Silver does not have: those of a publication that was begun, of which nobody
    /// knows how far it came.
    fn without_published(
        &self,
        rows: Vec<HostMetricsSample>,
    ) -> Result<Vec<HostMetricsSample>, RepositoryError> {
        let mut dates: BTreeMap<NaiveDate, Vec<HostMetricsSample>> = BTreeMap::new();
        for row in rows {
            dates.entry(row.as_of.date_naive()).or_default().push(row);
        }
        let mut missing = Vec::new();
        for (date, rows) in dates {
            let mut published = published(&self.lake, date, &rows)?;
            for row in rows {
                let same = published.iter().position(|other| *other == row);
                match same {
                    Some(same) => drop(published.swap_remove(same)),
                    None => missing.push(row),
                }
            }
        }
        Ok(missing)
    }

    /// Copies damaged segments to the quarantine, each state of one once; sampling goes on whether or
    /// not that can be done.
    pub(super) fn set_damage_aside(&mut self, contents: &Contents) {
        let lost_frames = contents.lost.iter().map(|lost| lost.end - lost.start).sum();
        for (index, segment) in contents.damaged.iter().enumerate() {
            let lost_frames = if index == 0 { lost_frames } else { 0 };
            match self.copy_segment(*segment) {
                Ok(Some(path)) => self.damage.push(SpoolDamage { path, lost_frames }),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "damaged part of the spool cannot be copied to the quarantine");
                    let path = self.journal.path().to_owned();
                    self.damage.push(SpoolDamage { path, lost_frames });
                }
            }
        }
    }

    /// Writes samples that nobody can date to the quarantine, as lines of JSON.
    fn set_undated_aside(&self, samples: &[HostMetricsSample]) -> Result<PathBuf, RepositoryError> {
        let mut lines = String::new();
        for sample in samples {
            lines.push_str(&serde_json::to_string(sample).map_err(|error| self.unwritable(&error))?);
            lines.push('\n');
        }
        let directory = self.lake.spool_quarantine(self.journal.path())?;
        // The same samples again, after a publication that failed, are the same file.
        let path = directory.join(format!("undated-{:08x}.jsonl", crc32c::crc32c(lines.as_bytes())));
        self.lake.write_aside(&path, lines.as_bytes())?;
        Ok(path)
    }

    fn unwritable(&self, error: &serde_json::Error) -> RepositoryError {
        RepositoryError::damaged(self.journal.path(), format!("a sample that is no JSON: {error}"))
    }

    /// Where the copy is; `None` if this very damage was copied before.
    fn copy_segment(&self, segment: usize) -> Result<Option<PathBuf>, RepositoryError> {
        let (system, file) = (self.lake.system().as_ref(), self.journal.file());
        let mut bytes = vec![0; SEGMENT_BYTES];
        read_all_at(system, file, &mut bytes, offset(segment, 0)).at("read", self.journal.path())?;
        let directory = self.lake.spool_quarantine(self.journal.path())?;
        let path = directory.join(format!("segment-{segment}-{:08x}", crc32c::crc32c(&bytes)));
        Ok(self.lake.write_aside(&path, &bytes)?.then_some(path))
    }
}

impl Lake {
    /// `LAKE/.quarantine/.spool/<host>`, made where it is missing.
    fn spool_quarantine(&self, journal: &Path) -> Result<PathBuf, RepositoryError> {
        let host = journal.parent().and_then(Path::file_name).unwrap_or_default();
        let directory = self.root().join(QUARANTINE).join(SPOOL).join(host);
        make_directories(self.system().as_ref(), self.root(), &directory)?;
        Ok(directory)
    }

    /// Moves a whole journal to the quarantine.
    pub(super) fn set_spool_aside(&self, journal: &Path) -> Result<PathBuf, RepositoryError> {
        let system = self.system().as_ref();
        let directory = self.spool_quarantine(journal)?;
        let path = directory.join(format!("{}-journal", unique()));
        rename_to_free_name(system, journal, &path).at("set aside", journal)?;
        for changed in [&directory, journal.parent().unwrap_or(journal)] {
            system.sync_directory(changed).at("sync", changed)?;
        }
        Ok(path)
    }
}

/// The rows of a date that could be among these, from files that are durable under their names.
fn published(
    lake: &Lake,
    date: NaiveDate,
    rows: &[HostMetricsSample],
) -> Result<Vec<HostMetricsSample>, RepositoryError> {
    let store = lake.host_metrics().store().clone();
    let Some((first, last)) =
        rows.iter().map(|row| row.as_of).min().zip(rows.iter().map(|row| row.as_of).max())
    else {
        return Ok(Vec::new());
    };
    // No merge takes a file away meanwhile.
    let _lock = lake.lock_date(store.name(), date, Exclusion::Shared)?;
    let columns: Vec<_> = HostMetricsSample::DATASET.columns.iter().map(|column| column.name).collect();
    let files = store.files_on(date)?;
    let mut found: Vec<HostMetricsSample> = Vec::new();
    for file in &files {
        if file.name.sample().is_some_and(|name| name.last < first || name.first > last) {
            continue;
        }
        let read = store.read(file, &columns).and_then(|frame| rows_from_frame(&frame));
        match read {
            Ok(others) => found.extend(others),
            // Nobody can read it, so its rows are not published.
            Err(error @ RepositoryError::Damaged { .. }) => {
                tracing::warn!(%error, "file is left out when looking for samples that are published");
            }
            Err(error) => return Err(error),
        }
    }
    if !files.is_empty() {
        let directory = store.date_path(date);
        lake.system().sync_directory(&directory).at("sync", &directory)?;
    }
    Ok(found)
}
