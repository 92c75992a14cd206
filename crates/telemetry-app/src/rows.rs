//! Rows of a dataset on standard output.

use std::io::IsTerminal;

use chrono::{DateTime, SecondsFormat};
use comfy_table::{Attribute, Cell, CellAlignment, Table, presets};
use telemetry_schema::{Row, Value};

use crate::PrintFormat;
use crate::exit::write_out;

/// Rows side by side in one table; more than these do not fit a screen.
const ROWS_PER_TABLE: usize = 6;
const NOT_MEASURED: &str = "not measured";

/// Prints rows: a line of JSON each, or tables with a line a column, since a row has too many columns
/// for the width of a terminal.
pub fn print_rows<R: Row + serde::Serialize>(rows: &[R], format: PrintFormat) -> anyhow::Result<()> {
    let text = match format {
        PrintFormat::Json => json_lines(rows)?,
        PrintFormat::Table => tables(rows),
    };
    Ok(write_out(&text)?)
}

fn json_lines<R: serde::Serialize>(rows: &[R]) -> anyhow::Result<String> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(text)
}

fn tables<R: Row>(rows: &[R]) -> String {
    rows.chunks(ROWS_PER_TABLE).map(|rows| format!("{}\n", table(rows))).collect()
}

/// One line a column of the dataset, one column a row: the times stand in the header.
fn table<R: Row>(rows: &[R]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        table.force_no_tty();
    }
    let dataset = R::DATASET;
    let (time_index, time) =
        dataset.column(dataset.time_column().name).expect("the time column is one of the dataset");
    let heading = |text: &str| Cell::new(text).add_attribute(Attribute::Bold);
    let header = [heading(time.name), heading("unit")];
    let times =
        rows.iter().map(|row| heading(&text(&row.value(time_index))).set_alignment(CellAlignment::Right));
    table.set_header(header.into_iter().chain(times));
    for (index, column) in dataset.columns.iter().enumerate().filter(|(index, _)| *index != time_index) {
        let label = [Cell::new(column.name), Cell::new(column.unit.ucum())];
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
