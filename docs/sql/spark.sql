-- Prelude for Spark 4: the samples as view `s`, the time of the run as view `run`.

SET spark.sql.session.timeZone = UTC;

-- Declared columns: files of older schemas have null where they lack one.
CREATE OR REPLACE TEMPORARY VIEW stored (
    as_of TIMESTAMP,
    host_id STRING,
    cpu_pct DOUBLE,
    ram_total_mb BIGINT,
    ram_used_mb BIGINT,
    ram_available_mb BIGINT,
    swap_total_mb BIGINT,
    swap_used_mb BIGINT,
    disk_root_total_gb DOUBLE,
    disk_root_free_gb DOUBLE,
    net_rx_bytes BIGINT,
    net_tx_bytes BIGINT,
    cpu_temp_c DOUBLE,
    throttle_flags STRING,
    boot_id STRING,
    uptime_seconds DOUBLE,
    sample_interval_seconds INT,
    disk_read_bytes BIGINT,
    disk_write_bytes BIGINT,
    net_interfaces STRING,
    clock_synced BOOLEAN
)
USING parquet
OPTIONS (path 'LAKE/silver/ops_host_metrics');

CREATE OR REPLACE TEMPORARY VIEW s AS
SELECT
    as_of,
    unix_micros(as_of) AS t_us,
    timestamp_micros(unix_micros(as_of) - unix_micros(as_of) % 300000000 /* bucket_us */) AS bucket_start,
    host_id,
    cpu_pct,
    ram_total_mb,
    ram_used_mb,
    ram_available_mb,
    swap_total_mb,
    swap_used_mb,
    disk_root_total_gb,
    disk_root_free_gb,
    net_rx_bytes,
    net_tx_bytes,
    cpu_temp_c,
    throttle_flags,
    boot_id,
    uptime_seconds,
    sample_interval_seconds,
    disk_read_bytes,
    disk_write_bytes,
    net_interfaces,
    clock_synced
FROM stored
WHERE host_id IS NOT NULL AND as_of IS NOT NULL;

-- Put a number in place of the clock, and the result can be repeated.
CREATE OR REPLACE TEMPORARY VIEW run AS
SELECT unix_micros(current_timestamp()) AS run_us;
