//! Writing a large file group by group: what its footer says is known only when the last row is in.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;
use telemetry_schema::host_metrics::names;

use crate::content_hash::ContentHasher;
use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::FileSystem;
use crate::footer::{self, describe_columns, keys};
use crate::frame::timestamps;
use crate::parquet;
use crate::publish::{StagedFile, validate};
use crate::store::DatasetStore;

/// A finished part in staging, and what it holds.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: StagedFile,
    pub(crate) rows: u64,
    /// First and last instant, microseconds since 1970.
    pub(crate) time_range_us: (i64, i64),
    /// The first and the last host in order.
    pub(crate) hosts: (String, String),
    pub(crate) content_hash: String,
}

/// A file that is being written. Its rows arrive sorted by host and time.
pub(crate) struct PartWriter {
    store: DatasetStore,
    file: Arc<File>,
    sink: Arc<SinkState>,
    writer: BatchedWriter<BufWriter<Sink>>,
    schema: SchemaRef,
    staged: StagedFile,
    hasher: ContentHasher,
    /// Rows of a row group.
    group_rows: usize,
    waiting: Vec<DataFrame>,
    waiting_rows: usize,
    rows: u64,
    time_range_us: Option<(i64, i64)>,
    hosts: Option<(String, String)>,
}

impl PartWriter {
    /// Begins a file at `path`, which must not exist, with the columns of this frame.
    pub(crate) fn create(
        store: &DatasetStore,
        path: PathBuf,
        like: &DataFrame,
        group_rows: usize,
    ) -> Result<Self, RepositoryError> {
        let system = Arc::clone(store.lake().system());
        let file = Arc::new(system.create_new(&path).at("create", &path)?);
        let staged = StagedFile::new(Arc::clone(&system), path);
        let state = Arc::new(SinkState::default());
        let sink = Sink { system, file: Arc::clone(&file), state: Arc::clone(&state) };
        let writer = parquet::batched(like.schema(), sink, Vec::new())
            .map_err(|error| state.explain(&staged, &error))?;
        Ok(Self {
            store: store.clone(),
            file,
            sink: state,
            writer,
            schema: Arc::clone(like.schema()),
            staged,
            hasher: ContentHasher::new(store.dataset(), |column| like.get_column_index(column).is_some()),
            group_rows,
            waiting: Vec::new(),
            waiting_rows: 0,
            rows: 0,
            time_range_us: None,
            hosts: None,
        })
    }

    /// About how large the file would be with so many rows more, with room for rows that compress half
    /// as well as those written.
    pub(crate) fn size_with(&self, more: usize) -> u64 {
        let size = self.sink.size.load(Ordering::Relaxed);
        let unwritten = (self.waiting_rows + more) as u64;
        let written = self.rows - self.waiting_rows as u64;
        size + 2 * size.saturating_mul(unwritten).checked_div(written).unwrap_or(0)
    }

    /// Adds rows that follow those before.
    pub(crate) fn push(&mut self, frame: DataFrame) -> Result<(), RepositoryError> {
        self.describe(&frame)?;
        self.hasher.update(&frame)?;
        self.waiting_rows += frame.height();
        self.waiting.push(frame);
        if self.waiting_rows < self.group_rows {
            return Ok(());
        }
        let frame = self.take_waiting()?;
        let whole = frame.height() - frame.height() % self.group_rows;
        for offset in (0..whole).step_by(self.group_rows) {
            self.write_group(frame.slice(offset as i64, self.group_rows))?;
        }
        self.waiting_rows = frame.height() - whole;
        if self.waiting_rows > 0 {
            self.waiting.push(frame.slice(whole as i64, self.waiting_rows));
        }
        Ok(())
    }

    fn describe(&mut self, frame: &DataFrame) -> Result<(), RepositoryError> {
        let invalid = |error: PolarsError| self.store.invalid_frame(error.to_string());
        let hosts = frame.column(names::host_id).and_then(|column| column.str()).map_err(invalid)?;
        let time_column = self.store.dataset().time_column().name;
        let times = frame.column(time_column).and_then(timestamps).map_err(invalid)?;
        let (Some(min), Some(max)) = (times.min(), times.max()) else { return Ok(()) };
        self.time_range_us = Some(match self.time_range_us {
            Some((low, high)) => (low.min(min), high.max(max)),
            None => (min, max),
        });
        let text = |index| hosts.get(index).unwrap_or_default().to_owned();
        let last = text(frame.height() - 1);
        self.hosts = Some((self.hosts.take().map_or_else(|| text(0), |(first, _)| first), last));
        self.rows += frame.height() as u64;
        Ok(())
    }

    fn take_waiting(&mut self) -> Result<DataFrame, RepositoryError> {
        self.waiting_rows = 0;
        stack(std::mem::take(&mut self.waiting)).map_err(|error| self.store.invalid_frame(error.to_string()))
    }

    fn write_group(&mut self, mut group: DataFrame) -> Result<(), RepositoryError> {
        let written = self.writer.write_batch(group.rechunk_mut());
        written.map_err(|error| self.sink.explain(&self.staged, &error))
    }

    /// Writes the rest and the footer, syncs, and validates by opening the file again.
    pub(crate) fn finish(mut self) -> Result<Part, RepositoryError> {
        if self.waiting_rows > 0 {
            let rest = self.take_waiting()?;
            self.write_group(rest)?;
        }
        let content_hash = self.hasher.finish();
        let rows = self.rows as usize;
        let dataset = self.store.dataset();
        let mut pairs = footer::key_values(dataset, self.store.name(), rows, self.time_range_us);
        pairs.push((keys::COLUMNS.to_owned(), describe_columns(dataset)));
        pairs.push((keys::CONTENT_HASH.to_owned(), content_hash.clone()));
        let ended = parquet::end(self.writer, &self.schema, pairs);
        ended.map_err(|error| self.sink.explain(&self.staged, &error))?;
        let path = self.staged.path();
        self.store.lake().system().sync_file(&self.file).at("sync", path)?;
        validate(path, dataset, self.sink.size.load(Ordering::Relaxed), rows, self.time_range_us)?;
        Ok(Part {
            rows: self.rows,
            time_range_us: self.time_range_us.unwrap_or_default(),
            hosts: self.hosts.unwrap_or_default(),
            content_hash,
            file: self.staged,
        })
    }
}

/// Frames of the same columns as one.
pub(crate) fn stack(frames: Vec<DataFrame>) -> PolarsResult<DataFrame> {
    let mut frames = frames.into_iter();
    let mut all = frames.next().unwrap_or_default();
    for frame in frames {
        all.vstack_mut_owned(frame)?;
    }
    all.rechunk_mut();
    Ok(all)
}

/// What has become of the bytes: the writer keeps the sink, and turns its errors into text.
#[derive(Debug, Default)]
struct SinkState {
    size: AtomicU64,
    error: Mutex<Option<io::Error>>,
}

impl SinkState {
    fn explain(&self, staged: &StagedFile, error: &PolarsError) -> RepositoryError {
        let kept = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let error = kept.unwrap_or_else(|| io::Error::other(error.to_string()));
        RepositoryError::io("write", staged.path(), error)
    }
}

struct Sink {
    system: Arc<dyn FileSystem>,
    file: Arc<File>,
    state: Arc<SinkState>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.system.write(&self.file, bytes) {
            Ok(count) => {
                self.state.size.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                *self.state.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
