-- The rollup of host metrics: one text for DuckDB, DataFusion and Spark, after the engine's prelude.
-- Numbers with a remark are settings; `telemetry-rollup sql --rollup` prints them as configured.
-- For identical results on every engine: only integers are summed, percentiles are ranks, integers
-- are never divided, and every order is total. Strings are compared by bytes: no collation.

WITH finite AS (
    -- NaN and infinities of foreign files are absent values.
    SELECT
        host_id, t_us, as_of, bucket_start,
        t_us - t_us % 300000000 /* bucket_us */ AS bucket_us,
        CASE WHEN abs(cpu_pct) <= 1.7976931348623157e308 THEN cpu_pct ELSE NULL END AS cpu_pct,
        ram_total_mb, ram_used_mb, ram_available_mb, swap_total_mb, swap_used_mb,
        CASE WHEN abs(disk_root_total_gb) <= 1.7976931348623157e308 THEN disk_root_total_gb ELSE NULL END
            AS disk_root_total_gb,
        CASE WHEN abs(disk_root_free_gb) <= 1.7976931348623157e308 THEN disk_root_free_gb ELSE NULL END
            AS disk_root_free_gb,
        net_rx_bytes, net_tx_bytes,
        CASE WHEN abs(cpu_temp_c) <= 1.7976931348623157e308 THEN cpu_temp_c ELSE NULL END AS cpu_temp_c,
        throttle_flags, boot_id,
        CASE WHEN abs(uptime_seconds) <= 1.7976931348623157e308 THEN uptime_seconds ELSE NULL END
            AS uptime_seconds,
        sample_interval_seconds, disk_read_bytes, disk_write_bytes, net_interfaces, clock_synced
    FROM s
), ordered AS (
    -- Rows with one key lie together, the one to keep last: the contract's order, reversed, over
    -- every column that is read.
    SELECT
        finite.*,
        row_number() OVER by_key AS row_in_host,
        lead(t_us) OVER by_key AS next_t_us
    FROM finite
    WINDOW by_key AS (
        PARTITION BY host_id
        ORDER BY
            t_us ASC,
            uptime_seconds ASC NULLS FIRST,
            net_rx_bytes ASC NULLS FIRST,
            net_tx_bytes ASC NULLS FIRST,
            cpu_pct ASC NULLS FIRST,
            ram_used_mb ASC NULLS FIRST,
            boot_id ASC NULLS FIRST,
            ram_total_mb ASC NULLS FIRST,
            ram_available_mb ASC NULLS FIRST,
            swap_total_mb ASC NULLS FIRST,
            swap_used_mb ASC NULLS FIRST,
            disk_root_total_gb ASC NULLS FIRST,
            disk_root_free_gb ASC NULLS FIRST,
            cpu_temp_c ASC NULLS FIRST,
            throttle_flags ASC NULLS FIRST,
            sample_interval_seconds ASC NULLS FIRST,
            disk_read_bytes ASC NULLS FIRST,
            disk_write_bytes ASC NULLS FIRST,
            net_interfaces ASC NULLS FIRST,
            clock_synced ASC NULLS FIRST
    )
), samples AS (
    -- Of the throttle word, two hexadecimal digits matter: the last (bits 0 to 3, now) and the fifth
    -- from the right (bits 16 to 19, since boot).
    SELECT
        ordered.*,
        CASE
            WHEN throttle_flags LIKE '0x_%' AND length(throttle_flags) <= 10
                THEN position(lower(substr(throttle_flags, length(throttle_flags), 1)) IN '0123456789abcdef') - 1
            ELSE NULL
        END AS now_bits,
        CASE
            WHEN throttle_flags LIKE '0x_____%' AND length(throttle_flags) <= 10
                THEN position(lower(substr(throttle_flags, length(throttle_flags) - 4, 1)) IN '0123456789abcdef') - 1
            WHEN throttle_flags LIKE '0x_%' AND length(throttle_flags) <= 10 THEN 0
            ELSE NULL
        END AS sticky_bits
    FROM ordered
    WHERE next_t_us IS NULL OR next_t_us <> t_us
), pairs AS (
    SELECT
        samples.*,
        row_in_host - coalesce(lag(row_in_host) OVER before, 0) - 1 AS dropped,
        lag(t_us) OVER before AS p_t_us,
        lag(boot_id) OVER before AS p_boot_id,
        lag(uptime_seconds) OVER before AS p_uptime_seconds,
        lag(net_interfaces) OVER before AS p_net_interfaces,
        lag(net_rx_bytes) OVER before AS p_net_rx_bytes,
        lag(net_tx_bytes) OVER before AS p_net_tx_bytes,
        lag(disk_read_bytes) OVER before AS p_disk_read_bytes,
        lag(disk_write_bytes) OVER before AS p_disk_write_bytes,
        lag(sticky_bits) OVER before AS p_sticky_bits
    FROM samples
    WINDOW before AS (PARTITION BY host_id ORDER BY t_us ASC)
), evidence AS (
    SELECT
        pairs.*,
        CASE
            WHEN p_t_us IS NULL THEN NULL
            WHEN boot_id = p_boot_id THEN 1
            WHEN boot_id <> p_boot_id THEN 0
            WHEN uptime_seconds < p_uptime_seconds THEN 0
            ELSE 1
        END AS same_boot,
        -- Which boots a bucket saw is clear from the samples that differ from the one before.
        CASE WHEN p_t_us >= bucket_us AND boot_id = p_boot_id THEN 0 ELSE 1 END AS is_news,
        CASE
            WHEN abs(cast(t_us - p_t_us AS double) / 1e6 - (uptime_seconds - p_uptime_seconds)) > 2 THEN 0
            ELSE 1
        END AS clock_agrees,
        CASE
            WHEN net_interfaces = p_net_interfaces THEN 1
            WHEN net_interfaces IS NULL AND p_net_interfaces IS NULL THEN 1
            ELSE 0
        END AS same_interfaces,
        -- Uptimes of more than 30,000 years would overflow.
        CASE
            WHEN uptime_seconds < 1e12 THEN t_us - cast(round(uptime_seconds * 1e6) AS bigint)
            ELSE NULL
        END AS boot_us,
        least(
            3600000000 /* reach_us */,
            greatest(
                300000000 /* shortest_max_gap_us */,
                2000000 * cast(coalesce(sample_interval_seconds, 10 /* default_interval_seconds */) AS bigint)
            )
        ) AS max_gap_us
    FROM pairs
), starts AS (
    -- Where the span of the pair begins, if the pair makes one.
    SELECT
        evidence.*,
        CASE
            WHEN same_boot = 1 AND clock_agrees = 1 AND t_us - p_t_us <= max_gap_us THEN p_t_us
            WHEN same_boot = 0 AND boot_us >= p_t_us AND boot_us < t_us AND t_us - boot_us <= max_gap_us THEN boot_us
            ELSE NULL
        END AS start_us,
        CASE WHEN same_boot = 1 THEN p_sticky_bits WHEN same_boot = 0 THEN 0 ELSE NULL END AS known_sticky_bits
    FROM evidence
), growth AS (
    SELECT
        starts.*,
        CASE
            WHEN start_us IS NULL OR same_interfaces = 0 THEN NULL
            WHEN same_boot = 0 THEN net_rx_bytes
            WHEN net_rx_bytes >= p_net_rx_bytes THEN net_rx_bytes - p_net_rx_bytes
            ELSE NULL
        END AS rx,
        CASE
            WHEN start_us IS NULL OR same_interfaces = 0 THEN NULL
            WHEN same_boot = 0 THEN net_tx_bytes
            WHEN net_tx_bytes >= p_net_tx_bytes THEN net_tx_bytes - p_net_tx_bytes
            ELSE NULL
        END AS tx,
        CASE
            WHEN start_us IS NULL THEN NULL
            WHEN same_boot = 0 THEN disk_read_bytes
            WHEN disk_read_bytes >= p_disk_read_bytes THEN disk_read_bytes - p_disk_read_bytes
            ELSE NULL
        END AS disk_read,
        CASE
            WHEN start_us IS NULL THEN NULL
            WHEN same_boot = 0 THEN disk_write_bytes
            WHEN disk_write_bytes >= p_disk_write_bytes THEN disk_write_bytes - p_disk_write_bytes
            ELSE NULL
        END AS disk_write,
        CASE
            WHEN same_boot = 1 AND clock_agrees = 1 AND same_interfaces = 1 AND net_rx_bytes < p_net_rx_bytes THEN 1
            ELSE 0
        END + CASE
            WHEN same_boot = 1 AND clock_agrees = 1 AND same_interfaces = 1 AND net_tx_bytes < p_net_tx_bytes THEN 1
            ELSE 0
        END AS resets,
        -- The first bucket that the span touches lies so far before the bucket of the sample.
        coalesce(bucket_us - (start_us - start_us % 300000000 /* bucket_us */), 0) AS distance_us,
        row_number() OVER (
            PARTITION BY host_id, bucket_us ORDER BY CASE WHEN cpu_pct IS NULL THEN 1 ELSE 0 END ASC, cpu_pct ASC
        ) AS cpu_rank,
        95 * (count(cpu_pct) OVER (PARTITION BY host_id, bucket_us) - 1) AS cpu_p95_rank
    FROM starts
), digits AS (
    SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9
), offsets AS (
    SELECT cast(a.d + 10 * b.d + 100 * c.d AS bigint) * 300000000 /* bucket_us */ AS offset_us
    FROM digits a CROSS JOIN digits b CROSS JOIN digits c
    WHERE a.d + 10 * b.d + 100 * c.d <= 12 /* longest_span_buckets */
), touched AS (
    -- Every bucket, counted back from that of the sample, that a span over a distance touches.
    SELECT far.offset_us AS distance_us, near.offset_us AS back_us
    FROM offsets far INNER JOIN offsets near ON near.offset_us <= far.offset_us
), parts AS (
    -- A sample once for its own bucket (is_sample = 1), and for each earlier one that its span touches.
    SELECT /*+ BROADCAST(touched) */
        growth.*,
        growth.bucket_us - back_us AS part_us,
        growth.bucket_us - back_us + 300000000 /* bucket_us */ AS part_end_us,
        CASE WHEN back_us = 0 THEN 1 ELSE 0 END AS is_sample,
        cast(growth.bucket_us - back_us - start_us AS double) / cast(t_us - start_us AS double) AS before_part,
        cast(growth.bucket_us - back_us + 300000000 /* bucket_us */ - start_us AS double)
            / cast(t_us - start_us AS double) AS before_part_end
    FROM touched INNER JOIN growth ON touched.distance_us = growth.distance_us
), shares AS (
    -- What had grown by the end of the part less what had grown by its start: every byte is given once.
    SELECT
        parts.*,
        CASE WHEN part_end_us >= t_us THEN rx ELSE cast(floor(cast(rx AS double) * before_part_end) AS bigint) END
            - CASE
                WHEN part_us <= start_us THEN 0
                WHEN part_us >= t_us THEN rx
                ELSE cast(floor(cast(rx AS double) * before_part) AS bigint)
            END AS rx_share,
        CASE WHEN part_end_us >= t_us THEN tx ELSE cast(floor(cast(tx AS double) * before_part_end) AS bigint) END
            - CASE
                WHEN part_us <= start_us THEN 0
                WHEN part_us >= t_us THEN tx
                ELSE cast(floor(cast(tx AS double) * before_part) AS bigint)
            END AS tx_share,
        CASE
            WHEN part_end_us >= t_us THEN disk_read
            ELSE cast(floor(cast(disk_read AS double) * before_part_end) AS bigint)
        END
            - CASE
                WHEN part_us <= start_us THEN 0
                WHEN part_us >= t_us THEN disk_read
                ELSE cast(floor(cast(disk_read AS double) * before_part) AS bigint)
            END AS disk_read_share,
        CASE
            WHEN part_end_us >= t_us THEN disk_write
            ELSE cast(floor(cast(disk_write AS double) * before_part_end) AS bigint)
        END
            - CASE
                WHEN part_us <= start_us THEN 0
                WHEN part_us >= t_us THEN disk_write
                ELSE cast(floor(cast(disk_write AS double) * before_part) AS bigint)
            END AS disk_write_share,
        least(part_end_us, t_us) - greatest(part_us, start_us) AS covered_us
    FROM parts
), sums AS (
    SELECT
        host_id,
        part_us AS bucket_us,
        min(CASE WHEN is_sample = 1 THEN bucket_start ELSE NULL END) AS bucket_start,
        cast(sum(CASE WHEN is_sample = 1 THEN cast(round(cpu_pct * 100e0) AS bigint) ELSE NULL END) AS bigint)
            AS cpu_hundredths,
        count(CASE WHEN is_sample = 1 THEN cpu_pct ELSE NULL END) AS cpu_count,
        max(CASE
            WHEN is_sample = 1 AND 100 * (cpu_rank - 1) = cpu_p95_rank - cpu_p95_rank % 100 THEN cpu_pct
            ELSE NULL
        END) AS cpu_p95_low,
        max(CASE
            WHEN is_sample = 1 AND 100 * (cpu_rank - 2) = cpu_p95_rank - cpu_p95_rank % 100 THEN cpu_pct
            ELSE NULL
        END) AS cpu_p95_high,
        max(CASE WHEN is_sample = 1 THEN cpu_p95_rank % 100 ELSE NULL END) AS cpu_p95_hundredths,
        max(CASE WHEN is_sample = 1 THEN cpu_pct ELSE NULL END) AS cpu_pct_max,
        cast(sum(CASE WHEN is_sample = 1 THEN ram_used_mb ELSE NULL END) AS bigint) AS ram_used_mb_sum,
        count(CASE WHEN is_sample = 1 THEN ram_used_mb ELSE NULL END) AS ram_used_mb_count,
        max(CASE WHEN is_sample = 1 THEN ram_used_mb ELSE NULL END) AS ram_used_mb_max,
        min(CASE WHEN is_sample = 1 THEN disk_root_free_gb ELSE NULL END) AS disk_root_free_gb_min,
        max(CASE WHEN is_sample = 1 THEN cpu_temp_c ELSE NULL END) AS cpu_temp_c_max,
        max(CASE WHEN is_sample = 1 THEN ram_total_mb ELSE NULL END) AS ram_total_mb_max,
        min(CASE WHEN is_sample = 1 THEN ram_available_mb ELSE NULL END) AS ram_available_mb_min,
        max(CASE WHEN is_sample = 1 THEN swap_total_mb ELSE NULL END) AS swap_total_mb_max,
        max(CASE WHEN is_sample = 1 THEN swap_used_mb ELSE NULL END) AS swap_used_mb_max,
        max(CASE WHEN is_sample = 1 THEN disk_root_total_gb ELSE NULL END) AS disk_root_total_gb_max,
        cast(sum(rx_share) AS bigint) AS rx,
        cast(sum(tx_share) AS bigint) AS tx,
        cast(sum(disk_read_share) AS bigint) AS disk_read,
        cast(sum(disk_write_share) AS bigint) AS disk_write,
        cast(sum(CASE WHEN rx IS NULL THEN 0 ELSE covered_us END) AS bigint) AS rx_us,
        cast(sum(CASE WHEN tx IS NULL THEN 0 ELSE covered_us END) AS bigint) AS tx_us,
        cast(sum(CASE WHEN disk_read IS NULL THEN 0 ELSE covered_us END) AS bigint) AS disk_read_us,
        cast(sum(CASE WHEN disk_write IS NULL THEN 0 ELSE covered_us END) AS bigint) AS disk_write_us,
        cast(sum(is_sample * resets) AS bigint) AS net_reset_count,
        cast(sum(is_sample) AS bigint) AS sample_count,
        cast(max(CASE WHEN is_sample = 1 THEN sample_interval_seconds ELSE NULL END) AS bigint)
            AS sample_interval_seconds,
        cast(sum(is_sample * dropped) AS bigint) AS duplicate_count,
        count(CASE WHEN is_sample = 1 THEN now_bits ELSE NULL END) AS throttle_count,
        cast(sum(CASE WHEN is_sample = 1 AND now_bits % 2 = 1 THEN 1 ELSE 0 END) AS bigint) AS undervoltage_samples,
        cast(sum(CASE WHEN is_sample = 1 AND now_bits >= 2 THEN 1 ELSE 0 END) AS bigint) AS throttled_samples,
        max(CASE
            WHEN is_sample = 1 AND sticky_bits % 2 >= 1 AND known_sticky_bits % 2 < 1 THEN 1 ELSE 0
        END) AS sticky_16,
        max(CASE
            WHEN is_sample = 1 AND sticky_bits % 4 >= 2 AND known_sticky_bits % 4 < 2 THEN 2 ELSE 0
        END) AS sticky_17,
        max(CASE
            WHEN is_sample = 1 AND sticky_bits % 8 >= 4 AND known_sticky_bits % 8 < 4 THEN 4 ELSE 0
        END) AS sticky_18,
        max(CASE
            WHEN is_sample = 1 AND sticky_bits >= 8 AND known_sticky_bits < 8 THEN 8 ELSE 0
        END) AS sticky_19,
        count(CASE WHEN is_sample = 1 THEN clock_synced ELSE NULL END) AS clock_count,
        cast(sum(CASE WHEN is_sample = 1 AND NOT clock_synced THEN 1 ELSE 0 END) AS bigint)
            AS clock_unsynced_samples,
        count(DISTINCT CASE WHEN is_sample = 1 AND is_news = 1 THEN boot_id ELSE NULL END) AS boot_count,
        min(CASE WHEN is_sample = 1 THEN as_of ELSE NULL END) AS first_as_of,
        max(CASE WHEN is_sample = 1 THEN as_of ELSE NULL END) AS last_as_of
    FROM shares
    GROUP BY host_id, part_us
), buckets AS (
    SELECT
        sums.*,
        CASE
            WHEN sample_interval_seconds <= 0 THEN 1
            ELSE greatest(1, cast(floor(
                300e0 /* bucket_seconds */
                / cast(coalesce(sample_interval_seconds, 10 /* default_interval_seconds */) AS double)
            ) AS bigint))
        END AS expected_count,
        cast(sticky_16 + sticky_17 + sticky_18 + sticky_19 AS int) AS sticky
    FROM sums
    WHERE sample_count > 0
)
SELECT
    bucket_start,
    host_id,
    CASE
        WHEN cpu_count > 0 THEN cast(cpu_hundredths AS double) / (100e0 * cast(cpu_count AS double)) ELSE NULL
    END AS cpu_pct_avg,
    cast(cpu_p95_hundredths AS double) / 100e0 * (coalesce(cpu_p95_high, cpu_p95_low) - cpu_p95_low) + cpu_p95_low
        AS cpu_pct_p95,
    cpu_pct_max,
    CASE
        WHEN ram_used_mb_count > 0 THEN cast(ram_used_mb_sum AS double) / cast(ram_used_mb_count AS double)
        ELSE NULL
    END AS ram_used_mb_avg,
    ram_used_mb_max,
    disk_root_free_gb_min,
    cpu_temp_c_max,
    CASE WHEN rx_us > 0 THEN 8e6 * cast(rx AS double) / cast(rx_us AS double) ELSE NULL END AS net_rx_rate_bps_avg,
    CASE WHEN tx_us > 0 THEN 8e6 * cast(tx AS double) / cast(tx_us AS double) ELSE NULL END AS net_tx_rate_bps_avg,
    ram_total_mb_max,
    ram_available_mb_min,
    swap_total_mb_max,
    swap_used_mb_max,
    disk_root_total_gb_max,
    CASE WHEN rx_us > 0 THEN rx ELSE NULL END AS net_rx_bytes,
    CASE WHEN tx_us > 0 THEN tx ELSE NULL END AS net_tx_bytes,
    cast(rx_us AS double) / 1e6 AS net_rx_covered_seconds,
    cast(tx_us AS double) / 1e6 AS net_tx_covered_seconds,
    net_reset_count,
    CASE
        WHEN disk_read_us > 0 THEN 1e6 * cast(disk_read AS double) / cast(disk_read_us AS double) ELSE NULL
    END AS disk_read_rate_bytes_avg,
    CASE
        WHEN disk_write_us > 0 THEN 1e6 * cast(disk_write AS double) / cast(disk_write_us AS double) ELSE NULL
    END AS disk_write_rate_bytes_avg,
    sample_count,
    expected_count,
    least(1e0, cast(sample_count AS double) / cast(expected_count AS double)) AS coverage,
    duplicate_count,
    CASE WHEN throttle_count > 0 THEN undervoltage_samples ELSE NULL END AS undervoltage_samples,
    CASE WHEN throttle_count > 0 THEN throttled_samples ELSE NULL END AS throttled_samples,
    CASE
        WHEN throttle_count = 0 THEN NULL
        WHEN sticky = 0 THEN '0x0'
        ELSE concat('0x', substr('123456789abcdef', sticky, 1), '0000')
    END AS throttle_sticky_new,
    CASE WHEN clock_count > 0 THEN clock_unsynced_samples ELSE NULL END AS clock_unsynced_samples,
    CASE WHEN boot_count > 0 THEN boot_count ELSE NULL END AS boot_count,
    first_as_of,
    last_as_of,
    run_us >= bucket_us + 300000000 /* bucket_us */ + 600000000 /* grace_us */ AS is_final
FROM buckets CROSS JOIN run
ORDER BY host_id, bucket_start
