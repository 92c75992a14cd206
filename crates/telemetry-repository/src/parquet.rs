//! Parquet files, written and read with the contract's settings.
//!
//! Reading trusts nothing: whatever polars makes of a damaged file, an error or a panic, becomes
//! [`RepositoryError::Damaged`] here. Only the footer and the wanted column chunks are read, by plain
//! reads: a memory map would turn a failing card into a signal instead of an error.

use std::fs::File;
use std::io::{BufWriter, Cursor, Read as _, Seek as _, SeekFrom, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use polars::io::parquet::metadata::{FileMetadata, FileMetadataRef};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;
use telemetry_schema::{Column as SchemaColumn, ColumnType, Dataset, Presence};

use crate::constants::{self, Divided};
use crate::error::{IoContext as _, RepositoryError};
use crate::excerpt::{Chunk, Excerpts, MAGIC};
use crate::footer::Footer;
use crate::footer_shape;
use crate::frame::data_type;
use crate::pages;

/// Rows of a row group: the unit in which files are read.
pub(crate) const ROW_GROUP_ROWS: usize = 122_880;
/// Bytes read at once from the end of a file: all of a file of minutes, the footer of a larger one.
const TAIL_BYTES: u64 = 64 * 1024;
/// Larger files are not taken for real: compaction begins another at an eighth of this.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// More rows are not taken for real: a date of a thousand hosts, each second.
const MAX_ROWS: usize = 100_000_000;
/// Length and magic at the very end.
const TRAILER_BYTES: u64 = 8;
/// The Arrow schema as polars stores it; the Parquet types say all that the datasets need.
const ARROW_SCHEMA_KEY: &str = "ARROW:schema";
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Writes a frame as one Parquet file; on the calling thread only, since a one-shot collector should
/// not pay for a thread pool.
pub(crate) fn write(
    frame: &DataFrame,
    key_values: Vec<(String, String)>,
    sink: impl Write,
) -> PolarsResult<()> {
    let mut writer = batched(frame.schema(), sink, key_values)?;
    for offset in (0..frame.height()).step_by(ROW_GROUP_ROWS) {
        let mut group = frame.slice(offset as i64, ROW_GROUP_ROWS);
        writer.write_batch(group.rechunk_mut())?;
    }
    writer.finish()?;
    Ok(())
}

/// A writer of row groups with the contract's settings. Its end flushes the buffer.
pub(crate) fn batched<W: Write>(
    schema: &Schema,
    sink: W,
    key_values: Vec<(String, String)>,
) -> PolarsResult<BatchedWriter<BufWriter<W>>> {
    ParquetWriter::new(BufWriter::with_capacity(WRITE_BUFFER_BYTES, sink))
        // No level means zstd's own default, which is 3; polars does not export the type that says so.
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::default())
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(key_values)))
        .set_parallel(false)
        .batched(schema)
}

/// Ends a file with key-values that were not known when it was begun. The writer takes its own from
/// the beginning only, so they come from the footer of a file without rows.
pub(crate) fn end<W: Write>(
    writer: BatchedWriter<BufWriter<W>>,
    schema: &Schema,
    key_values: Vec<(String, String)>,
) -> PolarsResult<()> {
    let mut model = Vec::new();
    write(&DataFrame::empty_with_schema(schema), key_values, &mut model)?;
    let mut reader = ParquetReader::new(Cursor::new(model));
    let metadata = reader.get_metadata()?;
    let mut inner = writer.get_writer().lock().unwrap_or_else(PoisonError::into_inner);
    inner.end(metadata.key_value_metadata().clone())?;
    Ok(())
}

/// An open file whose footer has been read.
pub(crate) struct ParquetFile {
    path: PathBuf,
    file: File,
    size: u64,
    /// The end of the file; all of it if it is small.
    tail: Vec<u8>,
    metadata: FileMetadataRef,
    footer: Footer,
    /// Made when the first row group of a file larger than its tail is read.
    excerpts: Option<Excerpts>,
}

impl ParquetFile {
    pub(crate) fn open(path: &Path) -> Result<Self, RepositoryError> {
        let mut file = File::open(path).at("open", path)?;
        let size = file.metadata().at("read", path)?.len();
        if size > MAX_FILE_BYTES {
            return Err(RepositoryError::damaged(path, format!("{size} bytes are too many")));
        }
        let mut tail = read_range(&mut file, size.saturating_sub(TAIL_BYTES)..size, path)?;
        let footer_bytes = footer_bytes(&tail).filter(|bytes| *bytes + MAGIC.len() as u64 <= size);
        let Some(footer_bytes) = footer_bytes else {
            return Err(RepositoryError::damaged(path, format!("{size} bytes without a Parquet footer")));
        };
        if footer_bytes > tail.len() as u64 {
            tail = read_range(&mut file, size - footer_bytes..size, path)?;
        }
        footer_shape::check(footer_of(&tail)).map_err(|reason| RepositoryError::damaged(path, reason))?;
        let (metadata, footer) = contained(path, || parse_footer(&tail))?;
        Ok(Self { path: path.to_owned(), file, size, tail, metadata, footer, excerpts: None })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The smallest and largest value in a column of 64-bit integers or timestamps, by the statistics
    /// of its row groups; `None` where one has none.
    pub(crate) fn integer_range(&self, column: &str) -> Result<Option<(i64, i64)>, RepositoryError> {
        contained(&self.path, || {
            let mut range: Option<(i64, i64)> = None;
            for group in &self.metadata.row_groups {
                let chunk = group.columns_under_root_iter(column).and_then(|mut chunks| chunks.next());
                let statistics =
                    chunk.and_then(|chunk| chunk.statistics(&self.metadata.footer_buf)).transpose()?;
                let statistics = statistics.as_ref().and_then(|statistics| statistics.as_int64());
                let Some((min, max)) = statistics.and_then(|s| s.min_value.zip(s.max_value)) else {
                    return Ok(None);
                };
                range = Some(range.map_or((min, max), |(low, high)| (low.min(min), high.max(max))));
            }
            Ok(range)
        })
    }

    /// The names of all columns that the file has.
    pub(crate) fn column_names(&self) -> Result<Vec<String>, RepositoryError> {
        let schema = contained(&self.path, || schema_of(&self.metadata))?;
        Ok(schema.iter_names().map(ToString::to_string).collect())
    }

    /// A text that no value of the column is before, by the statistics of its row groups; `None` where
    /// one has none.
    pub(crate) fn smallest_text(&self, column: &str) -> Result<Option<String>, RepositoryError> {
        contained(&self.path, || {
            let mut smallest: Option<Vec<u8>> = None;
            for group in &self.metadata.row_groups {
                let chunk = group.columns_under_root_iter(column).and_then(|mut chunks| chunks.next());
                let statistics =
                    chunk.and_then(|chunk| chunk.statistics(&self.metadata.footer_buf)).transpose()?;
                let Some(min) = statistics.and_then(|s| s.as_binary().and_then(|s| s.min_value.clone()))
                else {
                    return Ok(None);
                };
                smallest = Some(smallest.map_or(min.clone(), |least| least.min(min)));
            }
            Ok(smallest.and_then(|bytes| String::from_utf8(bytes).ok()))
        })
    }

    /// Reads the columns of one row group, by its column chunks alone or by its statistics too.
    fn read_group(
        &mut self,
        group: usize,
        columns: &[&'static SchemaColumn],
        skips_constants: bool,
    ) -> Result<DataFrame, RepositoryError> {
        let mut divided = Divided { decoded: self.check_types(columns)?, constant: Vec::new() };
        if skips_constants {
            divided = contained(&self.path, || constants::divide(&self.metadata, group, &divided.decoded))?;
        }
        let mut frame = self.decode_group(group, &divided.decoded)?;
        let rows = self.metadata.row_groups[group].num_rows();
        let frame = contained(&self.path, || {
            frame.hstack_mut(&divided.constant)?;
            complete(&frame, columns, rows)
        })?;
        self.check_keys(&frame, columns)?;
        Ok(frame)
    }

    /// Decodes column chunks of one row group.
    fn decode_group(
        &mut self,
        group: usize,
        present: &[&'static SchemaColumn],
    ) -> Result<DataFrame, RepositoryError> {
        if present.is_empty() {
            return Ok(DataFrame::empty());
        }
        let chunks = self.chunks(group, present)?;
        let (bytes, metadata) = self.in_memory(group, &chunks)?;
        contained(&self.path, || {
            let mut reader = ParquetReader::new(Cursor::new(bytes)).read_parallel(ParallelStrategy::None);
            if let Some(metadata) = metadata {
                reader.set_metadata(metadata);
            }
            let names = present.iter().map(|column| column.name.to_owned()).collect();
            reader.with_columns(Some(names)).finish()
        })
    }

    /// The wanted columns that the file has, if they have the types of the dataset.
    fn check_types(
        &self,
        columns: &[&'static SchemaColumn],
    ) -> Result<Vec<&'static SchemaColumn>, RepositoryError> {
        let schema = contained(&self.path, || schema_of(&self.metadata))?;
        let mut present = Vec::with_capacity(columns.len());
        for column in columns {
            match schema.get(column.name) {
                Some(found) if is_stored_as(column.ty, found) => present.push(*column),
                Some(found) => {
                    return Err(self.damaged(format!("column {} is {found}, not {}", column.name, column.ty)));
                }
                None if column.presence == Presence::Key => {
                    return Err(self.damaged(format!("column {} of the key is missing", column.name)));
                }
                None => {}
            }
        }
        Ok(present)
    }

    fn check_keys(&self, frame: &DataFrame, columns: &[&SchemaColumn]) -> Result<(), RepositoryError> {
        for (column, schema) in frame.columns().iter().zip(columns) {
            if schema.presence == Presence::Key && column.null_count() > 0 {
                return Err(self.damaged(format!("column {} of the key has nulls", schema.name)));
            }
        }
        Ok(())
    }

    /// Where the row group's chunks of these columns are.
    fn chunks(&self, group: usize, columns: &[&SchemaColumn]) -> Result<Vec<Chunk>, RepositoryError> {
        let chunks = contained(&self.path, || chunks_of(&self.metadata, group, columns))?;
        if chunks.iter().any(|chunk| chunk.range.start > chunk.range.end || chunk.range.end > self.size) {
            return Err(self.damaged("column chunks reach beyond the end".to_owned()));
        }
        if chunks.iter().map(Chunk::bytes).sum::<u64>() > self.size {
            return Err(self.damaged("column chunks overlap".to_owned()));
        }
        Ok(chunks)
    }

    /// A Parquet file in memory that has these chunks of a row group, and its metadata if that is not
    /// simply its footer.
    fn in_memory(
        &mut self,
        group: usize,
        chunks: &[Chunk],
    ) -> Result<(Vec<u8>, Option<FileMetadataRef>), RepositoryError> {
        let rows = self.metadata.row_groups[group].num_rows();
        let check = |bytes: &[u8]| pages::check(bytes, rows);
        if self.tail.len() as u64 == self.size {
            for Chunk { range, .. } in chunks {
                let chunk = &self.tail[range.start as usize..range.end as usize];
                check(chunk).map_err(|reason| self.damaged(reason))?;
            }
            return Ok((self.tail.clone(), Some(single_group(&self.metadata, group))));
        }
        let footer = self.excerpt_footer(group, chunks)?;
        let length = chunks.iter().map(Chunk::bytes).sum::<u64>() as usize;
        let mut bytes = Vec::with_capacity(MAGIC.len() + length + footer.len());
        bytes.extend_from_slice(MAGIC);
        for chunk in chunks {
            let start = bytes.len();
            self.file.seek(SeekFrom::Start(chunk.range.start)).at("read", &self.path)?;
            let read = (&self.file).take(chunk.bytes()).read_to_end(&mut bytes).at("read", &self.path)?;
            if read as u64 != chunk.bytes() {
                return Err(self.damaged("shorter than a moment ago".to_owned()));
            }
            check(&bytes[start..]).map_err(|reason| self.damaged(reason))?;
        }
        bytes.extend_from_slice(&footer);
        Ok((bytes, None))
    }

    fn excerpt_footer(&mut self, group: usize, chunks: &[Chunk]) -> Result<Vec<u8>, RepositoryError> {
        let failed = |error| PolarsError::ComputeError(format!("{error}").into());
        contained(&self.path, || {
            let excerpts = match self.excerpts.take() {
                Some(excerpts) => excerpts,
                None => Excerpts::parse(footer_of(&self.tail)).map_err(failed)?,
            };
            self.excerpts.insert(excerpts).footer(group, chunks).map_err(failed)
        })
    }

    fn damaged(&self, reason: String) -> RepositoryError {
        RepositoryError::damaged(&self.path, reason)
    }
}

/// A file's rows, one row group at a time; each frame has the wanted columns in the wanted order,
/// null where the file lacks one.
pub struct RowGroups {
    file: ParquetFile,
    columns: Vec<&'static SchemaColumn>,
    skips_constants: bool,
    next: usize,
}

impl RowGroups {
    pub(crate) fn open(
        path: &Path,
        dataset: &'static Dataset,
        columns: Vec<&'static SchemaColumn>,
    ) -> Result<Self, RepositoryError> {
        let file = ParquetFile::open(path)?;
        if let Some(version) =
            file.footer.schema_version().filter(|version| *version > dataset.schema_version)
        {
            let (path, known) = (path.display(), dataset.schema_version);
            tracing::warn!(%path, version, known, "file has a newer schema, columns unknown here are ignored");
        }
        Ok(Self { file, columns, skips_constants: false, next: 0 })
    }

    /// Does not decode columns that hold one value in all rows of a row group, as its statistics say;
    /// they come as scalar columns. [`DatasetStore::verify`](crate::DatasetStore::verify) checks that
    /// they say so of a file of ours rightly.
    #[must_use]
    pub fn skip_constants(mut self) -> Self {
        self.skips_constants = true;
        self
    }

    /// The columns with one value in the row group that was read last, by its statistics.
    pub(crate) fn constants(&self) -> Result<Vec<Column>, RepositoryError> {
        let Some(group) = self.next.checked_sub(1) else { return Ok(Vec::new()) };
        let present = self.file.check_types(&self.columns)?;
        let divided = contained(&self.file.path, || constants::divide(&self.file.metadata, group, &present))?;
        Ok(divided.constant)
    }

    /// What the footer says.
    pub fn footer(&self) -> &Footer {
        self.file.footer()
    }

    /// The columns of each frame, in order.
    pub fn columns(&self) -> &[&'static SchemaColumn] {
        &self.columns
    }
}

impl Iterator for RowGroups {
    type Item = Result<DataFrame, RepositoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.next;
        self.next += 1;
        (group < self.file.footer.row_groups)
            .then(|| self.file.read_group(group, &self.columns, self.skips_constants))
    }
}

/// Runs the Parquet library on bytes from disk: its errors and its panics both mean that they are
/// damaged. The only place where panics are caught.
fn contained<T>(path: &Path, read: impl FnOnce() -> PolarsResult<T>) -> Result<T, RepositoryError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| RepositoryError::damaged(path, first_line(&error))),
        Err(_) => Err(RepositoryError::damaged(path, "the Parquet library gave up on it")),
    }
}

fn first_line(error: &PolarsError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Reads a range of the file; a file that is shorter than it was a moment ago is damaged.
fn read_range(file: &mut File, range: Range<u64>, path: &Path) -> Result<Vec<u8>, RepositoryError> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.seek(SeekFrom::Start(range.start)).at("read", path)?;
    file.read_exact(&mut bytes).at("read", path)?;
    Ok(bytes)
}

/// Length of footer and trailer; `None` if the file does not end as a Parquet file does.
fn footer_bytes(tail: &[u8]) -> Option<u64> {
    let (_, trailer) = tail.split_last_chunk::<{ TRAILER_BYTES as usize }>()?;
    let (length, magic) = trailer.split_first_chunk::<4>()?;
    (magic == MAGIC).then(|| u64::from(u32::from_le_bytes(*length)) + TRAILER_BYTES)
}

/// The footer proper, given the end of a file that has one.
fn footer_of(tail: &[u8]) -> &[u8] {
    let length = footer_bytes(tail).unwrap_or(0) as usize;
    let start = tail.len().saturating_sub(length);
    &tail[start..tail.len().saturating_sub(TRAILER_BYTES as usize).max(start)]
}

fn parse_footer(tail: &[u8]) -> PolarsResult<(FileMetadataRef, Footer)> {
    // The reader counts from the end, so that the tail of a file is as good as all of it.
    let mut reader = ParquetReader::new(Cursor::new(tail));
    let metadata = reader.get_metadata()?.clone();
    drop(reader);
    let mut metadata = Arc::unwrap_or_clone(metadata);
    let group_rows =
        metadata.row_groups.iter().try_fold(0usize, |sum, group| sum.checked_add(group.num_rows()));
    polars_ensure!(metadata.num_rows <= MAX_ROWS, ComputeError: "{} rows are too many", metadata.num_rows);
    polars_ensure!(group_rows == Some(metadata.num_rows), ComputeError: "row groups do not add up to the rows");
    // Without the Arrow schema in them the library takes the Parquet types, which say the same sooner.
    let pairs = metadata.key_value_metadata.take().into_iter().flatten();
    let key_values = pairs
        .filter(|pair| pair.key != ARROW_SCHEMA_KEY)
        .map(|pair| (pair.key, pair.value.unwrap_or_default()))
        .collect();
    let footer = Footer { rows: metadata.num_rows as u64, row_groups: metadata.row_groups.len(), key_values };
    Ok((Arc::new(metadata), footer))
}

/// The metadata of a file that has only this row group.
fn single_group(metadata: &FileMetadataRef, group: usize) -> FileMetadataRef {
    if metadata.row_groups.len() == 1 {
        return Arc::clone(metadata);
    }
    let row_group = metadata.row_groups[group].clone();
    Arc::new(FileMetadata {
        version: metadata.version,
        num_rows: row_group.num_rows(),
        max_row_group_height: row_group.num_rows(),
        created_by: None,
        row_groups: vec![row_group],
        key_value_metadata: None,
        schema_descr: metadata.schema_descr.clone(),
        column_orders: None,
        footer_buf: metadata.footer_buf.clone(),
    })
}

/// Where the row group's chunks of these columns are.
fn chunks_of(metadata: &FileMetadata, group: usize, columns: &[&SchemaColumn]) -> PolarsResult<Vec<Chunk>> {
    let group = &metadata.row_groups[group];
    let rows = group.num_rows();
    let positions = columns.iter().filter_map(|column| group.columns_idxs_under_root_iter(column.name));
    positions
        .flatten()
        .map(|column| {
            let chunk = &group.parquet_columns()[*column];
            let values = chunk.num_values();
            polars_ensure!(
                usize::try_from(values) == Ok(rows),
                ComputeError: "a column chunk of {values} values for {rows} rows"
            );
            Ok(Chunk { column: *column, range: chunk.byte_range() })
        })
        .collect()
}

fn schema_of(metadata: &FileMetadata) -> PolarsResult<Schema> {
    Ok(Schema::from_arrow_schema(&infer_schema(metadata)?))
}

/// Whether a Parquet column of that type holds values of the dataset's type.
fn is_stored_as(ty: ColumnType, found: &DataType) -> bool {
    match (ty, found) {
        // Parquet knows that a timestamp is in UTC, and polars names that otherwise than we do.
        (ColumnType::TimestampUs, DataType::Datetime(TimeUnit::Microseconds, zone)) => zone.is_some(),
        (ty, found) => *found == data_type(ty),
    }
}

/// All wanted columns in order, null where the file has none.
fn complete(frame: &DataFrame, columns: &[&SchemaColumn], rows: usize) -> PolarsResult<DataFrame> {
    let columns = columns.iter().map(|column| match frame.column(column.name) {
        Ok(found) if column.ty == ColumnType::TimestampUs => as_utc(found),
        Ok(found) => Ok(found.clone()),
        Err(_) => Ok(Column::full_null(column.name.into(), rows, &data_type(column.ty))),
    });
    DataFrame::new(rows, columns.collect::<PolarsResult<_>>()?)
}

/// The same instants, with the dataset's name for UTC.
fn as_utc(column: &Column) -> PolarsResult<Column> {
    let microseconds = column.datetime()?.physical().clone();
    Ok(microseconds.into_datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)).into_column())
}
