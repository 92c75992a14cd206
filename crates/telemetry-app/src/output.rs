//! Results on standard output: JSON lines for programs, tables for people.

use std::io::{IsTerminal, Write};

use chrono::{DateTime, SecondsFormat};
use comfy_table::{Attribute, Cell, CellAlignment, LineStyle, Table, TableStyle, presets};
use serde::Serialize;
use telemetry_schema::{Row, Value};

use crate::PrintFormat;

/// Rows side by side in one table; more than these do not fit a screen.
const ROWS_PER_TABLE: usize = 6;
/// No lines but one below the header: tables are long here.
const STYLE: TableStyle = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));
const NOT_MEASURED: &str = "not measured";

/// Prints a text as it is.
pub fn print_text(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints a line of JSON for each item.
pub fn print_json<T: Serialize>(items: &[T]) -> anyhow::Result<()> {
    let mut text = String::new();
    for item in items {
        text.push_str(&serde_json::to_string(item)?);
        text.push('\n');
    }
    print_text(&text)
}

/// Prints rows: a line of JSON each, or tables with a line a column, since a row has too many columns
/// for the width of a terminal.
pub fn print_rows<R: Row + Serialize>(rows: &[R], format: PrintFormat) -> anyhow::Result<()> {
    match format {
        PrintFormat::Json => print_json(rows),
        PrintFormat::Table => rows
            .chunks(ROWS_PER_TABLE)
            .try_for_each(|rows| print_text(&format!("{}\n", rows_table(rows).trim_fmt()))),
    }
}

/// An empty table with these headings, coloured on a terminal only.
pub fn new_table<'t>(headings: impl IntoIterator<Item = &'t str>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        table.force_no_tty();
    }
    table.set_header(headings.into_iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
    table
}

/// One line a column of the dataset, one column a row: the times stand in the header.
fn rows_table<R: Row>(rows: &[R]) -> Table {
    let dataset = R::DATASET;
    let time = dataset.time_column().name;
    let (time_index, _) = dataset.column(time).expect("the time column is one of the dataset");
    let times: Vec<String> = rows.iter().map(|row| text(&row.value(time_index))).collect();
    let mut table = new_table([time, "unit"].into_iter().chain(times.iter().map(String::as_str)));
    for (index, column) in dataset.columns.iter().enumerate().filter(|(index, _)| *index != time_index) {
        let label = [Cell::new(column.name), Cell::new(column.unit.symbol())];
        let cells =
            rows.iter().map(|row| Cell::new(text(&row.value(index))).set_alignment(CellAlignment::Right));
        table.add_row(label.into_iter().chain(cells));
    }
    table
}

/// A value as people read it.
fn text(value: &Value<'_>) -> String {
    match value {
        Value::Null => NOT_MEASURED.to_owned(),
        Value::Int32(number) => number.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Float64(number) => {
            format!("{number:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Value::Boolean(flag) => flag.to_string(),
        Value::String(text) => text.clone().into_owned(),
        Value::TimestampUs(us) => DateTime::from_timestamp_micros(*us)
            .map_or_else(|| us.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
    }
}
