"""What the page reads of a lake: its files through DuckDB, never a program's answer.

The layout and the columns are those of docs/datasets.md. Files are chosen by their names, so that a page
opens few of them: Silver for a few hours, Gold for days to years.
"""

import datetime
import functools
import os
import re
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas

SILVER = Path("silver/ops_host_metrics")
ROLLUPS = re.compile(r"ops_host_metrics_\d+m_rollup")
ALERTS = Path("gold/ops_host_alerts")
SEVERAL_HOSTS = "@all"
# A host that was not seen on any of the newest dates is not offered.
DATES_OF_HOSTS = 31
# Files are replaced by rollups and compactions while the page reads.
TRIES = 5

US = 1_000_000
# A counter that was read longer apart than this says nothing about a rate; as in the rollup.
SPAN_US = 300 * US


class LakeError(Exception):
    """The lake cannot be read; the text says why and what to do."""


@dataclass(frozen=True)
class Range:
    """A range of time up to now, and what its charts are drawn from."""

    name: str
    length: datetime.timedelta
    # Between two points, a multiple of a rollup's 5 minutes where it is read from Gold.
    step: datetime.timedelta
    is_gold: bool


RANGES = {
    range.name: range
    for range in (
        Range("1 h", datetime.timedelta(hours=1), datetime.timedelta(seconds=10), False),
        Range("6 h", datetime.timedelta(hours=6), datetime.timedelta(minutes=1), False),
        Range("24 h", datetime.timedelta(hours=24), datetime.timedelta(minutes=5), True),
        Range("7 d", datetime.timedelta(days=7), datetime.timedelta(minutes=30), True),
        Range("30 d", datetime.timedelta(days=30), datetime.timedelta(hours=2), True),
        # Whole days: day and night would zigzag.
        Range("1 y", datetime.timedelta(days=365), datetime.timedelta(days=1), True),
    )
}


def find() -> Path:
    """The lake of TELEMETRY_LAKE, else the one that the collector writes to."""
    named = os.environ.get("TELEMETRY_LAKE")
    return Path(named) if named else configured()


@functools.cache
def configured() -> Path:
    try:
        command = ["telemetry-collect", "--print-config"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise LakeError("Which lake? Set `TELEMETRY_LAKE`, or put `telemetry-collect` on the `PATH`.") from error
    return Path(tomllib.loads(printed.stdout)["lake"])


def entries(directory: Path) -> list[Path]:
    """What is in a directory; nothing if it is not there, or no longer."""
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def dates(dataset: Path, first: datetime.datetime | None = None) -> list[Path]:
    """The directories of a dataset's dates, the newest first; those since a time if one is given."""
    earliest = f"date={first:%Y-%m-%d}" if first else "date="
    return sorted((path for path in entries(dataset) if path.name >= earliest), reverse=True)


def parquet(dates: list[Path]) -> Iterator[Path]:
    """The files of these dates."""
    return (file for date in dates for file in entries(date) if file.suffix == ".parquet")


def parts(file: Path) -> tuple[str, str]:
    """The host and the instant of the last row, as the name of a Silver file says."""
    host, _, last, *_ = [*file.name.split("__"), "", ""]
    return host, last


def silver(lake: Path, host: str, first: datetime.datetime) -> list[Path]:
    """The Silver files that can have samples of the host since then."""
    since = f"{first:%Y%m%dT%H%M%SZ}"
    named = ((file, *parts(file)) for file in parquet(dates(lake / SILVER, first)))
    return [file for file, of, last in named if of in (host, SEVERAL_HOSTS) and last >= since]


def gold(lake: Path, first: datetime.datetime | None = None, newest: int | None = None) -> list[Path]:
    """The rollup files since a time, or of so many dates; of rollups of several widths the latest."""
    datasets = [dates(path) for path in entries(lake / "gold") if ROLLUPS.fullmatch(path.name)]
    latest = max(datasets, key=lambda dates: [date.name for date in dates[:1]], default=[])
    earliest = f"date={first:%Y-%m-%d}" if first else "date="
    return list(parquet([date for date in latest[:newest] if date.name >= earliest]))


def query(sql: str, list_files: Callable[[], list[Path]], **values: object) -> pandas.DataFrame:
    """The result over the files that `{files}` stands for; no rows and no columns if there are none."""
    for attempt in range(1, TRIES + 1):
        files = list_files()
        if not files:
            return pandas.DataFrame()
        # Taken literally where they exist, whatever characters they have.
        values["files"] = [str(file) for file in files]
        try:
            with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
                text = sql.replace("{files}", "read_parquet($files, union_by_name = true)")
                return connection.execute(text, values).df()
        except duckdb.IOException:
            # Files that were merged, replaced or expired since they were listed: list again.
            if attempt == TRIES or all(file.exists() for file in files):
                raise
            time.sleep(0.05 * attempt)
    raise AssertionError("the last attempt returns or raises")


def hosts(lake: Path) -> list[str]:
    """The hosts of the newest dates, in the order of their names."""

    def samples() -> list[Path]:
        return list(parquet(dates(lake / SILVER)[:DATES_OF_HOSTS]))

    named = {parts(file)[0] for file in samples()} - {SEVERAL_HOSTS}
    # Whose files hold several hosts is in Gold too, which is faster to read.
    found = query("SELECT DISTINCT host_id FROM {files}", lambda: gold(lake, newest=DATES_OF_HOSTS) or samples())
    return sorted(named.union(found.get("host_id", [])))


LATEST = """
    SELECT epoch_us(as_of) AS as_of_us, os, arch, cpu_pct, cpu_count_logical, ram_used_mb, ram_total_mb,
        disk_root_free_gb, disk_root_total_gb, cpu_temp_c, sample_interval_seconds, uptime_seconds
    FROM {files} WHERE host_id = $host ORDER BY as_of DESC LIMIT 1
"""


def latest(lake: Path, host: str) -> dict | None:
    """The newest sample of the host, with nothing in place of what it cannot measure."""
    for date in dates(lake / SILVER):

        def newest(date: Path = date) -> list[Path]:
            files = list(parquet([date]))
            own = sorted((file for file in files if parts(file)[0] == host), key=lambda file: parts(file)[1])
            return own[-1:] + [file for file in files if parts(file)[0] == SEVERAL_HOSTS]

        rows = query(LATEST, newest, host=host)
        if not rows.empty:
            (row,) = rows.astype(object).where(rows.notna(), None).to_dict("records")
            return row
    return None


def stored(lake: Path, host: str) -> datetime.datetime | None:
    """When a sample of the host was last put into its spool, where samples wait for their publication; none
    where it has no spool in this lake."""
    try:
        changed = (lake / ".spool" / host / "journal").stat().st_mtime
    except FileNotFoundError:
        return None
    return datetime.datetime.fromtimestamp(changed, datetime.UTC)


# Of a sample that was delivered twice one row; growth of the counters within one boot.
FROM_SILVER = """
    WITH samples AS (
        SELECT * FROM {files} WHERE host_id = $host AND epoch_us(as_of) >= $first
        QUALIFY row_number() OVER (PARTITION BY as_of) = 1
    ), spans AS (
        SELECT *, epoch_us(as_of) - epoch_us(lag(as_of) OVER boot) AS us,
            net_rx_bytes - lag(net_rx_bytes) OVER boot AS rx, net_tx_bytes - lag(net_tx_bytes) OVER boot AS tx
        FROM samples WINDOW boot AS (PARTITION BY boot_id, net_interfaces ORDER BY as_of)
    )
    SELECT epoch_us(as_of) // $step * $step AS t, avg(cpu_pct) AS cpu, max(cpu_pct) AS cpu_max,
        avg(ram_used_mb) / 1024 AS ram, max(ram_used_mb) / 1024 AS ram_max, max(ram_total_mb) / 1024 AS ram_total,
        min(disk_root_free_gb) AS disk, max(disk_root_total_gb) AS disk_total, max(cpu_temp_c) AS temperature,
        8e6 * sum(rx) FILTER (rx >= 0 AND us <= $span) / sum(us) FILTER (rx >= 0 AND us <= $span) AS rx,
        8e6 * sum(tx) FILTER (tx >= 0 AND us <= $span) / sum(us) FILTER (tx >= 0 AND us <= $span) AS tx
    FROM spans GROUP BY 1 ORDER BY 1
"""

FROM_GOLD = """
    SELECT epoch_us(bucket_start) // $step * $step AS t,
        sum(cpu_pct_avg * sample_count) / sum(sample_count) FILTER (cpu_pct_avg IS NOT NULL) AS cpu,
        max(cpu_pct_max) AS cpu_max,
        sum(ram_used_mb_avg * sample_count) / sum(sample_count) FILTER (ram_used_mb_avg IS NOT NULL) / 1024 AS ram,
        max(ram_used_mb_max) / 1024 AS ram_max, max(ram_total_mb_max) / 1024 AS ram_total,
        min(disk_root_free_gb_min) AS disk, max(disk_root_total_gb_max) AS disk_total,
        max(cpu_temp_c_max) AS temperature,
        8.0 * sum(net_rx_bytes) / sum(net_rx_covered_seconds) FILTER (net_rx_bytes IS NOT NULL) AS rx,
        8.0 * sum(net_tx_bytes) / sum(net_tx_covered_seconds) FILTER (net_tx_bytes IS NOT NULL) AS tx
    FROM {files} WHERE host_id = $host AND epoch_us(bucket_start) >= $first GROUP BY 1 ORDER BY 1
"""
COLUMNS = "t cpu cpu_max ram ram_max ram_total disk disk_total temperature rx tx".split()


def series(lake: Path, host: str, range: Range, now: datetime.datetime) -> pandas.DataFrame:
    """The points of the charts, `t` in microseconds since 1970, with a row of nulls where samples are missing."""
    first = now - range.length
    step_us = range.step // datetime.timedelta(microseconds=1)
    values = {"host": host, "first": int(first.timestamp() * US) // step_us * step_us, "step": step_us}
    if range.is_gold:
        rows = query(FROM_GOLD, lambda: gold(lake, first), **values)
    else:
        rows = query(FROM_SILVER, lambda: silver(lake, host, first), **values, span=SPAN_US)
    if rows.empty:
        return pandas.DataFrame(columns=COLUMNS)
    return with_gaps(rows, step_us, is_regular=range.is_gold)


def with_gaps(rows: pandas.DataFrame, step_us: int, is_regular: bool) -> pandas.DataFrame:
    """Adds a row of nulls where the next one comes later than the others do: a line ends there.

    Buckets are regular, so that one can be seen to be missing; samples are early and late."""
    distance = rows["t"].diff().shift(-1)
    usual = max(step_us, distance.median()) if len(rows) > 1 else step_us
    ends = rows.loc[distance > usual * (1.5 if is_regular else 2.5), ["t"]] + 1
    return pandas.concat([rows, ends]).sort_values("t", ignore_index=True)


# Of the rows of an alert the one that is valid.
VALID = """
    SELECT epoch_us(starts_at) AS starts_us, epoch_us(ends_at) AS ends_us, severity, alert_type, message, state
    FROM {files} WHERE host_id = $host
    QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY revision DESC, as_of DESC, state DESC) = 1
    ORDER BY starts_at DESC
"""


def alerts(lake: Path, host: str, first: datetime.datetime) -> pandas.DataFrame | None:
    """The alerts of the host that fire, and those that ended since then, the newest first; none where no
    rollups are, since alert rules look at them."""
    if not gold(lake, newest=1):
        return None
    rows = query(VALID, lambda: list(parquet(dates(lake / ALERTS))), host=host)
    if rows.empty:
        return rows
    for name in ("starts", "ends"):
        rows[name] = pandas.to_datetime(rows.pop(f"{name}_us"), unit="us", utc=True)
    return rows[(rows["state"] == "firing") | (rows["ends"] >= first)]
