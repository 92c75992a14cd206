//! One dataset of a lake: list, read, replace a date, set a damaged file aside.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use polars::prelude::DataFrame;
use telemetry_schema::{Column, Dataset};

use crate::error::{IoContext as _, RepositoryError};
use crate::filesystem::rename_to_free_name;
use crate::footer::{Footer, describe_columns, keys};
use crate::frame::empty_frame;
use crate::lake::Lake;
use crate::layout::{
    FileName, QUARANTINE, RollupFileName, dataset_directory, date_directory, is_parquet,
    parse_date_directory, unique,
};
use crate::listing::Listings;
use crate::lock::make_directories;
use crate::parquet::{ParquetFile, RowGroups};
use crate::publish::{Exclusion, Unsynced, stage_unsynced};
use crate::replace::{StagedDate, replace};
use crate::scan::{DataFile, Selection};

/// How often files may go while they are read.
const MOST_CHANGES: usize = 20;

/// A dataset under its name in one lake.
#[derive(Debug, Clone)]
pub struct DatasetStore {
    lake: Lake,
    dataset: &'static Dataset,
    name: String,
}

/// A date that has been replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The new file.
    pub path: PathBuf,
    /// Its number of rows.
    pub rows: usize,
    /// BLAKE3 of its rows, see [`crate::ContentHasher`].
    pub content_hash: String,
}

/// What takes the place of a date, written but not yet durable. It leaves nothing behind if it is not
/// published.
#[derive(Debug)]
pub struct Replacement {
    store: DatasetStore,
    file: Unsynced,
    directory: StagedDate,
    name: RollupFileName,
    rows: usize,
}

impl Replacement {
    /// Waits for the disk, and puts the new rows in the place of the old ones.
    ///
    /// # Errors
    /// [`RepositoryError::Conflict`] if the live date has this generation already, or a later one.
    pub fn publish(self) -> Result<Replaced, RepositoryError> {
        let Self { store, file, directory, name, rows } = self;
        let (staged, content_hash) = file.sync()?;
        let live_path = store.date_path(name.date);
        let path = live_path.join(name.to_string());
        replace(&store, directory, |live| {
            let generations = live.iter().filter_map(|name| Some(FileName::parse(name).rollup()?.generation));
            match generations.max() {
                Some(latest) if latest >= name.generation => {
                    Err(RepositoryError::Conflict { path: live_path })
                }
                _ => Ok(()),
            }
        })?;
        drop(staged);
        Ok(Replaced { path, rows, content_hash })
    }
}

impl DatasetStore {
    pub(crate) fn new(lake: Lake, dataset: &'static Dataset, name: String) -> Self {
        Self { lake, dataset, name }
    }

    /// The table of columns.
    pub fn dataset(&self) -> &'static Dataset {
        self.dataset
    }

    /// The name of directory and view.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn lake(&self) -> &Lake {
        &self.lake
    }

    /// The dataset's directory.
    pub fn directory(&self) -> PathBuf {
        dataset_directory(self.lake.root(), self.dataset, &self.name)
    }

    /// Whether the lake has the dataset. What cannot be looked at may be there.
    ///
    /// # Errors
    /// What stands in the way of looking.
    pub fn exists(&self) -> Result<bool, RepositoryError> {
        let directory = self.directory();
        directory.try_exists().at("look up", &directory)
    }

    pub(crate) fn date_path(&self, date: NaiveDate) -> PathBuf {
        self.directory().join(date_directory(date))
    }

    /// The dates that have a directory, ascending.
    pub fn dates(&self) -> Result<Vec<NaiveDate>, RepositoryError> {
        Ok(self.date_directories()?.into_iter().map(|(date, _)| date).collect())
    }

    /// The directories of dates and their names, by date.
    fn date_directories(&self) -> Result<Vec<(NaiveDate, OsString)>, RepositoryError> {
        let directory = self.directory();
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.at("list", &directory)?,
        };
        let mut dates = Vec::new();
        for entry in entries {
            let name = entry.at("list", &directory)?.file_name();
            dates.extend(name.to_str().and_then(parse_date_directory).map(|date| (date, name)));
        }
        dates.sort_unstable();
        Ok(dates)
    }

    /// The files that can hold selected rows, by date and name: directories and names decide, no
    /// file is opened.
    pub fn files(&self, selection: &Selection) -> Result<Vec<DataFile>, RepositoryError> {
        let mut files = Vec::new();
        for date in self.dates()?.into_iter().filter(|date| selection.wants_date(*date)) {
            files.extend(self.files_on(date)?.into_iter().filter(|file| selection.wants_file(&file.name)));
        }
        Ok(files)
    }

    /// All files, by date and name; directories of closed dates that have not changed are not listed
    /// again.
    pub fn files_by_date(
        &self,
        listings: &mut Listings,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<NaiveDate, Vec<DataFile>>, RepositoryError> {
        let directory = self.directory();
        let mut files = BTreeMap::new();
        for (date, name) in self.date_directories()? {
            files.insert(date, listings.files_in(self, date, &directory.join(name), now)?);
        }
        Ok(files)
    }

    /// All files of a date, by name; none if there is no such date.
    pub fn files_on(&self, date: NaiveDate) -> Result<Vec<DataFile>, RepositoryError> {
        let directory = self.date_path(date);
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.at("list", &directory)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.at("list", &directory)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !is_parquet(&name) {
                tracing::debug!(path = %entry.path().display(), "not a Parquet file, left out");
                continue;
            }
            match entry.metadata() {
                Ok(metadata) => files.push(DataFile {
                    path: entry.path(),
                    date,
                    size: metadata.len(),
                    name: FileName::parse(&name),
                }),
                // Replaced or set aside since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(RepositoryError::io("read", &entry.path(), error)),
            }
        }
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    /// A file's rows with these columns, in this order and in the types of the dataset: null where
    /// the file has no such column, which an older one may not. What the dataset does not know is
    /// ignored; if the file is of a newer schema, with a warning.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] if the file or a column of it is not what the dataset says;
    /// [`RepositoryError::InvalidFrame`] if a wanted column is not one of the dataset.
    pub fn read(&self, file: &DataFile, columns: &[&str]) -> Result<DataFrame, RepositoryError> {
        let mut groups = self.read_row_groups(file, columns)?;
        let Some(first) = groups.next() else {
            return Ok(empty_frame(groups.columns().iter().copied()));
        };
        let mut frame = first?;
        for group in groups {
            let stacked = frame.vstack_mut_owned(group?);
            stacked.map_err(|error| RepositoryError::damaged(&file.path, error.to_string()))?;
        }
        Ok(frame)
    }

    /// The rows of every file that can hold selected ones, a frame a file, as [`DatasetStore::read`]
    /// reads it. Files that are merged or replaced meanwhile are looked for again. While that is done
    /// where directories cannot be exchanged, on Windows for one, a date has its rows twice for a moment.
    ///
    /// # Errors
    /// As [`DatasetStore::read`]; where files do not stop going, that one is not found.
    pub fn scan(&self, selection: &Selection, columns: &[&str]) -> Result<Vec<DataFrame>, RepositoryError> {
        let mut changes = 0;
        loop {
            let files = self.files(selection)?;
            match files.iter().map(|file| self.read(file, columns)).collect() {
                Err(error) if error.is_not_found() && changes < MOST_CHANGES => changes += 1,
                result => return result,
            }
        }
    }

    /// As [`DatasetStore::read`], one row group at a time.
    pub fn read_row_groups(&self, file: &DataFile, columns: &[&str]) -> Result<RowGroups, RepositoryError> {
        self.row_groups_at(&file.path, columns)
    }

    pub(crate) fn row_groups_at(&self, path: &Path, columns: &[&str]) -> Result<RowGroups, RepositoryError> {
        let columns = columns.iter().map(|name| self.column(name)).collect::<Result<_, _>>()?;
        RowGroups::open(path, self.dataset, columns)
    }

    fn column(&self, name: &str) -> Result<&'static Column, RepositoryError> {
        let found = self.dataset.column(name).map(|(_, column)| column);
        found.ok_or_else(|| self.invalid_frame(format!("there is no column {name}")))
    }

    pub(crate) fn invalid_frame(&self, reason: String) -> RepositoryError {
        RepositoryError::InvalidFrame { dataset: self.name.clone(), reason }
    }

    /// What a file's footer says; reads no data.
    pub fn footer(&self, file: &DataFile) -> Result<Footer, RepositoryError> {
        Ok(ParquetFile::open(&file.path)?.footer().clone())
    }

    /// Replaces all files of a date by one with these rows, which must be sorted by host and time.
    /// `extra` are further key-values of the footer. A frame without rows makes a file without rows.
    ///
    /// # Errors
    /// [`RepositoryError::InvalidFrame`] if the rows are not sorted, or not of that date and dataset;
    /// [`RepositoryError::Conflict`] if the live date has this generation already, or a later one.
    pub fn replace_date(
        &self,
        date: NaiveDate,
        frame: &DataFrame,
        name: &RollupFileName,
        extra: &[(String, String)],
    ) -> Result<Replaced, RepositoryError> {
        self.stage_date(date, frame, name, extra)?.publish()
    }

    /// The part of [`Self::replace_date`] that does not wait for the disk.
    ///
    /// # Errors
    /// As [`Self::replace_date`].
    pub fn stage_date(
        &self,
        date: NaiveDate,
        frame: &DataFrame,
        name: &RollupFileName,
        extra: &[(String, String)],
    ) -> Result<Replacement, RepositoryError> {
        let mut key_values = vec![(keys::COLUMNS.to_owned(), describe_columns(self.dataset))];
        key_values.extend_from_slice(extra);
        let directory = StagedDate::create(&self.lake, date)?;
        let path = directory.path().join(name.to_string());
        let file = stage_unsynced(self, path, date, frame, key_values)?;
        Ok(Replacement { store: self.clone(), file, directory, name: name.clone(), rows: frame.height() })
    }

    /// Moves a damaged file to `LAKE/.quarantine/<dataset>/date=.../`; nothing there is ever deleted
    /// by us. Returns where it is now.
    pub fn quarantine(&self, file: &DataFile) -> Result<PathBuf, RepositoryError> {
        let system = self.lake.system().as_ref();
        let root = self.lake.root();
        let directory = root.join(QUARANTINE).join(&self.name).join(date_directory(file.date));
        make_directories(system, root, &directory)?;
        let _lock = self.lake.lock_date(&self.name, file.date, Exclusion::Shared)?;
        let name = file.path.file_name().unwrap_or_default();
        let mut path = directory.join(name);
        if let Err(error) = rename_to_free_name(system, &file.path, &path) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(RepositoryError::io("set aside", &file.path, error));
            }
            path = directory.join(format!("{}__{}", unique(), name.to_string_lossy()));
            rename_to_free_name(system, &file.path, &path).at("set aside", &file.path)?;
        }
        system.sync_directory(&directory).at("sync", &directory)?;
        let live = self.date_path(file.date);
        system.sync_directory(&live).at("sync", &live)?;
        Ok(path)
    }
}
