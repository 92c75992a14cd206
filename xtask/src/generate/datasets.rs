//! docs/datasets.md, and the same tables as JSON for tests in other languages.

use std::fmt::Write as _;

use serde_json::{Value, json};
use telemetry_schema::{Column, ColumnType, Dataset, Formula, Presence, Rule, Source, Unit, datasets};

use super::MARKER;

const LAYOUT: &str = include_str!("datasets-head.txt");
const READING: &str = include_str!("datasets-tail.txt");

/// The page.
pub(crate) fn page() -> String {
    let mut text = format!("{MARKER}{LAYOUT}");
    for dataset in datasets::ALL {
        table(&mut text, dataset);
    }
    text.push('\n');
    text.push_str(READING);
    text
}

fn table(text: &mut String, dataset: &Dataset) {
    let Dataset { name, layer, schema_version, doc, columns } = dataset;
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {name}\n\n{} {}\n", doc.trim(), in_layer(layer.directory(), name));
    let _ = writeln!(text, "Schema version {schema_version}, {} columns.\n", columns.len());
    text.push_str("| column | type | presence | unit | kind | rule | source | meaning |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for column in *columns {
        let Column { name, ty, presence, kind, unit, rule, source, doc } = column;
        let cells = [
            format!("`{name}`"),
            ty.to_string(),
            presence_word(*presence).to_owned(),
            unit_word(*unit),
            kind.to_string(),
            rule_word(*rule, *ty),
            source_word(source),
            doc.trim().to_owned(),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

fn in_layer(directory: &str, name: &str) -> String {
    format!("Files: `{directory}/{name}/date=YYYY-MM-DD/*.parquet`.")
}

fn presence_word(presence: Presence) -> &'static str {
    match presence {
        Presence::Key => "key",
        Presence::Required => "required",
        Presence::Optional => "optional",
    }
}

fn unit_word(unit: Unit) -> String {
    match unit {
        Unit::None => "-".to_owned(),
        Unit::Count => "count".to_owned(),
        unit => format!("`{}`", unit.ucum()),
    }
}

fn rule_word(rule: Rule, ty: ColumnType) -> String {
    match (rule, ty) {
        (Rule::Any, ColumnType::Float64) => "finite".to_owned(),
        (Rule::Any, _) => "-".to_owned(),
        (rule, _) => rule.to_string(),
    }
}

fn source_word(source: &Source) -> String {
    match source {
        Source::Stamped => "stamped".to_owned(),
        Source::Measured(group) => format!("measured: {group}"),
        Source::Rollup(formula) => formula_word(*formula),
        Source::Alert => "alert rules".to_owned(),
    }
}

fn formula_word(formula: Formula) -> String {
    match formula {
        Formula::BucketStart => "start of the bucket".to_owned(),
        Formula::HostId => "key of the samples".to_owned(),
        Formula::Average(column) => format!("mean of `{column}`"),
        Formula::Percentile95(column) => format!("p95 of `{column}`"),
        Formula::Max(column) => format!("maximum of `{column}`"),
        Formula::Min(column) => format!("minimum of `{column}`"),
        Formula::CounterGrowth(column) => format!("growth of `{column}`"),
        Formula::CounterCoveredSeconds(column) => format!("covered time of `{column}`"),
        Formula::BitRate(column) => format!("8 × growth / covered time of `{column}`"),
        Formula::ByteRate(column) => format!("growth / covered time of `{column}`"),
        Formula::NetworkResets => "decreases of the network counters".to_owned(),
        Formula::SampleCount => "samples".to_owned(),
        Formula::ExpectedCount => "bucket width / interval of the samples".to_owned(),
        Formula::Coverage => "samples / expected samples, at most 1".to_owned(),
        Formula::DuplicateCount => "samples dropped as duplicates".to_owned(),
        Formula::ThrottleBits(bits) => format!("samples with a bit of `{bits:#x}` in the throttle word"),
        Formula::ThrottleStickyNew => "sticky throttle bits that rose".to_owned(),
        Formula::ClockUnsynced => "samples without a synchronised clock".to_owned(),
        Formula::BootCount => "distinct boots".to_owned(),
        Formula::FirstAsOf => "instant of the first sample".to_owned(),
        Formula::LastAsOf => "instant of the last sample".to_owned(),
        Formula::IsFinal => "time of the run".to_owned(),
    }
}

/// All datasets as JSON: what tests in other languages compare files with.
pub(crate) fn contract() -> Value {
    let columns = |dataset: &Dataset| -> Vec<Value> {
        let column = |column: &Column| {
            json!({
                "name": column.name,
                "type": column.ty.to_string(),
                "sql": column.ty.sql(),
                "presence": presence_word(column.presence),
                "unit": column.unit.ucum(),
                "kind": column.kind.to_string(),
                "meaning": column.doc.trim(),
            })
        };
        dataset.columns.iter().map(column).collect()
    };
    let datasets = datasets::ALL.iter().map(|dataset| {
        let value = json!({
            "layer": dataset.layer.directory(),
            "schema_version": dataset.schema_version,
            "time_column": dataset.time_column().name,
            "columns": columns(dataset),
        });
        (dataset.name.to_owned(), value)
    });
    Value::Object(datasets.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_line_with_as_many_cells_as_the_head() {
        let page = page();
        for column in datasets::ALL.iter().flat_map(|dataset| dataset.columns) {
            let start = format!("| `{}` |", column.name);
            let line = page.lines().find(|line| line.starts_with(&start)).expect("every column has a line");
            assert_eq!(line.replace("\\|", "").matches('|').count(), 9, "{line}");
        }
    }

    #[test]
    fn the_contract_names_every_column() {
        let contract = contract();
        for dataset in datasets::ALL {
            let columns = contract[dataset.name]["columns"].as_array().map_or(0, Vec::len);
            assert_eq!(columns, dataset.columns.len());
        }
    }
}
