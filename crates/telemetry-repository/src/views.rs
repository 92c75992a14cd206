//! SQL that lets DuckDB query a lake under the contract's names and types.
//!
//! Files of different ages have different columns, so each view stands on a typed relation of no rows,
//! united by name with whatever the files have. The directory's `date` is not made a column: the
//! contract has none.

use std::fmt::Write as _;
use std::path::Path;

use telemetry_schema::host_alerts::names;
use telemetry_schema::host_metrics_rollup::{DEDUPLICATION, dataset_name, silver_columns};
use telemetry_schema::{Dataset, HOST_ALERTS, HOST_METRICS, HOST_METRICS_ROLLUP, Presence};

use crate::error::RepositoryError;
use crate::lake::Lake;
use crate::scan::Selection;
use crate::store::DatasetStore;

const HEADER: &str = "\
-- Views of a telemetry lake, for DuckDB. Times are UTC; to see them so: SET TimeZone = 'UTC';
";

pub(crate) fn sql(lake: &Lake, interval_minutes: u32) -> Result<String, RepositoryError> {
    let silver = lake.store(&HOST_METRICS, HOST_METRICS.name.to_owned());
    let gold = lake.store(&HOST_METRICS_ROLLUP, dataset_name(interval_minutes));
    let mut text = HEADER.to_owned();
    view(&mut text, &silver, &deduplication())?;
    view(&mut text, &gold, "")?;
    let once = qualify(&[names::event_id], [names::evaluated_at.to_owned()].into_iter());
    view(&mut text, lake.host_alerts().store(), &once)?;
    current_alerts(&mut text);
    Ok(text)
}

/// Appends the statement that creates a dataset's view.
fn view(text: &mut String, store: &DatasetStore, tail: &str) -> Result<(), RepositoryError> {
    let (name, dataset) = (store.name(), store.dataset());
    let typed = typed_columns(dataset);
    let result = if store.files(&Selection::all())?.is_empty() {
        write!(
            text,
            "\n-- {name} has no files yet: run `sql` again once it has.\n\
             CREATE OR REPLACE VIEW {name} AS\nSELECT\n{typed}\nWHERE false;\n"
        )
    } else {
        let glob = duckdb_glob(&store.directory())?;
        let columns = indented(dataset.columns.iter().map(|column| column.name.to_owned()));
        write!(
            text,
            "\nCREATE OR REPLACE VIEW {name} AS\n\
             WITH stored AS (\n\
             SELECT\n{typed}\nWHERE false\n\
             UNION ALL BY NAME\n\
             SELECT * FROM read_parquet({glob}, union_by_name = true, hive_partitioning = false)\n\
             )\n\
             SELECT\n{columns}\nFROM stored{tail};\n"
        )
    };
    result.expect("writing to a string cannot fail");
    Ok(())
}

fn typed_columns(dataset: &Dataset) -> String {
    indented(
        dataset.columns.iter().map(|column| format!("CAST(NULL AS {}) AS {}", column.ty.sql(), column.name)),
    )
}

fn indented(items: impl Iterator<Item = String>) -> String {
    items.map(|item| format!("    {item}")).collect::<Vec<_>>().join(",\n")
}

/// Of several rows with one key, the contract says which is kept.
fn deduplication() -> String {
    let key: Vec<&str> = HOST_METRICS
        .columns
        .iter()
        .filter(|column| column.presence == Presence::Key)
        .map(|column| column.name)
        .collect();
    let others =
        silver_columns().into_iter().filter(|name| !DEDUPLICATION.contains(name) && !key.contains(name));
    let order = DEDUPLICATION.into_iter().chain(others).map(|name| format!("{name} DESC NULLS LAST"));
    qualify(&key, order)
}

/// The clause that keeps the first row of each key.
fn qualify(key: &[&str], order: impl Iterator<Item = String>) -> String {
    format!(
        "\nQUALIFY row_number() OVER (\n    PARTITION BY {}\n    ORDER BY\n{}\n) = 1",
        key.join(", "),
        indented(order.map(|item| format!("    {item}")))
    )
}

/// One row an alert, the one that is valid.
fn current_alerts(text: &mut String) {
    let name = HOST_ALERTS.name;
    let valid = [names::revision, names::as_of, names::state].map(|column| format!("{column} DESC"));
    let valid = qualify(&[names::alert_id], valid.into_iter());
    text.push_str("\n-- One row an alert: the one that is valid.\n");
    text.push_str(&format!("CREATE OR REPLACE VIEW {name}_current AS\nSELECT * FROM {name}{valid};\n"));
}

/// The glob of all files below a dataset's directory, as a string literal of DuckDB.
pub fn duckdb_glob(directory: &Path) -> Result<String, RepositoryError> {
    let directory =
        directory.to_str().ok_or_else(|| RepositoryError::NotUnicode { path: directory.to_owned() })?;
    let mut literal = String::new();
    for character in directory.chars() {
        match character {
            '\'' => literal.push_str("''"),
            '*' | '?' | '[' => {
                literal.push('[');
                literal.push(character);
                literal.push(']');
            }
            '\\' if cfg!(windows) => literal.push('/'),
            character => literal.push(character),
        }
    }
    Ok(format!("'{literal}/date=*/*.parquet'"))
}
