//! How a file gets into a dataset: built and validated in staging, then renamed to a free name.
//!
//! The steps, in order: space check; create, refusing an existing file; write; sync; validate by
//! opening it again; rename without replacing; sync the directory. A file whose sync failed is
//! removed, never synced again: the kernel may have dropped its pages.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use polars::prelude::*;
use telemetry_schema::Dataset;
use telemetry_schema::host_metrics::names;

use crate::content_hash::ContentHasher;
use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::{FileSystem, rename_to_free_name};
use crate::footer;
use crate::frame::{data_type, timestamps};
use crate::lock::make_directories;
use crate::parquet::{self, ParquetFile};
use crate::scan::date_range_us;
use crate::staging::Session;
use crate::store::DatasetStore;

/// Footer and page headers of a file, over the size of its values.
const OVERHEAD_BYTES: u64 = 16 * 1024;
/// Names are random: one that is taken twice in a row is no coincidence.
const NAME_ATTEMPTS: usize = 8;

/// A complete, synced and validated file in staging; removed unless it is published.
#[derive(Debug)]
pub(crate) struct StagedFile {
    system: Arc<dyn FileSystem>,
    path: PathBuf,
    /// Ends after the file has been published or removed.
    session: Option<Session>,
}

impl StagedFile {
    /// Takes care of a file that has just been created.
    pub(crate) fn new(system: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        Self { system, path, session: None }
    }

    /// Takes care of its session, too.
    pub(crate) fn with_session(mut self, session: Session) -> Self {
        self.session = Some(session);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        match self.system.remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(path = %self.path.display(), %error, "unfinished file stays in staging");
            }
            _ => {}
        }
    }
}

/// A written file in staging that is not durable yet.
#[derive(Debug)]
pub(crate) struct Unsynced {
    staged: StagedFile,
    file: File,
    dataset: &'static Dataset,
    size: u64,
    rows: usize,
    time_range_us: Option<(i64, i64)>,
    content_hash: String,
}

impl Unsynced {
    /// Makes it durable and validates it; returns the hash of its rows with it.
    pub(crate) fn sync(self) -> Result<(StagedFile, String), RepositoryError> {
        let Self { staged, file, dataset, size, rows, time_range_us, content_hash } = self;
        staged.system.sync_file(&file).at("sync", staged.path())?;
        drop(file);
        validate(staged.path(), dataset, size, rows, time_range_us)?;
        Ok((staged, content_hash))
    }
}

/// Writes a frame of one date to `path`, which must not exist; returns the hash of its rows with it.
pub(crate) fn stage(
    store: &DatasetStore,
    path: PathBuf,
    date: NaiveDate,
    frame: &DataFrame,
    extra: Vec<(String, String)>,
) -> Result<(StagedFile, String), RepositoryError> {
    stage_unsynced(store, path, date, frame, extra)?.sync()
}

/// As [`stage`], but does not wait for the disk.
pub(crate) fn stage_unsynced(
    store: &DatasetStore,
    path: PathBuf,
    date: NaiveDate,
    frame: &DataFrame,
    extra: Vec<(String, String)>,
) -> Result<Unsynced, RepositoryError> {
    let time_range_us = check_frame(store, date, frame)?;
    let system = store.lake().system();
    check_space(system.as_ref(), store.lake().root(), frame.estimated_size() as u64)?;
    let content_hash = ContentHasher::of_frame(store.dataset(), frame)?;
    let mut key_values = footer::key_values(store.dataset(), store.name(), frame.height(), time_range_us);
    key_values.push((footer::keys::CONTENT_HASH.to_owned(), content_hash.clone()));
    key_values.extend(extra);

    let file = system.create_new(&path).at("create", &path)?;
    let staged = StagedFile::new(Arc::clone(system), path);
    let size = write(system.as_ref(), &file, staged.path(), frame, key_values)?;
    let (dataset, rows) = (store.dataset(), frame.height());
    Ok(Unsynced { staged, file, dataset, size, rows, time_range_us, content_hash })
}

/// Gives a staged file its place in a date, and makes that durable.
pub(crate) fn publish(
    store: &DatasetStore,
    date: NaiveDate,
    staged: StagedFile,
    mut name: impl FnMut() -> String,
) -> Result<PathBuf, RepositoryError> {
    let lake = store.lake();
    let system = lake.system().as_ref();
    let directory = store.date_path(date);
    let _lock = lake.lock_date(store.name(), date, Exclusion::Shared)?;
    make_directories(system, lake.root(), &directory)?;
    let mut attempts = 0;
    let path = loop {
        let path = directory.join(name());
        attempts += 1;
        match rename_to_free_name(system, staged.path(), &path) {
            Ok(()) => break path,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempts < NAME_ATTEMPTS => {}
            Err(error) => return Err(RepositoryError::io("publish", &path, error)),
        }
    };
    // Its session ends here, so that the file system's journal takes all changes at once.
    drop(staged);
    if let Err(error) = system.sync_directory(&directory) {
        // Not acknowledged, so it must not be seen either: the caller will publish the rows again.
        if let Err(error) = system.remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "file that may not be durable stays behind");
        }
        return Err(RepositoryError::io("sync", &directory, error));
    }
    Ok(path)
}

/// Whether a date is added to, or exchanged as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exclusion {
    /// Others may add files at the same time.
    Shared,
    /// Nobody else adds or exchanges.
    Exclusive,
}

/// Checks columns, types, order and date; returns the range of times, in microseconds since 1970.
fn check_frame(
    store: &DatasetStore,
    date: NaiveDate,
    frame: &DataFrame,
) -> Result<Option<(i64, i64)>, RepositoryError> {
    let invalid = |reason: String| RepositoryError::InvalidFrame { dataset: store.name().to_owned(), reason };
    for column in frame.columns() {
        let Some((_, schema)) = store.dataset().column(column.name()) else {
            return Err(invalid(format!("there is no column {}", column.name())));
        };
        if *column.dtype() != data_type(schema.ty) {
            return Err(invalid(format!("column {} is {}, not {}", schema.name, column.dtype(), schema.ty)));
        }
    }
    let key = |column: &'static str| {
        let found = frame.column(column).map_err(|error| invalid(error.to_string()))?;
        if found.null_count() > 0 {
            return Err(invalid(format!("column {column} of the key has nulls")));
        }
        Ok(found)
    };
    let time_column = store.dataset().time_column().name;
    let times = timestamps(key(time_column)?).map_err(|error| invalid(error.to_string()))?;
    let hosts = key(names::host_id)?.str().map_err(|error| invalid(error.to_string()))?;
    if !hosts.iter().zip(times.iter()).is_sorted() {
        return Err(invalid(format!("rows are not sorted by {} and {time_column}", names::host_id)));
    }
    let range = times.min().zip(times.max());
    let (first_us, last_us) = date_range_us(date);
    match range {
        Some((min, max)) if min < first_us || max > last_us => {
            Err(invalid(format!("rows of {date} have {time_column} on another date")))
        }
        range => Ok(range),
    }
}

/// Refuses to write so many bytes where that would touch the reserve.
pub(crate) fn check_space(system: &dyn FileSystem, lake: &Path, bytes: u64) -> Result<(), RepositoryError> {
    let Some(space) = system.space(lake).at("ask for the free space of", lake)? else {
        return Ok(());
    };
    let free_bytes = space.free_bytes;
    let needed_bytes = bytes + OVERHEAD_BYTES + space.reserve_bytes();
    if free_bytes < needed_bytes {
        tracing::warn!(free_bytes, needed_bytes, "not enough free space to publish");
        return Err(RepositoryError::NoSpace { path: lake.to_owned() });
    }
    Ok(())
}

/// Writes the file; returns its size in bytes.
fn write(
    system: &dyn FileSystem,
    file: &File,
    path: &Path,
    frame: &DataFrame,
    key_values: Vec<(String, String)>,
) -> Result<u64, RepositoryError> {
    let mut sink = Sink { system, file, size: 0, error: None };
    let written = parquet::write(frame, key_values, &mut sink);
    match (sink.error, written) {
        (Some(error), _) => Err(RepositoryError::io("write", path, error)),
        (None, Ok(())) => Ok(sink.size),
        (None, Err(error)) => Err(RepositoryError::io("write", path, io::Error::other(error.to_string()))),
    }
}

/// Counts bytes and keeps the operating system's error, which the Parquet library turns into text.
struct Sink<'a> {
    system: &'a dyn FileSystem,
    file: &'a File,
    size: u64,
    error: Option<io::Error>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.system.write(self.file, bytes) {
            Ok(count) => {
                self.size += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.error = Some(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens what has been written and compares it with what was meant.
pub(crate) fn validate(
    path: &Path,
    dataset: &Dataset,
    size: u64,
    rows: usize,
    time_range_us: Option<(i64, i64)>,
) -> Result<(), RepositoryError> {
    let file = ParquetFile::open(path)?;
    let footer = file.footer();
    let stored_range = file.integer_range(dataset.time_column().name)?;
    let is_whole = file.size() == size
        && footer.rows == rows as u64
        && footer.time_range_us() == time_range_us
        && stored_range == time_range_us;
    if is_whole { Ok(()) } else { Err(RepositoryError::damaged(path, "reads back unlike it was written")) }
}
