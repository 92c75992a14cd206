"""Clocks that step, start in 1970 and sleep, through the real programs: what Gold makes of it.

libfaketime moves the wall clock of a running collector alone, as a step does. A machine that sleeps is
one whose wall clock and time since boot have both gone on when it wakes: a time namespace of its own for
the run after that. A service that sleeps is only stopped and continued here: the time since boot does
not jump under it, as no kernel lets a running process have another."""

import datetime
import json
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from conftest import GOLD, PROGRAMS, SILVER, clock, environment, files, run

START = datetime.datetime(2026, 11, 10, 10, 2, tzinfo=datetime.UTC)
HOUR = 3600
# From now to a day in 1970.
TO_1970 = -56 * 365 * 24 * HOUR
INTERVAL = "TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES"
SECONDLY = ("--sample-interval-seconds", "1")


class Clock:
    """A wall clock that can be moved under running programs: seconds from START when it was made."""

    def __init__(self, directory: Path):
        self.file = directory / "clock"
        self.base = round(START.timestamp() - time.time())
        self.set(0)

    def set(self, seconds: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(f"{self.base + seconds:+}\n")
        new.rename(self.file)

    def variables(self) -> dict[str, str]:
        library = {name: value for name, value in clock("+0").items() if name != "FAKETIME"}
        return {**library, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1"}


def without_duplicates(samples: list[dict]) -> list[dict]:
    """Of samples with one and the same time, which a clock that steps back makes, the one that was taken
    last; by time."""
    kept: dict[datetime.datetime, dict] = {}
    for sample in sorted(samples, key=lambda sample: sample["uptime_seconds"]):
        kept[sample["as_of"]] = sample
    return [kept[as_of] for as_of in sorted(kept)]


def expected(samples: list[dict]) -> tuple[int, float]:
    """Bytes received and seconds covered, by the rules of docs/datasets.md, for samples of one boot that
    are less than five minutes apart where the clock agrees with the time since boot."""
    ordered = without_duplicates(samples)
    received, covered = 0, 0.0
    for before, after in zip(ordered, ordered[1:], strict=False):
        passed = (after["as_of"] - before["as_of"]).total_seconds()
        aged = after["uptime_seconds"] - before["uptime_seconds"]
        grown = after["net_rx_bytes"] - before["net_rx_bytes"]
        if abs(passed - aged) <= 2 and grown >= 0 and passed <= 300:
            received, covered = received + grown, covered + passed
    return received, covered


def assert_gold_is_right(lake: Path, ages: list[float]) -> list[dict]:
    """Every sample of these times since boot is there once, and Gold is what they say; returns them."""
    run(lake, "telemetry-rollup", *SECONDLY)
    connection = duckdb.connect()
    columns = "as_of, uptime_seconds, net_rx_bytes, cpu_pct"
    silver = connection.execute(f"SELECT {columns} FROM read_parquet(?)", [list(map(str, files(lake, SILVER)))])
    samples = [dict(zip(columns.split(", "), row, strict=True)) for row in silver.fetchall()]
    assert sorted(sample["uptime_seconds"] for sample in samples) == sorted(ages)
    assert all(sample["as_of"].year == 2026 for sample in samples)

    connection.execute(run(lake, "telemetry-rollup", "sql"))
    gold = connection.execute(f"FROM {GOLD}")
    names = [column[0] for column in gold.description]
    buckets = [dict(zip(names, row, strict=True)) for row in gold.fetchall()]
    counted = sum(bucket["sample_count"] + bucket["duplicate_count"] for bucket in buckets)
    assert counted == len(samples)
    received, covered = expected(samples)
    assert sum(bucket["net_rx_bytes"] or 0 for bucket in buckets) == received
    assert sum(bucket["net_rx_covered_seconds"] or 0 for bucket in buckets) == pytest.approx(covered, abs=1e-3)
    for bucket in buckets:
        covered_seconds, rate = bucket["net_rx_covered_seconds"], bucket["net_rx_rate_bps_avg"]
        if rate is None:
            assert not covered_seconds
        else:
            assert rate == pytest.approx(8 * bucket["net_rx_bytes"] / covered_seconds) and rate >= 0
        assert 0 < bucket["coverage"] <= 1 and bucket["is_final"]
        assert bucket["net_reset_count"] == 0 and bucket["boot_count"] == 1
        within = [sample["cpu_pct"] for sample in without_duplicates(samples) if of_bucket(sample, bucket)]
        assert min(within) <= bucket["cpu_pct_avg"] <= max(within) == bucket["cpu_pct_max"]
    return samples


def of_bucket(sample: dict, bucket: dict) -> bool:
    return datetime.timedelta(0) <= sample["as_of"] - bucket["bucket_start"] < datetime.timedelta(minutes=5)


class Service:
    def __init__(self, lake: Path, moved: Clock, interval: str):
        self.lake, self.moved, self.interval = lake, moved, {INTERVAL: interval}
        self.process = subprocess.Popen(
            [PROGRAMS / "telemetry-collect", "--watch", *SECONDLY, "--print", "json"],
            env={**environment(lake), **moved.variables(), **self.interval},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> list[float]:
        """Publishes what waits; the times since boot of all samples that were taken."""
        self.process.terminate()
        printed, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        run(self.lake, "telemetry-collect", "--publish", **self.moved.variables(), **self.interval)
        return [json.loads(line)["uptime_seconds"] for line in printed.splitlines()]


@pytest.mark.parametrize("interval", ["0", "60"])
def test_steps_of_the_clock(tmp_path, interval):
    lake, moved = tmp_path / "lake", Clock(tmp_path)
    service = Service(lake, moved, interval)
    begun = time.monotonic()
    time.sleep(4)
    # An hour forwards and back, an hour backwards, the last seconds once more, and 1970.
    for seconds in (HOUR, 0, -HOUR, -HOUR - 4, 0, TO_1970, 0):
        moved.set(seconds)
        time.sleep(3)
    elapsed = time.monotonic() - begun
    ages = service.end()
    # Of 25: a disk that others keep busy holds up who publishes to it.
    assert len(ages) >= 16, "samples were not taken"
    samples = assert_gold_is_right(lake, ages)
    _, covered = expected(samples)
    # A step costs the second in which it happens. What the clock came back from is covered twice, by the
    # samples of that other hour, and by those before and after it.
    assert elapsed - 12 < covered < elapsed + 6, (covered, elapsed)


def test_a_service_that_was_stopped_while_its_machine_slept(tmp_path):
    lake, moved = tmp_path / "lake", Clock(tmp_path)
    service = Service(lake, moved, "0")
    time.sleep(3)
    service.process.send_signal(signal.SIGSTOP)
    moved.set(HOUR)
    time.sleep(2)
    service.process.send_signal(signal.SIGCONT)
    time.sleep(3)
    samples = assert_gold_is_right(lake, service.end())
    hours = {sample["as_of"].hour for sample in samples}
    assert hours == {10, 11}, hours


@pytest.mark.parametrize(("slept", "is_covered"), [(200, True), (2 * HOUR, False)])
def test_runs_before_and_after_a_sleep(tmp_path, slept, is_covered):
    lake, moved, ages = tmp_path / "lake", Clock(tmp_path), []
    for passed in (0, slept):
        moved.set(passed)
        program = [PROGRAMS / "telemetry-collect", "--samples", "3", "--interval", "1s", "--print", "json"]
        done = subprocess.run(
            # The program becomes its own child: the time since boot of a namespace is that of children.
            ["unshare", "--map-root-user", "--time", f"--boottime={passed}", "--fork", *program],
            env={**environment(lake), **moved.variables()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"needs user namespaces, or root: {done.stderr}"
        ages += [json.loads(line)["uptime_seconds"] for line in done.stdout.splitlines()]
    assert len(ages) == 6 and max(ages) - min(ages) > slept
    _, covered = expected(assert_gold_is_right(lake, ages))
    assert (covered > slept) == is_covered
