//! Compaction: many small files of a date become few, and not one row is lost.
//!
//! The merged files are built and verified in staging: what is read back from them must be, as a
//! multiset of rows, what was read from their inputs. Then the date is exchanged as a whole; files of
//! it that were not merged, or came meanwhile, are carried over by hard links.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chrono::NaiveDate;
use telemetry_schema::HostId;

use crate::content_hash::RowMultiset;
use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::rename_to_free_name;
use crate::layout::{SampleFileName, unique};
use crate::merge::{Merger, Source};
use crate::parquet::ROW_GROUP_ROWS;
use crate::part::{Part, PartWriter};
use crate::publish::check_space;
use crate::replace::{StagedDate, replace_some};
use crate::scan::DataFile;
use crate::store::DatasetStore;

/// A merged file begins another part before it grows beyond this.
const PART_BYTES: u64 = 128 * 1024 * 1024;

/// What [`DatasetStore::compact`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The new files.
    pub files: Vec<PathBuf>,
    /// Number of files that they replace; 0 if there was nothing to do.
    pub merged: usize,
    /// Number of rows in them.
    pub rows: u64,
}

/// Whether the files of a date are as few as compaction makes them: one, or the parts of one merge.
pub fn is_compact(files: &[DataFile]) -> bool {
    let parts: Option<BTreeSet<_>> = files.iter().map(|file| file.name.sample()?.part()).collect();
    files.len() <= 1
        || parts.is_some_and(|parts| {
            let merges: BTreeSet<_> = parts.iter().map(|part| (part.merge, part.of)).collect();
            merges.len() == 1 && merges.first().is_some_and(|(_, of)| *of as usize == parts.len())
        })
}

impl DatasetStore {
    /// Merges each of these groups of a date's files into one sorted file, or several where one would
    /// be larger than 128 MiB, and puts them in the place of their inputs. Every row is kept,
    /// duplicates too. Files that cannot be merged without loss are left as they are.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] with the path of an input that cannot be read: the date is as it
    /// was. [`RepositoryError::Conflict`] if an input is gone: planning again helps.
    pub fn compact(&self, date: NaiveDate, groups: &[Vec<DataFile>]) -> Result<Compacted, RepositoryError> {
        self.compact_in_parts(date, groups, PART_BYTES)
    }

    pub(crate) fn compact_in_parts(
        &self,
        date: NaiveDate,
        groups: &[Vec<DataFile>],
        part_bytes: u64,
    ) -> Result<Compacted, RepositoryError> {
        let gone_is_conflict = |error: RepositoryError| {
            if error.is_not_found() {
                RepositoryError::Conflict { path: self.date_path(date) }
            } else {
                error
            }
        };
        let mut merges = Vec::new();
        for group in groups {
            let sources = self.mergeable(group).map_err(gone_is_conflict)?;
            let files: Vec<DataFile> = sources.iter().map(|source| source.file.clone()).collect();
            if !is_compact(&files) {
                merges.push(sources);
            }
        }
        let inputs: Vec<DataFile> = merges.iter().flatten().map(|source| source.file.clone()).collect();
        if inputs.is_empty() {
            return Ok(Compacted::default());
        }
        let bytes = inputs.iter().map(|file| file.size).sum();
        check_space(self.lake().system().as_ref(), self.lake().root(), bytes)?;
        let staged = StagedDate::create(self.lake(), date)?;
        let mut compacted = Compacted { merged: inputs.len(), ..Compacted::default() };
        let mut names = Vec::new();
        for sources in merges {
            for (name, rows) in self.merge(&staged, sources, part_bytes).map_err(gone_is_conflict)? {
                compacted.files.push(self.date_path(date).join(&name));
                compacted.rows += rows;
                names.push(name);
            }
        }
        replace_some(self, staged, &names, &inputs)?;
        Ok(compacted)
    }

    fn mergeable(&self, group: &[DataFile]) -> Result<Vec<Source>, RepositoryError> {
        let sources = group.iter().map(|file| Source::open(self, file)).collect::<Result<Vec<_>, _>>()?;
        Ok(sources.into_iter().flatten().collect())
    }

    /// Writes the parts of one merge into the staged date; returns their names and rows.
    fn merge(
        &self,
        staged: &StagedDate,
        sources: Vec<Source>,
        part_bytes: u64,
    ) -> Result<Vec<(String, u64)>, RepositoryError> {
        let mut merger = Merger::new(self, sources)?;
        let parts = self.write_parts(&mut merger, part_bytes)?;
        self.verify_merge(&parts, merger.rows())?;
        let (merge, of) = (unique(), parts.len() as u32);
        let mut named = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let (first, last) = &part.hosts;
            let host = if first == last { HostId::parse(first).ok() } else { None };
            let name = SampleFileName::covering(host, part.time_range_us, part.rows);
            let name = name.part_of_merge(index as u32 + 1, of, &merge).to_string();
            let path = staged.path().join(&name);
            let system = self.lake().system().as_ref();
            rename_to_free_name(system, part.file.path(), &path).at("name", &path)?;
            tracing::debug!(name, rows = part.rows, content_hash = part.content_hash, "merged");
            named.push((name, part.rows));
        }
        Ok(named)
    }

    fn write_parts(&self, merger: &mut Merger, part_bytes: u64) -> Result<Vec<Part>, RepositoryError> {
        let mut parts = Vec::new();
        let mut writer: Option<PartWriter> = None;
        while let Some(frame) = merger.next()? {
            if let Some(full) = writer.take_if(|writer| writer.size_with(frame.height()) > part_bytes) {
                parts.push(full.finish()?);
            }
            let mut open = match writer.take() {
                Some(open) => open,
                None => {
                    let path = self.lake().staging().new_path("__part")?;
                    PartWriter::create(self, path, &frame, ROW_GROUP_ROWS)?
                }
            };
            open.push(frame)?;
            writer = Some(open);
        }
        if let Some(last) = writer {
            parts.push(last.finish()?);
        }
        Ok(parts)
    }

    /// Reads the parts back and compares their rows with those of the inputs.
    fn verify_merge(&self, parts: &[Part], inputs: RowMultiset) -> Result<(), RepositoryError> {
        let columns: Vec<&str> = self.dataset().columns.iter().map(|column| column.name).collect();
        let mut outputs = RowMultiset::default();
        for part in parts {
            for group in self.row_groups_at(part.file.path(), &columns)? {
                outputs.update(self.dataset(), &group?)?;
            }
        }
        match parts {
            _ if outputs == inputs => Ok(()),
            [first, ..] => Err(RepositoryError::damaged(first.file.path(), "has other rows than its inputs")),
            [] => Err(self.invalid_frame("nothing was merged".to_owned())),
        }
    }
}
