//! `demo`: the main job on this machine, from the build to the query to go on with.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use telemetry_schema::host_metrics_rollup::names as gold;
use telemetry_schema::{Dataset, HOST_METRICS, HOST_METRICS_ROLLUP, datasets};

use crate::{process, tree};

/// More do not fit the width of a terminal; a lake of earlier runs has more.
const ROLLUPS_SHOWN: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the samples go [default: demo-lake in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    lake: Option<PathBuf>,
    /// How many samples
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Time between samples
    #[arg(long, default_value = "2s")]
    interval: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let packages = ["telemetry-collect", "telemetry-rollup"];
    eprintln!("Building the programs; in a fresh clone that takes some minutes, most of them for polars.");
    process::build_programs()?;
    let target = process::target_directory()?;
    let lake = arguments.lake.clone().unwrap_or_else(|| target.join("demo-lake"));
    let program = |name: &str| {
        let mut command = Command::new(target.join("debug").join(name));
        command.current_dir(tree::root()).arg("--lake").arg(&lake);
        command
    };
    eprintln!("\nTaking {} samples of this machine, {} apart.", arguments.samples, arguments.interval);
    let mut collect = program(packages[0]);
    collect.args(["--samples", &arguments.samples.to_string(), "--interval", &arguments.interval]);
    let samples = printed_rows(collect.args(["--print", "json"]))?;
    let rollups = printed_rows(program(packages[1]).args(["--print", "json"]))?;

    let latest = samples.last().context("the collector printed no sample")?;
    print!("\nThe latest sample\n\n{}", table(&HOST_METRICS, std::slice::from_ref(latest)));
    let newest = &rollups[rollups.len().saturating_sub(ROLLUPS_SHOWN)..];
    print!("\nGold: the newest rollups\n\n{}", table(&HOST_METRICS_ROLLUP, newest));
    let alerts = process::output(program(packages[1]).arg("alerts"))?;
    print!("\nAlerts, of buckets that ended ten minutes ago or earlier\n\n{alerts}");
    print!("\nFiles in {}\n\n{}", shown(&lake), files(&lake)?);
    print!("\n{}", next_steps(&shown(&target.join("debug")), &shown(&lake)));
    Ok(())
}

/// Runs a program that prints one JSON object a line.
fn printed_rows(command: &mut Command) -> Result<Vec<Value>> {
    eprintln!("$ {}", process::show(command));
    let text = process::output(command)?;
    let rows = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    rows.with_context(|| format!("expected one JSON object a line: {text}"))
}

/// A line a column: name, unit, and the values of each row side by side.
fn table(dataset: &Dataset, rows: &[Value]) -> String {
    let lines: Vec<Vec<String>> = dataset
        .columns
        .iter()
        .map(|column| {
            let unit = column.unit.symbol();
            let head = [column.name.to_owned(), unit.to_owned()];
            head.into_iter().chain(rows.iter().map(|row| text(&row[column.name]))).collect()
        })
        .collect();
    let width = |cell: usize| lines.iter().map(|line| line[cell].chars().count()).max().unwrap_or(0);
    let (name, unit) = (width(0), width(1));
    let values: Vec<usize> = (0..rows.len()).map(|row| width(row + 2)).collect();
    let mut table = String::new();
    for line in &lines {
        // Writing to a String cannot fail.
        let _ = write!(table, "  {:name$}  {:unit$}", line[0], line[1]);
        for (value, width) in line[2..].iter().zip(&values) {
            let _ = write!(table, "  {value:>width$}");
        }
        table.push('\n');
    }
    table
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "not measured".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let text = format!("{:.3}", number.as_f64().unwrap_or(f64::NAN));
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        value => value.to_string(),
    }
}

/// The published files of every dataset, with their sizes.
fn files(lake: &Path) -> Result<String> {
    let mut text = String::new();
    for dataset in datasets::ALL {
        let directory = lake.join(dataset.layer.directory()).join(dataset.name);
        if !directory.exists() {
            continue;
        }
        for date in entries(&directory)? {
            for file in entries(&date)? {
                let bytes = file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len();
                let name = file.strip_prefix(lake).unwrap_or(&file);
                let _ = writeln!(text, "  {bytes:>8} bytes  {}", name.display());
            }
        }
    }
    Ok(text)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = || format!("cannot list {}", directory.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(list)? {
        paths.push(entry.with_context(list)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// A path as it can be typed in the root of the workspace.
fn shown(path: &Path) -> String {
    path.strip_prefix(tree::root()).unwrap_or(path).display().to_string()
}

fn next_steps(programs: &str, lake: &str) -> String {
    let view = HOST_METRICS_ROLLUP.name;
    let columns =
        [gold::bucket_start, gold::cpu_pct_avg, gold::cpu_pct_max, gold::ram_used_mb_max].join(", ");
    let (silver, time) = (HOST_METRICS.name, HOST_METRICS.time_column().name);
    format!(
        "Next, with the DuckDB command line:\n\n  \
           {programs}/telemetry-rollup sql --lake {lake} > views.sql\n  \
           duckdb -init views.sql -c 'SELECT {columns} FROM {view} ORDER BY 1'\n  \
           duckdb -init views.sql -c 'SELECT * FROM {silver} ORDER BY {time} DESC LIMIT 1'\n\n\
         What is wrong with which host (docs/alerts.md):\n\n  \
           {programs}/telemetry-rollup alerts --lake {lake}\n\n\
         As a page, with Streamlit (docs/operations.md):\n\n  \
           TELEMETRY_LAKE={lake} streamlit run docs/examples/streamlit/app.py\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_people_read_them() {
        for (value, expected) in [
            (json!(null), "not measured"),
            (json!("linux"), "linux"),
            (json!(12.5), "12.5"),
            (json!(3.0), "3"),
            (json!(0.0), "0"),
            (json!(70), "70"),
            (json!(true), "true"),
        ] {
            assert_eq!(text(&value), expected);
        }
    }

    #[test]
    fn the_table_has_a_line_a_column() {
        let shown = table(&HOST_METRICS, &[json!({"cpu_pct": 1.5}), json!({"cpu_pct": null})]);
        assert_eq!(shown.lines().count(), HOST_METRICS.columns.len());
        let line = shown.lines().find(|line| line.contains("cpu_pct ")).expect("every column has a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["cpu_pct", "%", "1.5", "not", "measured"]);
    }
}
