-- Prelude for DuckDB 2: the samples as view `s`, the time of the run as view `run`.

SET TimeZone = 'UTC';

CREATE OR REPLACE TEMPORARY VIEW s AS
WITH stored AS (
    -- Files of older schemas lack columns: the typed relation of no rows adds them as null.
    SELECT
        CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS as_of,
        CAST(NULL AS VARCHAR) AS host_id,
        CAST(NULL AS DOUBLE) AS cpu_pct,
        CAST(NULL AS BIGINT) AS ram_total_mb,
        CAST(NULL AS BIGINT) AS ram_used_mb,
        CAST(NULL AS BIGINT) AS ram_available_mb,
        CAST(NULL AS BIGINT) AS swap_total_mb,
        CAST(NULL AS BIGINT) AS swap_used_mb,
        CAST(NULL AS DOUBLE) AS disk_root_total_gb,
        CAST(NULL AS DOUBLE) AS disk_root_free_gb,
        CAST(NULL AS BIGINT) AS net_rx_bytes,
        CAST(NULL AS BIGINT) AS net_tx_bytes,
        CAST(NULL AS DOUBLE) AS cpu_temp_c,
        CAST(NULL AS VARCHAR) AS throttle_flags,
        CAST(NULL AS VARCHAR) AS boot_id,
        CAST(NULL AS DOUBLE) AS uptime_seconds,
        CAST(NULL AS INTEGER) AS sample_interval_seconds,
        CAST(NULL AS BIGINT) AS disk_read_bytes,
        CAST(NULL AS BIGINT) AS disk_write_bytes,
        CAST(NULL AS VARCHAR) AS net_interfaces,
        CAST(NULL AS BOOLEAN) AS clock_synced
    WHERE false
    UNION ALL BY NAME
    SELECT *
    FROM read_parquet(
        'LAKE/silver/ops_host_metrics/date=*/*.parquet', union_by_name = true, hive_partitioning = false
    )
)
SELECT
    as_of,
    epoch_us(as_of) AS t_us,
    make_timestamptz(epoch_us(as_of) - epoch_us(as_of) % 300000000 /* bucket_us */) AS bucket_start,
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
SELECT epoch_us(now()) AS run_us;
