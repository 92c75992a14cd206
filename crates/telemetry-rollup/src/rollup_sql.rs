//! The rollup as SQL, for users whose lake has outgrown one machine: the texts of `docs/sql` with
//! the lake's place and the configured numbers.

use std::path::Path;

use anyhow::ensure;
use telemetry_repository::{DatasetStore, RepositoryError, duckdb_glob};
use telemetry_rollup_engine::{GRACE_US, RollupConfig};
use telemetry_schema::MICROS_PER_SECOND;
use telemetry_schema::host_metrics_rollup::dataset_name;

use crate::args::SqlEngine;

const QUERY: &str = include_str!("../../../docs/sql/rollup.sql");

/// The query counts the buckets of a span with three digits.
const MOST_SPAN_BUCKETS: i64 = 999;

/// The statements that make the views `s` and `run`, and the query over them.
pub(crate) fn text(engine: SqlEngine, silver: &DatasetStore, config: RollupConfig) -> anyhow::Result<String> {
    ensure!(
        longest_span_buckets(config) <= MOST_SPAN_BUCKETS,
        "the SQL rollup divides a span among at most {MOST_SPAN_BUCKETS} buckets: \
         raise rollup_interval_minutes, or lower sample_interval_seconds"
    );
    let (prelude, place) = (prelude(engine), place(engine, silver)?);
    let name = dataset_name(config.interval_minutes());
    let text = format!("-- {name}\n\n{prelude}\n{};\n", QUERY.trim_end());
    Ok(with_settings(text, config).replace(template(engine), &place))
}

fn prelude(engine: SqlEngine) -> &'static str {
    match engine {
        SqlEngine::Duckdb => include_str!("../../../docs/sql/duckdb.sql"),
        SqlEngine::Datafusion => include_str!("../../../docs/sql/datafusion.sql"),
        SqlEngine::Spark => include_str!("../../../docs/sql/spark.sql"),
    }
}

/// The place of the samples as it stands in the prelude.
fn template(engine: SqlEngine) -> &'static str {
    match engine {
        SqlEngine::Duckdb => "'LAKE/silver/ops_host_metrics/date=*/*.parquet'",
        SqlEngine::Datafusion => "'LAKE/silver/ops_host_metrics/'",
        SqlEngine::Spark => "'LAKE/silver/ops_host_metrics'",
    }
}

/// The place of the samples as a literal of the engine.
fn place(engine: SqlEngine, silver: &DatasetStore) -> Result<String, RepositoryError> {
    let directory = silver.directory();
    Ok(match engine {
        SqlEngine::Duckdb => duckdb_glob(&directory)?,
        SqlEngine::Datafusion => format!("'{}/'", slashes(&directory)?.replace('\'', "''")),
        SqlEngine::Spark => {
            format!("'{}'", slashes(&directory)?.replace('\\', r"\\").replace('\'', r"\'"))
        }
    })
}

fn slashes(directory: &Path) -> Result<String, RepositoryError> {
    let text =
        directory.to_str().ok_or_else(|| RepositoryError::NotUnicode { path: directory.to_owned() })?;
    Ok(if cfg!(windows) { text.replace('\\', "/") } else { text.to_owned() })
}

/// The numbers that configuration decides: how each is remarked in the texts, and its value.
fn settings(config: RollupConfig) -> [(&'static str, String); 7] {
    let bucket_us = config.bucket_us();
    [
        ("bucket_us", bucket_us.to_string()),
        ("bucket_seconds", format!("{}e0", bucket_us / MICROS_PER_SECOND)),
        ("shortest_max_gap_us", config.shortest_max_gap_us().to_string()),
        ("reach_us", config.reach_us().to_string()),
        ("default_interval_seconds", config.sample_interval_seconds().to_string()),
        ("longest_span_buckets", longest_span_buckets(config).to_string()),
        ("grace_us", GRACE_US.to_string()),
    ]
}

/// How many buckets before that of its end the longest believed span can begin.
fn longest_span_buckets(config: RollupConfig) -> i64 {
    (config.reach_us() + config.bucket_us() - 1) / config.bucket_us()
}

/// The text, written for the default configuration, with the numbers of another.
fn with_settings(text: String, config: RollupConfig) -> String {
    let written = settings(RollupConfig::default());
    written.iter().zip(settings(config)).fold(text, |text, ((name, default), (_, value))| {
        text.replace(&remarked(default, name), &remarked(&value, name))
    })
}

fn remarked(value: &str, name: &str) -> String {
    format!(" {value} /* {name} */")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use telemetry_repository::Lake;
    use telemetry_schema::HOST_METRICS_ROLLUP;
    use telemetry_schema::host_metrics_rollup::silver_columns;

    use super::*;

    const ENGINES: [SqlEngine; 3] = [SqlEngine::Duckdb, SqlEngine::Datafusion, SqlEngine::Spark];

    fn printed(engine: SqlEngine, lake: &str, minutes: u32, interval: u32) -> anyhow::Result<String> {
        let config = RollupConfig::new(minutes, interval)?;
        text(engine, Lake::new(lake).host_metrics().store(), config)
    }

    /// Every remarked number as (name, value).
    fn remarks(text: &str) -> Vec<(String, String)> {
        let pieces: Vec<&str> = text.split(" */").collect();
        let remark = |piece: &&str| {
            let (before, name) = piece.rsplit_once(" /* ")?;
            let value = before.rsplit([' ', '\n']).next()?;
            Some((name.to_owned(), value.to_owned()))
        };
        pieces.iter().filter_map(remark).collect()
    }

    #[test]
    fn every_number_with_a_remark_follows_the_configuration() {
        for (minutes, interval) in [(5, 10), (1, 10), (15, 60), (60, 3_600)] {
            let expected = settings(RollupConfig::new(minutes, interval).unwrap());
            for engine in ENGINES {
                let got = remarks(&printed(engine, "/lake", minutes, interval).unwrap());
                for (name, value) in &got {
                    assert!(expected.contains(&(name.as_str(), value.clone())), "{name} {value} {engine:?}");
                }
                for (name, _) in &expected {
                    assert!(got.iter().any(|(found, _)| found == name), "{name} for {engine:?}");
                }
            }
        }
    }

    #[test]
    fn preludes_have_every_column_that_gold_reads_and_the_query_makes_every_column_of_gold() {
        for engine in ENGINES {
            for name in silver_columns() {
                assert!(prelude(engine).contains(&format!(" {name}")), "{name} for {engine:?}");
            }
        }
        let (_, select) = QUERY.rsplit_once("\nSELECT\n").unwrap();
        let mut rest = select;
        for column in HOST_METRICS_ROLLUP.columns {
            let (_, after) = rest.split_once(column.name).unwrap_or_else(|| panic!("{}", column.name));
            rest = after;
        }
    }

    #[test]
    fn the_place_of_the_lake_is_a_literal() {
        // On Windows, a drive comes before.
        for (engine, literal) in [
            (SqlEngine::Duckdb, "/it''s [[]x]/silver/ops_host_metrics/date=*/*.parquet'"),
            (SqlEngine::Datafusion, "/it''s [x]/silver/ops_host_metrics/'"),
            (SqlEngine::Spark, r"/it\'s [x]/silver/ops_host_metrics'"),
        ] {
            let text = printed(engine, "/it's [x]", 5, 10).unwrap();
            assert!(text.contains(literal), "{text}");
            assert!(!text.contains("LAKE"), "{text}");
        }
    }

    #[test]
    fn spans_over_too_many_buckets_are_refused() {
        assert!(printed(SqlEngine::Duckdb, "/lake", 1, 29_970).is_ok());
        let error = printed(SqlEngine::Duckdb, "/lake", 1, 30_000).unwrap_err();
        assert!(error.to_string().contains("rollup_interval_minutes"), "{error}");
    }
}
