//! What a file's footer says besides the columns' data: the key-values of the contract.

use std::collections::BTreeMap;

use serde::Serialize;
use telemetry_schema::Dataset;

/// The keys of the contract.
pub mod keys {
    /// Name of the dataset.
    pub const DATASET: &str = "telemetry.dataset";
    /// Version of the dataset's schema that the writer knew.
    pub const SCHEMA_VERSION: &str = "telemetry.schema_version";
    /// Program and version.
    pub const WRITER: &str = "telemetry.writer";
    /// Number of rows.
    pub const ROWS: &str = "telemetry.rows";
    /// First instant, microseconds since 1970; absent in a file without rows.
    pub const TIME_MIN_US: &str = "telemetry.time_min_us";
    /// Last instant, microseconds since 1970; absent in a file without rows.
    pub const TIME_MAX_US: &str = "telemetry.time_max_us";
    /// Unit, kind and meaning of each column, as JSON; in files that replace a date.
    pub const COLUMNS: &str = "telemetry.columns";
    /// BLAKE3 of the rows, see [`crate::ContentHasher`].
    pub const CONTENT_HASH: &str = "telemetry.content_hash";
}

const WRITER: &str = concat!("telemetry-repository ", env!("CARGO_PKG_VERSION"));

/// A file's footer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footer {
    /// Number of rows.
    pub rows: u64,
    /// Number of row groups.
    pub row_groups: usize,
    /// The file-level key-values, without those of the Parquet library.
    pub key_values: BTreeMap<String, String>,
}

impl Footer {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.key_values.get(key).map(String::as_str)
    }

    /// The schema version that the writer knew; `None` in foreign files.
    pub fn schema_version(&self) -> Option<u32> {
        self.get(keys::SCHEMA_VERSION)?.parse().ok()
    }

    /// First and last instant in microseconds since 1970, inclusive.
    pub fn time_range_us(&self) -> Option<(i64, i64)> {
        Some((self.get(keys::TIME_MIN_US)?.parse().ok()?, self.get(keys::TIME_MAX_US)?.parse().ok()?))
    }
}

/// The key-values that every file has.
pub(crate) fn key_values(
    dataset: &Dataset,
    name: &str,
    rows: usize,
    time_range_us: Option<(i64, i64)>,
) -> Vec<(String, String)> {
    let mut pairs = vec![
        (keys::DATASET, name.to_owned()),
        (keys::SCHEMA_VERSION, dataset.schema_version.to_string()),
        (keys::WRITER, WRITER.to_owned()),
        (keys::ROWS, rows.to_string()),
    ];
    if let Some((min, max)) = time_range_us {
        pairs.extend([(keys::TIME_MIN_US, min.to_string()), (keys::TIME_MAX_US, max.to_string())]);
    }
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[derive(Serialize)]
struct ColumnDescription {
    name: &'static str,
    unit: &'static str,
    kind: String,
    meaning: &'static str,
}

/// The value of [`keys::COLUMNS`]: an array in schema order.
pub(crate) fn describe_columns(dataset: &Dataset) -> String {
    let columns: Vec<ColumnDescription> = dataset
        .columns
        .iter()
        .map(|column| ColumnDescription {
            name: column.name,
            unit: column.unit.ucum(),
            kind: column.kind.to_string(),
            meaning: column.doc.trim(),
        })
        .collect();
    serde_json::to_string(&columns).expect("a list of flat structs of text is always JSON")
}
