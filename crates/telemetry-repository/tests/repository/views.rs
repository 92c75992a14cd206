use telemetry_repository::Lake;
use telemetry_schema::{HOST_ALERTS, HOST_METRICS, HOST_METRICS_ROLLUP};

use crate::samples::{instant, samples, temporary_lake};

#[test]
fn a_lake_without_files_has_typed_empty_views() {
    let (_keep, root) = temporary_lake();
    let sql = Lake::new(&root).views_sql(5).unwrap();
    assert!(!root.exists());
    assert_eq!(sql.matches("CREATE OR REPLACE VIEW").count(), 4);
    assert_eq!(sql.matches("run `sql` again").count(), 3);
    assert!(!sql.contains("read_parquet"));
    assert!(sql.contains("CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS as_of"));
    for column in HOST_METRICS.columns.iter().chain(HOST_METRICS_ROLLUP.columns).chain(HOST_ALERTS.columns) {
        assert!(sql.contains(&format!("CAST(NULL AS {}) AS {}", column.ty.sql(), column.name)));
    }
}

#[test]
fn a_lake_with_files_is_read_through_its_path() {
    let (_keep, root) = temporary_lake();
    let lake = Lake::new(root.with_file_name("it's [1]"));
    lake.host_metrics().append(&samples("pi", instant("2026-11-20T12:00:00Z"), 6)).unwrap();
    let sql = lake.views_sql(15).unwrap();
    assert!(sql.contains("/it''s [[]1]/silver/ops_host_metrics/date=*/*.parquet'"), "{sql}");
    assert!(sql.contains("CREATE OR REPLACE VIEW ops_host_metrics_15m_rollup"));
    let order = "PARTITION BY as_of, host_id\n    ORDER BY\n        uptime_seconds DESC NULLS LAST,\n        \
                 net_rx_bytes DESC NULLS LAST,\n        net_tx_bytes DESC NULLS LAST,\n        cpu_pct DESC";
    assert!(sql.contains(order), "{sql}");
    assert!(sql.contains("read_parquet(") && sql.contains("hive_partitioning = false"));
}

/// A path in SQL must be text.
#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_an_error() {
    use std::os::unix::ffi::OsStrExt as _;
    let (_keep, root) = temporary_lake();
    let path = root.with_file_name(std::ffi::OsStr::from_bytes(b"\xff"));
    std::fs::create_dir(&path).unwrap();
    let lake = Lake::new(&path);
    lake.host_metrics().append(&samples("pi", instant("2026-11-20T12:00:00Z"), 1)).unwrap();
    assert!(lake.views_sql(5).unwrap_err().to_string().contains("not valid Unicode"));
}
