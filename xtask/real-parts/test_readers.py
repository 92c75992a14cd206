"""DuckDB and Polars read the lake without locks while samples arrive, are compacted and rolled up."""

import datetime
import fcntl
import json
import os
import random
import threading
import time
from collections import Counter

import duckdb
import polars
import pyarrow
import pyarrow.parquet
from conftest import GOLD, HOST, SILVER, files, run

# Longer runs tell more of the share of loud failures: set the variable to 60 and more.
SECONDS = float(os.environ.get("XTASK_TEST_READERS_SECONDS", 12))
# A reader fails loudly if a date is exchanged between its listing and its opening the files, so how
# often depends on how often dates are exchanged: about eight times a second here, not every five minutes.
PAUSE_SECONDS = 0.1
ROWS = 6
# Closed for more than the 48 hours after which a date becomes one file.
DATE = datetime.date.today() - datetime.timedelta(days=5)
MIDNIGHT = datetime.datetime.combine(DATE, datetime.time(), datetime.UTC)
MOST_LOUD_FAILURES = 0.01


class Publisher:
    """Publishes small files as a collector does: renamed into place under the shared lock of the date."""

    def __init__(self, lake, template):
        self.lake, self.template = lake, template
        self.sure = self.possible = 0

    def publish(self):
        seconds = [10 * (self.sure + n) + 3 for n in range(ROWS)]
        times = [MIDNIGHT + datetime.timedelta(seconds=second) for second in seconds]
        rows = pyarrow.concat_tables([self.template.slice(0, 1)] * ROWS)
        field = rows.schema.field(0)
        rows = rows.set_column(0, field, pyarrow.array(times, field.type))
        first, last = (time.strftime("%Y%m%dT%H%M%SZ") for time in (times[0], times[-1]))
        name = f"{HOST}__{first}__{last}__r{ROWS}__{random.randrange(16**12):012x}.parquet"
        built = self.lake.parent / name
        pyarrow.parquet.write_table(rows, built, compression="zstd")
        directory = self.lake / "silver" / SILVER / f"date={DATE}"
        locks = self.lake / ".state/@lake" / SILVER
        locks.mkdir(parents=True, exist_ok=True)
        with open(locks / f"date={DATE}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            directory.mkdir(parents=True, exist_ok=True)
            self.possible += ROWS
            built.rename(directory / name)
        self.sure += ROWS


def duckdb_reader(lake):
    connection = duckdb.connect()
    connection.execute("SET threads = 1")

    def read(layer, dataset, key):
        glob = lake / layer / dataset / "date=*" / "*.parquet"
        query = f"SELECT count(*), count(DISTINCT {key}) FROM read_parquet('{glob}', union_by_name = true)"
        return connection.execute(query).fetchone()

    return read


def polars_reader(lake):
    def read(layer, dataset, key):
        frame = polars.scan_parquet(lake / layer / dataset / "date=*" / "*.parquet").select(key).collect()
        return frame.height, frame[key].n_unique()

    return read


class Reader(threading.Thread):
    """Reads in a loop, and counts what it got."""

    def __init__(self, read, publisher, done):
        super().__init__()
        self.read, self.publisher, self.done = read, publisher, done
        self.outcomes, self.wrong, self.failures = Counter(), [], []

    def run(self):
        while not self.done.is_set():
            for layer, dataset, key in [("silver", SILVER, "as_of"), ("gold", GOLD, "bucket_start")]:
                sure = self.publisher.sure
                try:
                    rows, distinct = self.read(layer, dataset, key)
                except Exception as error:  # Whatever a reader raises is loud, which is what counts here.
                    self.outcomes["loud"] += 1
                    self.failures.append(f"{layer}: {error}")
                    continue
                self.outcomes["read"] += 1
                fits = layer == "gold" or sure <= rows <= self.publisher.possible
                if rows != distinct or not fits:
                    self.wrong.append(f"{layer}: {rows} rows, {distinct} keys, {sure} were published")


def test_readers_never_see_a_row_twice_or_miss_one(collected, tmp_path):
    (template, *_) = files(collected.lake, SILVER)
    lake = tmp_path / "lake"
    lake.mkdir()
    publisher = Publisher(lake, pyarrow.parquet.read_table(template, partitioning=None))
    publisher.publish()
    run(lake, "telemetry-rollup")
    done = threading.Event()
    readers = [Reader(make(lake), publisher, done) for make in (duckdb_reader, polars_reader)]
    for reader in readers:
        reader.start()
    compactions, end = 0, time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            for _ in range(3):
                publisher.publish()
            run(lake, "telemetry-rollup", "compact")
            run(lake, "telemetry-rollup")
            compactions += 1
            time.sleep(PAUSE_SECONDS)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    run(lake, "telemetry-rollup", "compact")
    (last,) = files(lake, SILVER)
    assert pyarrow.parquet.read_metadata(last).num_rows == publisher.sure
    assert compactions >= 5
    exchanged = list((lake / ".trash").glob("*/*date=*/*.parquet"))
    assert exchanged, "this file system cannot exchange directories: run the tests on one that can"
    for name, reader in zip(["DuckDB", "Polars"], readers, strict=True):
        print(name, json.dumps(reader.outcomes), f"in {compactions} compactions", reader.failures[:3])
        assert not reader.wrong, f"{name}: {reader.wrong[:5]}"
        assert reader.outcomes["read"] >= 100, f"{name}: {reader.outcomes}"
        loud = reader.outcomes["loud"] / reader.outcomes.total()
        assert loud <= MOST_LOUD_FAILURES, f"{name}: {reader.outcomes}: {reader.failures[:3]}"
