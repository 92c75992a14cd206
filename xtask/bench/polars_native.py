"""The rollup as Polars would have it, for buckets and max_gap of 5 minutes; see native.sql."""

import polars as pl
from polars import col, when

BUCKET = 300_000_000
COUNTERS = {"rx": "net_rx_bytes", "tx": "net_tx_bytes", "rd": "disk_read_bytes", "wr": "disk_write_bytes"}
BEST = ["uptime_seconds", "net_rx_bytes", "net_tx_bytes", "cpu_pct", "ram_used_mb", "boot_id"]


def rollup(silver: str) -> pl.LazyFrame:
    before = {name: col(name).shift().over("host_id") for name in ["t", "boot_id", "uptime_seconds", "net_interfaces"]}
    kept = (
        pl.scan_parquet(silver, hive_partitioning=False)
        .with_columns(t=col("as_of").dt.epoch("us"))
        .sort(["host_id", "t", *BEST], descending=[False, False] + [True] * 6, nulls_last=True)
        .with_columns(dropped=pl.len().over("host_id", "t") - 1)
        .unique(["host_id", "t"], keep="first", maintain_order=True)
    )
    same_boot = col("boot_id") == before["boot_id"]
    clock = ((col("t") - before["t"]) / 1e6 - (col("uptime_seconds") - before["uptime_seconds"])).abs() <= 2
    booted = col("t") - (col("uptime_seconds") * 1e6).round().cast(pl.Int64)
    start = when(same_boot & clock).then(before["t"]).when(~same_boot & (booted >= before["t"])).then(booted)
    spans = kept.with_columns(
        bucket=col("t") - col("t") % BUCKET,
        s=start,
        same_boot=same_boot,
        same_net=col("net_interfaces") == before["net_interfaces"],
        **{f"p_{name}": col(counter).shift().over("host_id") for name, counter in COUNTERS.items()},
    ).with_columns(before=((col("bucket") - col("s")) / (col("t") - col("s"))).clip(0, 1))
    usable = col("t") - col("s") <= BUCKET
    growth = spans.with_columns(
        **{
            name: when(usable & (col("same_net") if name in ("rx", "tx") else True)).then(
                when(~col("same_boot"))
                .then(col(counter))
                .when(col(counter) >= col(f"p_{name}"))
                .then(col(counter) - col(f"p_{name}"))
            )
            for name, counter in COUNTERS.items()
        }
    )
    last = col("throttle_flags").str.tail(1)
    own = growth.group_by("host_id", "bucket").agg(
        cpu_pct_avg=col("cpu_pct").mean(),
        cpu_pct_p95=col("cpu_pct").quantile(0.95, "linear"),
        cpu_pct_max=col("cpu_pct").max(),
        ram_used_mb_avg=col("ram_used_mb").mean(),
        ram_used_mb_max=col("ram_used_mb").max(),
        disk_root_free_gb_min=col("disk_root_free_gb").min(),
        cpu_temp_c_max=col("cpu_temp_c").max(),
        ram_total_mb_max=col("ram_total_mb").max(),
        ram_available_mb_min=col("ram_available_mb").min(),
        swap_total_mb_max=col("swap_total_mb").max(),
        swap_used_mb_max=col("swap_used_mb").max(),
        disk_root_total_gb_max=col("disk_root_total_gb").max(),
        **{name: (col(name) - (col(name) * col("before")).floor()).sum() for name in COUNTERS},
        us=(col("t") - pl.max_horizontal("s", "bucket")).sum(),
        net_reset_count=(col("same_boot") & (col("net_rx_bytes") < col("p_rx"))).sum()
        + (col("same_boot") & (col("net_tx_bytes") < col("p_tx"))).sum(),
        sample_count=pl.len(),
        expected_count=300 // col("sample_interval_seconds").max(),
        duplicate_count=col("dropped").sum(),
        undervoltage_samples=last.is_in(list("13579bdf")).sum(),
        throttled_samples=(~last.is_in(["0", "1"])).sum(),
        clock_unsynced_samples=(~col("clock_synced")).sum(),
        boot_count=col("boot_id").n_unique(),
        first_as_of=col("as_of").min(),
        last_as_of=col("as_of").max(),
    )
    carried = (
        growth.filter(col("s") < col("bucket"))
        .group_by("host_id", bucket=col("bucket") - BUCKET)
        .agg(
            **{f"c_{name}": (col(name) * col("before")).floor().sum() for name in COUNTERS},
            c_us=(col("bucket") - col("s")).sum(),
        )
    )
    covered = col("us") + col("c_us").fill_null(0)
    rates = {f"{name}_rate": (col(name) + col(f"c_{name}").fill_null(0)) / covered for name in COUNTERS}
    return own.join(carried, on=["host_id", "bucket"], how="left").with_columns(**rates).sort("host_id", "bucket")
