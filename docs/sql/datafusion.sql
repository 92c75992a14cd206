-- Prelude for DataFusion 55: the samples as view `s`, the time of the run as view `run`.

-- Declared columns: files of older schemas have null where they lack one.
CREATE EXTERNAL TABLE stored (
    as_of TIMESTAMP WITH TIME ZONE,
    host_id VARCHAR,
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
    throttle_flags VARCHAR,
    boot_id VARCHAR,
    uptime_seconds DOUBLE,
    sample_interval_seconds INTEGER,
    disk_read_bytes BIGINT,
    disk_write_bytes BIGINT,
    net_interfaces VARCHAR,
    clock_synced BOOLEAN
)
STORED AS PARQUET
LOCATION 'LAKE/silver/ops_host_metrics/';

CREATE OR REPLACE VIEW s AS
SELECT
    arrow_cast(as_of, 'Timestamp(Microsecond, Some("UTC"))') AS as_of,
    arrow_cast(arrow_cast(as_of, 'Timestamp(Microsecond, Some("UTC"))'), 'Int64') AS t_us,
    arrow_cast(
        arrow_cast(arrow_cast(as_of, 'Timestamp(Microsecond, Some("UTC"))'), 'Int64')
        - arrow_cast(arrow_cast(as_of, 'Timestamp(Microsecond, Some("UTC"))'), 'Int64') % 300000000 /* bucket_us */,
        'Timestamp(Microsecond, Some("UTC"))'
    ) AS bucket_start,
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
CREATE OR REPLACE VIEW run AS
SELECT arrow_cast(arrow_cast(now(), 'Timestamp(Microsecond, Some("UTC"))'), 'Int64') AS run_us;
