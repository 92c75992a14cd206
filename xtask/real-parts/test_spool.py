"""Samples of a collector that waits an hour, and a rollup of the same host: both programs on one lake."""

import fcntl

import duckdb
import pytest
from conftest import GOLD, HOST, SILVER, clock, files, run

HOURLY = {"TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES": "60"}


@pytest.fixture
def lake(tmp_path):
    """Three samples of 12:10 that wait in the spool; their collector does not run again."""
    lake = tmp_path / "lake"
    run(lake, "telemetry-collect", "--samples", "3", "--interval", "1s", **HOURLY, **clock("@2026-11-21 12:10:00"))
    assert published(lake) == 0
    return lake


def published(lake):
    return len(list(lake.glob(f"silver/{SILVER}/date=*/*.parquet")))


def roll_up(lake, time):
    run(lake, "telemetry-rollup", **HOURLY, **clock(f"@2026-11-21 {time}"))


def test_a_rollup_publishes_what_no_collector_has(lake):
    for early in ("12:40:00", "13:02:30"):
        roll_up(lake, early)
        assert published(lake) == 0, f"published at {early}: the interval is not over, or a collector may come"
    roll_up(lake, "13:03:10")
    assert published(lake) == 1
    paths = [str(path) for path in files(lake, GOLD)]
    (bucket,) = duckdb.execute("SELECT sample_count FROM read_parquet(?)", [paths]).fetchall()
    assert bucket == (3,)
    roll_up(lake, "13:10:00")
    assert published(lake) == 1


def test_a_collector_at_work_publishes_by_itself(lake):
    with (lake / f".state/{HOST}/collector.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        roll_up(lake, "14:00:00")
        assert published(lake) == 0
    roll_up(lake, "14:05:00")
    assert published(lake) == 1
