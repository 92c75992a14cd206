-- The rollup as short as DuckDB, ClickHouse and DataFusion allow, for buckets and max_gap of 5 minutes:
-- their own percentile and average, de-duplication by its six leading columns only, sticky throttle
-- bits left out. It does less than the contract asks for, which is to the engines' advantage.
WITH kept AS (
    SELECT *, $t_us AS t, count(*) OVER (PARTITION BY host_id, as_of) - 1 AS dropped
    FROM $silver
    QUALIFY row_number() OVER (
        PARTITION BY host_id, as_of
        ORDER BY uptime_seconds DESC NULLS LAST, net_rx_bytes DESC NULLS LAST, net_tx_bytes DESC NULLS LAST,
            cpu_pct DESC NULLS LAST, ram_used_mb DESC NULLS LAST, boot_id DESC NULLS LAST
    ) = 1
), pairs AS (
    SELECT
        kept.*,
        t - t % 300000000 AS bucket_us,
        lag(t) OVER w AS p_t,
        lag(boot_id) OVER w AS p_boot,
        lag(uptime_seconds) OVER w AS p_up,
        lag(net_interfaces) OVER w AS p_if,
        lag(net_rx_bytes) OVER w AS p_rx,
        lag(net_tx_bytes) OVER w AS p_tx,
        lag(disk_read_bytes) OVER w AS p_read,
        lag(disk_write_bytes) OVER w AS p_write
    FROM kept
    WINDOW w AS (PARTITION BY host_id ORDER BY t)
), starts AS (
    SELECT
        pairs.*,
        CASE
            WHEN boot_id = p_boot AND abs((t - p_t) / 1e6 - (uptime_seconds - p_up)) <= 2 THEN p_t
            WHEN boot_id <> p_boot AND t - uptime_seconds * 1e6 >= p_t THEN cast(t - round(uptime_seconds * 1e6) AS bigint)
        END AS s
    FROM pairs
), growth AS (
    SELECT
        starts.*,
        CASE WHEN s < bucket_us THEN cast(bucket_us - s AS double) / cast(t - s AS double) ELSE 0e0 END AS before,
        CASE WHEN t - s > 300000000 OR net_interfaces <> p_if THEN NULL
            WHEN boot_id <> p_boot THEN net_rx_bytes WHEN s IS NOT NULL AND net_rx_bytes >= p_rx THEN net_rx_bytes - p_rx END AS rx,
        CASE WHEN t - s > 300000000 OR net_interfaces <> p_if THEN NULL
            WHEN boot_id <> p_boot THEN net_tx_bytes WHEN s IS NOT NULL AND net_tx_bytes >= p_tx THEN net_tx_bytes - p_tx END AS tx,
        CASE WHEN t - s > 300000000 THEN NULL
            WHEN boot_id <> p_boot THEN disk_read_bytes WHEN s IS NOT NULL AND disk_read_bytes >= p_read THEN disk_read_bytes - p_read END AS rd,
        CASE WHEN t - s > 300000000 THEN NULL
            WHEN boot_id <> p_boot THEN disk_write_bytes WHEN s IS NOT NULL AND disk_write_bytes >= p_write THEN disk_write_bytes - p_write END AS wr
    FROM starts
), own AS (
    SELECT
        host_id, bucket_us,
        avg(cpu_pct) AS cpu_pct_avg, $p95 AS cpu_pct_p95, max(cpu_pct) AS cpu_pct_max,
        avg(ram_used_mb) AS ram_used_mb_avg, max(ram_used_mb) AS ram_used_mb_max,
        min(disk_root_free_gb) AS disk_root_free_gb_min, max(cpu_temp_c) AS cpu_temp_c_max,
        max(ram_total_mb) AS ram_total_mb_max, min(ram_available_mb) AS ram_available_mb_min,
        max(swap_total_mb) AS swap_total_mb_max, max(swap_used_mb) AS swap_used_mb_max,
        max(disk_root_total_gb) AS disk_root_total_gb_max,
        sum(rx - floor(rx * before)) AS o_rx, sum(tx - floor(tx * before)) AS o_tx,
        sum(rd - floor(rd * before)) AS o_rd, sum(wr - floor(wr * before)) AS o_wr,
        sum(CASE WHEN rx IS NOT NULL THEN t - greatest(s, bucket_us) END) AS rx_us,
        sum(CASE WHEN tx IS NOT NULL THEN t - greatest(s, bucket_us) END) AS tx_us,
        sum(CASE WHEN rd IS NOT NULL THEN t - greatest(s, bucket_us) END) AS rd_us,
        sum(CASE WHEN wr IS NOT NULL THEN t - greatest(s, bucket_us) END) AS wr_us,
        sum(CASE WHEN s = p_t AND net_rx_bytes < p_rx THEN 1 ELSE 0 END)
            + sum(CASE WHEN s = p_t AND net_tx_bytes < p_tx THEN 1 ELSE 0 END) AS net_reset_count,
        count(*) AS sample_count, 300 / max(sample_interval_seconds) AS expected_count, sum(dropped) AS duplicate_count,
        sum(CASE WHEN right(throttle_flags, 1) IN ('1', '3', '5', '7', '9', 'b', 'd', 'f') THEN 1 ELSE 0 END) AS undervoltage_samples,
        sum(CASE WHEN right(throttle_flags, 1) IN ('0', '1') THEN 0 ELSE 1 END) AS throttled_samples,
        sum(CASE WHEN clock_synced THEN 0 ELSE 1 END) AS clock_unsynced_samples,
        count(DISTINCT boot_id) AS boot_count, min(as_of) AS first_as_of, max(as_of) AS last_as_of
    FROM growth
    GROUP BY host_id, bucket_us
), carried AS (
    SELECT
        host_id, bucket_us - 300000000 AS bucket_us,
        sum(floor(rx * before)) AS c_rx, sum(floor(tx * before)) AS c_tx,
        sum(floor(rd * before)) AS c_rd, sum(floor(wr * before)) AS c_wr,
        sum(bucket_us - s) AS c_us
    FROM growth
    WHERE s < bucket_us
    GROUP BY host_id, bucket_us
)
SELECT
    own.*, c_rx, c_tx, c_us,
    8e6 * (o_rx + coalesce(c_rx, 0)) / (rx_us + coalesce(c_us, 0)) AS net_rx_rate_bps_avg,
    8e6 * (o_tx + coalesce(c_tx, 0)) / (tx_us + coalesce(c_us, 0)) AS net_tx_rate_bps_avg,
    1e6 * (o_rd + coalesce(c_rd, 0)) / (rd_us + coalesce(c_us, 0)) AS disk_read_rate_bytes_avg,
    1e6 * (o_wr + coalesce(c_wr, 0)) / (wr_us + coalesce(c_us, 0)) AS disk_write_rate_bytes_avg,
    own.bucket_us < $run_us AS is_final
FROM own LEFT JOIN carried ON own.host_id = carried.host_id AND own.bucket_us = carried.bucket_us
ORDER BY own.host_id, own.bucket_us
