//! Whether a published file still is what was written.

use polars::prelude::DataFrame;
use telemetry_schema::host_metrics::names;

use crate::content_hash::ContentHasher;
use crate::error::RepositoryError;
use crate::footer::{Footer, keys};
use crate::frame::timestamps;
use crate::layout::FileName;
use crate::parquet::{ParquetFile, RowGroups};
use crate::scan::{DataFile, date_range_us};
use crate::store::DatasetStore;

/// What the rows of a file turn out to be.
#[derive(Debug, Default)]
struct Found {
    rows: u64,
    time_range_us: Option<(i64, i64)>,
    /// A host that the name does not say.
    other_host: Option<String>,
}

impl DatasetStore {
    /// Reads all of a file and compares it with its directory, its name and its footer. A file of ours
    /// holds the BLAKE3 of its rows, so no change of a value goes unnoticed; a foreign one is whole if
    /// it can be read and lies in the directory of its date.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] with what does not agree.
    pub fn verify(&self, file: &DataFile) -> Result<(), RepositoryError> {
        let parquet = ParquetFile::open(&file.path)?;
        let stored = parquet.column_names()?;
        drop(parquet);
        let is_stored = |name: &str| stored.iter().any(|column| column == name);
        let columns: Vec<&str> = self.dataset().columns.iter().map(|column| column.name).collect();
        let mut groups = self.read_row_groups(file, &columns)?;
        let mut hasher = ContentHasher::new(self.dataset(), is_stored);
        let mut found = Found::default();
        while let Some(group) = groups.next() {
            let group = group?;
            check_constants(&groups, &group, file)?;
            hasher.update(&group)?;
            self.look_at(&group, file, &mut found)?;
        }
        let disagreement =
            disagreement(file, &found).or_else(|| in_footer(groups.footer(), &found, &hasher.finish()));
        disagreement.map_or(Ok(()), |reason| Err(RepositoryError::damaged(&file.path, reason)))
    }

    fn look_at(&self, group: &DataFrame, file: &DataFile, found: &mut Found) -> Result<(), RepositoryError> {
        let broken =
            |error: polars::prelude::PolarsError| RepositoryError::damaged(&file.path, error.to_string());
        let times = group.column(self.dataset().time_column().name).and_then(timestamps).map_err(broken)?;
        let hosts = group.column(names::host_id).and_then(|hosts| hosts.str()).map_err(broken)?;
        found.rows += group.height() as u64;
        for us in times.iter().flatten() {
            let (first, last) = found.time_range_us.unwrap_or((us, us));
            found.time_range_us = Some((first.min(us), last.max(us)));
        }
        if let Some(host) = file.name.sample().and_then(|name| name.host.as_ref()) {
            let other = hosts.iter().flatten().find(|other| *other != host.as_str());
            found.other_host = found.other_host.take().or(other.map(str::to_owned));
        }
        Ok(())
    }
}

/// Who reads the statistics instead of the values must find the same.
fn check_constants(groups: &RowGroups, decoded: &DataFrame, file: &DataFile) -> Result<(), RepositoryError> {
    for constant in groups.constants()? {
        let values = decoded.column(constant.name()).ok();
        if !values.is_some_and(|values| values.equals_missing(&constant)) {
            let reason = format!("the statistics of {} are not those of its values", constant.name());
            return Err(RepositoryError::damaged(&file.path, reason));
        }
    }
    Ok(())
}

/// What a file's place and name say otherwise than its rows.
fn disagreement(file: &DataFile, found: &Found) -> Option<String> {
    let is_within = |(first_us, last_us): (i64, i64)| {
        found.time_range_us.is_none_or(|(first, last)| first >= first_us && last <= last_us)
    };
    if !is_within(date_range_us(file.date)) {
        return Some(format!("rows of other dates than {}", file.date));
    }
    let FileName::Sample(name) = &file.name else { return None };
    if name.rows != found.rows {
        return Some(format!("{} rows, its name says {}", found.rows, name.rows));
    }
    if !is_within((name.first.timestamp_micros(), name.last.timestamp_micros())) {
        return Some("rows of other times than its name says".to_owned());
    }
    found.other_host.as_ref().map(|host| format!("rows of {host}, which its name does not say"))
}

/// What a footer says otherwise than the rows.
fn in_footer(footer: &Footer, found: &Found, content_hash: &str) -> Option<String> {
    let says_otherwise = |key: &str, found: Option<String>| {
        footer.get(key).zip(found).is_some_and(|(said, found)| said != found)
    };
    let (first_us, last_us) = found.time_range_us.unzip();
    [
        (keys::ROWS, Some(found.rows.to_string())),
        (keys::TIME_MIN_US, first_us.map(|us| us.to_string())),
        (keys::TIME_MAX_US, last_us.map(|us| us.to_string())),
        (keys::CONTENT_HASH, Some(content_hash.to_owned())),
    ]
    .into_iter()
    .find(|(key, found)| says_otherwise(key, found.clone()))
    .map(|(key, _)| format!("its rows are not those that {key} was written for"))
}
