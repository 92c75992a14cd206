//! Many sorted files as one sorted stream of rows, with only those row groups in memory that overlap.
//!
//! In each step the files that begin first are read until there is enough for a row group. Rows are
//! taken up to where an unread row group or an unopened file could still have an earlier one.

use std::collections::VecDeque;

use polars::prelude::*;
use telemetry_schema::host_metrics::names;

use crate::content_hash::RowMultiset;
use crate::error::RepositoryError;
use crate::frame::timestamps;
use crate::parquet::{ParquetFile, ROW_GROUP_ROWS, RowGroups};
use crate::part::{PartWriter, stack};
use crate::publish::StagedFile;
use crate::scan::{DataFile, date_range_us};
use crate::store::DatasetStore;

/// Files that are read together; a file of a few rows takes far more memory than its rows would.
const MOST_FILES: usize = 256;

/// A file of at least so many rows is large.
const LARGE_ROWS: u64 = 32_768;
/// More large files than this are not read side by side: each would hold a row group in memory.
const MOST_LARGE_FILES: usize = 2;
/// Rows of a row group of a large file's copy in staging.
const COPY_GROUP_ROWS: usize = 8_192;

/// Host and instant of a row, microseconds since 1970.
type Key = (String, i64);

/// A file to merge; not open yet.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: DataFile,
    /// No row is earlier.
    lower: Key,
    row_groups: usize,
    rows: u64,
    /// The file is a copy in staging, and the rows of the original have been counted.
    copy: Option<StagedFile>,
}

impl Source {
    /// Looks at a file's footer. `None`, after a warning, if merging would lose something of it:
    /// columns that only a newer version knows, or rows that nobody expects on that date.
    pub(crate) fn open(store: &DatasetStore, file: &DataFile) -> Result<Option<Self>, RepositoryError> {
        let parquet = ParquetFile::open(&file.path)?;
        let unknown = parquet.column_names()?.into_iter().find(|name| store.dataset().column(name).is_none());
        let path = file.path.display();
        if let Some(column) = unknown {
            tracing::warn!(%path, column, "file has columns unknown here and is left as it is");
            return Ok(None);
        }
        let (first_us, last_us) = date_range_us(file.date);
        let range = parquet.integer_range(store.dataset().time_column().name)?;
        let Some((min_us, _)) = range.filter(|(min, max)| first_us <= *min && *max <= last_us) else {
            tracing::warn!(%path, "file does not say that its rows are of its date and is left as it is");
            return Ok(None);
        };
        let lower = (parquet.smallest_text(names::host_id)?.unwrap_or_default(), min_us);
        let footer = parquet.footer();
        let (row_groups, rows) = (footer.row_groups, footer.rows);
        Ok(Some(Self { file: file.clone(), lower, row_groups, rows, copy: None }))
    }

    /// Copies the file, sorted, with small row groups, so that little of it need be in memory.
    fn with_small_groups(
        self,
        store: &DatasetStore,
        rows: &mut RowMultiset,
    ) -> Result<Self, RepositoryError> {
        let file = self.file.clone();
        let mut merger = Merger::one_by_one(store, vec![self]);
        let mut writer: Option<PartWriter> = None;
        while let Some(frame) = merger.next()? {
            let mut open = match writer.take() {
                Some(open) => open,
                None => {
                    let path = store.lake().staging().new_path("__copy")?;
                    PartWriter::create(store, path, &frame, COPY_GROUP_ROWS)?
                }
            };
            open.push(frame)?;
            writer = Some(open);
        }
        *rows = *rows + merger.rows;
        let Some(writer) = writer else { return Err(store.invalid_frame("a file without rows".to_owned())) };
        let copy = writer.finish()?.file;
        let of_copy = DataFile { path: copy.path().to_owned(), ..file.clone() };
        let source = Self::open(store, &of_copy)?;
        let source =
            source.ok_or_else(|| RepositoryError::damaged(copy.path(), "is no copy of its original"))?;
        Ok(Self { copy: Some(copy), ..source })
    }
}

/// A file with rows in memory.
struct Active {
    frame: DataFrame,
    rest: Option<RowGroups>,
    copy: Option<StagedFile>,
}

/// The merged rows of the sources.
pub(crate) struct Merger {
    store: DatasetStore,
    columns: Vec<&'static str>,
    waiting: VecDeque<Source>,
    active: Vec<Active>,
    rows: RowMultiset,
}

impl Merger {
    pub(crate) fn new(store: &DatasetStore, sources: Vec<Source>) -> Result<Self, RepositoryError> {
        let is_large = |source: &Source| source.rows >= LARGE_ROWS;
        if sources.iter().filter(|source| is_large(source)).count() <= MOST_LARGE_FILES {
            return Ok(Self::one_by_one(store, sources));
        }
        let mut counted = RowMultiset::default();
        let copied = sources.into_iter().map(|source| {
            if is_large(&source) { source.with_small_groups(store, &mut counted) } else { Ok(source) }
        });
        let copied = copied.collect::<Result<_, _>>()?;
        Ok(Self { rows: counted, ..Self::one_by_one(store, copied) })
    }

    fn one_by_one(store: &DatasetStore, mut sources: Vec<Source>) -> Self {
        sources.sort_by(|one, other| (&one.lower, &one.file.path).cmp(&(&other.lower, &other.file.path)));
        Self {
            store: store.clone(),
            columns: store.dataset().columns.iter().map(|column| column.name).collect(),
            waiting: sources.into(),
            active: Vec::new(),
            rows: RowMultiset::default(),
        }
    }

    /// All rows read so far.
    pub(crate) fn rows(&self) -> RowMultiset {
        self.rows
    }

    /// The next rows in order; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<DataFrame>, RepositoryError> {
        loop {
            while self.in_memory() < ROW_GROUP_ROWS
                && self.active.len() < MOST_FILES
                && let Some(source) = self.waiting.pop_front()
            {
                self.open(source)?;
            }
            if self.active.is_empty() {
                return Ok(None);
            }
            let taken = self.take()?;
            self.refill()?;
            if !taken.is_empty() {
                return self.in_order(taken).map(Some);
            }
            // Everything in memory may follow rows of the next file.
            if let Some(source) = self.waiting.pop_front() {
                self.open(source)?;
            }
        }
    }

    fn in_memory(&self) -> usize {
        self.active.iter().map(|active| active.frame.height()).sum()
    }

    fn open(&mut self, source: Source) -> Result<(), RepositoryError> {
        let groups = self.store.read_row_groups(&source.file, &self.columns)?;
        // A foreign file may be in any order, so the keys of a large one are looked at first.
        if source.row_groups > 1 && !self.is_sorted(&source.file)? {
            let frame = self.store.read(&source.file, &self.columns)?;
            self.rows.update(self.store.dataset(), &frame)?;
            let frame = self.in_order(vec![frame])?;
            self.active.push(Active { frame, rest: None, copy: source.copy });
            return Ok(());
        }
        let rest = (source.row_groups > 0).then_some(groups);
        let mut active = Active { frame: DataFrame::empty(), rest, copy: source.copy };
        self.read_group(&mut active)?;
        active.frame = self.in_order(vec![active.frame])?;
        if source.row_groups <= 1 {
            active.rest = None;
        }
        self.active.push(active);
        Ok(())
    }

    fn is_sorted(&self, file: &DataFile) -> Result<bool, RepositoryError> {
        let columns = [names::host_id, self.store.dataset().time_column().name];
        let mut last: Option<Key> = None;
        for group in self.store.read_row_groups(file, &columns)? {
            let group = group?;
            let keys = self.keys(&group)?;
            let first = keys.first();
            if !keys.is_sorted() || first.is_some_and(|first| last.as_ref().is_some_and(|last| first < *last))
            {
                return Ok(false);
            }
            last = keys.last().or(last);
        }
        Ok(true)
    }

    fn read_group(&mut self, active: &mut Active) -> Result<(), RepositoryError> {
        active.frame = match active.rest.as_mut().and_then(Iterator::next) {
            Some(group) => {
                let mut group = group?;
                group.rechunk_mut();
                if active.copy.is_none() {
                    self.rows.update(self.store.dataset(), &group)?;
                }
                group
            }
            None => {
                active.rest = None;
                DataFrame::empty()
            }
        };
        Ok(())
    }

    /// The rows before which nothing can come any more, of each active file.
    fn take(&mut self) -> Result<Vec<DataFrame>, RepositoryError> {
        let mut through: Option<Key> = None;
        for active in self.active.iter().filter(|active| active.rest.is_some()) {
            let last = self.keys(&active.frame)?.last();
            through = match (through, last) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let before = self.waiting.front().map(|source| source.lower.clone());
        let mut taken = Vec::new();
        for active in &mut self.active {
            let keys = Keys::of(&self.store, &active.frame)?;
            let count = keys.partition_point(|key| {
                through.as_ref().is_none_or(|(host, us)| key <= (host.as_str(), *us))
                    && before.as_ref().is_none_or(|(host, us)| key < (host.as_str(), *us))
            });
            if count > 0 {
                taken.push(active.frame.slice(0, count));
                active.frame = active.frame.slice(count as i64, usize::MAX);
            }
        }
        Ok(taken)
    }

    /// Reads on where a row group is used up, and forgets files that are.
    fn refill(&mut self) -> Result<(), RepositoryError> {
        let mut active = std::mem::take(&mut self.active);
        for one in &mut active {
            while one.frame.height() == 0 && one.rest.is_some() {
                self.read_group(one)?;
            }
        }
        active.retain(|one| one.frame.height() > 0);
        self.active = active;
        Ok(())
    }

    /// One frame, sorted by host and time; equal keys stay in the order in which they came.
    fn in_order(&self, frames: Vec<DataFrame>) -> Result<DataFrame, RepositoryError> {
        let invalid = |error: PolarsError| self.store.invalid_frame(error.to_string());
        let frame = stack(frames).map_err(invalid)?;
        if frame.height() == 0 {
            return Ok(frame);
        }
        let keys = self.keys(&frame)?;
        if keys.is_sorted() {
            return Ok(frame);
        }
        let mut order: Vec<IdxSize> = (0..frame.height() as IdxSize).collect();
        order.sort_by(|one, other| keys.get(*one as usize).cmp(&keys.get(*other as usize)));
        frame.take(&IdxCa::from_vec(PlSmallStr::EMPTY, order)).map_err(invalid)
    }

    fn keys<'a>(&self, frame: &'a DataFrame) -> Result<Keys<'a>, RepositoryError> {
        Keys::of(&self.store, frame)
    }
}

/// The keys of a frame's rows; they have no nulls, which reading makes sure of.
struct Keys<'a> {
    hosts: &'a StringChunked,
    times: &'a Int64Chunked,
}

impl<'a> Keys<'a> {
    fn of(store: &DatasetStore, frame: &'a DataFrame) -> Result<Self, RepositoryError> {
        let invalid = |error: PolarsError| store.invalid_frame(error.to_string());
        let hosts = frame.column(names::host_id).and_then(|column| column.str()).map_err(invalid)?;
        let time = store.dataset().time_column().name;
        let times = frame.column(time).and_then(timestamps).map_err(invalid)?;
        Ok(Self { hosts, times })
    }

    fn get(&self, row: usize) -> (&'a str, i64) {
        (self.hosts.get(row).unwrap_or_default(), self.times.get(row).unwrap_or_default())
    }

    fn len(&self) -> usize {
        self.times.len()
    }

    fn owned(&self, row: usize) -> Option<Key> {
        (row < self.len()).then(|| (self.get(row).0.to_owned(), self.get(row).1))
    }

    fn first(&self) -> Option<Key> {
        self.owned(0)
    }

    fn last(&self) -> Option<Key> {
        self.owned(self.len().checked_sub(1)?)
    }

    fn is_sorted(&self) -> bool {
        self.hosts.iter().zip(self.times.iter()).is_sorted()
    }

    fn partition_point(&self, is_before: impl Fn((&str, i64)) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(self.get(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }
}
