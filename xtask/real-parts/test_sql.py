"""The SQL rollup computes, in DuckDB and DataFusion, what telemetry-rollup writes: bit by bit."""

import datetime
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datafusion
import duckdb
import pyarrow
import pyarrow.parquet
import pytest
from conftest import CONTRACT, GOLD, ROOT, SILVER, run

SEEDS = range(24)
MINUTES = (1, 5, 15)
SECOND_US = 1_000_000
NOON = datetime.datetime(2026, 11, 10, 12, tzinfo=datetime.UTC)
ARROW = {
    "timestamp µs UTC": pyarrow.timestamp("us", "UTC"),
    "string": pyarrow.string(),
    "double": pyarrow.float64(),
    "int32": pyarrow.int32(),
    "int64": pyarrow.int64(),
    "boolean": pyarrow.bool_(),
}


def schema(dataset: str) -> pyarrow.Schema:
    return pyarrow.schema([(column["name"], ARROW[column["type"]]) for column in CONTRACT[dataset]["columns"]])


def statements(lake: Path, engine: str, flags: tuple[str, ...]) -> list[str]:
    printed = run(lake, "telemetry-rollup", "sql", "--rollup", "--engine", engine, *flags)
    return [text for text in re.sub("--.*", "", printed).split(";") if text.strip()]


def by_duckdb(statements: list[str], run_us: int) -> pyarrow.Table:
    connection = duckdb.connect()
    *prelude, query = statements
    for statement in prelude:
        connection.execute(statement)
    connection.execute(f"CREATE OR REPLACE TEMPORARY VIEW run AS SELECT {run_us} AS run_us")
    return connection.sql(query).to_arrow_table()


def by_datafusion(statements: list[str], run_us: int) -> pyarrow.Table:
    context = datafusion.SessionContext()
    *prelude, query = statements
    for statement in prelude:
        context.sql(statement)
    context.sql(f"CREATE OR REPLACE VIEW run AS SELECT {run_us} AS run_us")
    frame = context.sql(query)
    return pyarrow.Table.from_batches(frame.collect(), schema=frame.schema())


ENGINES = {"duckdb": by_duckdb, "datafusion": by_datafusion}


def computed(lake: Path, engine: str, *flags: str, run_us: int | None = None) -> pyarrow.Table:
    return ENGINES[engine](statements(lake, engine, flags), run_us or time.time_ns() // 1_000)


def built(lake: Path, minutes: int = 5) -> pyarrow.Table:
    """What telemetry-rollup wrote, in the order of the query."""
    found = sorted((lake / "gold" / f"ops_host_metrics_{minutes}m_rollup").glob("date=*/*.parquet"))
    tables = [pyarrow.parquet.ParquetFile(file).read().cast(schema(GOLD)) for file in found]
    return pyarrow.concat_tables(tables).sort_by([("host_id", "ascending"), ("bucket_start", "ascending")])


def plain(table: pyarrow.Table) -> pyarrow.Table:
    """With one type for strings, which readers represent in three ways."""
    fields = [
        field.with_type(pyarrow.string()) if field.type in (pyarrow.large_string(), pyarrow.string_view()) else field
        for field in table.schema
    ]
    return table.cast(pyarrow.schema(fields))


def check_identical(got: pyarrow.Table, expected: pyarrow.Table) -> None:
    got = plain(got)
    assert [(f.name, f.type) for f in got.schema] == [(f.name, f.type) for f in expected.schema]
    keys = [table.select(["host_id", "bucket_start"]).to_pylist() for table in (got, expected)]
    assert keys[0] == keys[1]
    for name in expected.column_names:
        pairs = zip(keys[0], got[name].to_pylist(), expected[name].to_pylist(), strict=True)
        different = [pair for pair in pairs if pair[1] != pair[2]]
        assert not different, f"{name}: {len(different)} of {len(got)} differ (SQL, engine): {different[:3]}"


class Faulty:
    """A lake of two hosts to which everything happens, rolled up."""

    def __init__(self, lake: Path, seed: int):
        self.lake = lake
        self.minutes = MINUTES[seed % 3]
        interval = ("10", "900", "2400")[seed // 3 % 3]
        self.flags = ("--rollup-interval-minutes", str(self.minutes), "--sample-interval-seconds", interval)
        # Few samples a bucket over a midnight, or many within hours.
        span = [("2026-11-10", "2026-11-11T03:00:00Z", "60"), ("2026-11-10", "2026-11-10T04:00:00Z", "10")][seed % 2]
        place = ("--lake", str(lake), "--hosts", "2", "--days", "2")
        content = ("--from", span[0], "--until", span[1], "--interval", span[2], "--seed", str(seed))
        run(lake, "telemetry-bench", "generate", "--profile", "faulty", *place, *content)
        run(lake, "telemetry-rollup", *self.flags)
        self.gold = built(lake, self.minutes)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> list[Faulty]:
    directory = tmp_path_factory.mktemp("faulty")
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda seed: Faulty(directory / str(seed), seed), SEEDS))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", SEEDS)
def test_seeded_lakes_with_faults(faulty, seed, engine):
    lake = faulty[seed]
    check_identical(computed(lake.lake, engine, *lake.flags), lake.gold)


def test_the_faults_show_in_gold(faulty):
    def total(name):
        return sum(value or 0 for lake in faulty for value in lake.gold[name].to_pylist())

    for name in ("net_reset_count", "duplicate_count", "throttled_samples", "clock_unsynced_samples"):
        assert total(name) > 100, name
    assert {lake.minutes for lake in faulty} == set(MINUTES)
    texts = {text for lake in faulty for text in lake.gold["throttle_sticky_new"].to_pylist()}
    assert len(texts) > 4, texts
    for name in ("net_rx_bytes", "cpu_pct_avg", "boot_count", "cpu_temp_c_max"):
        assert sum(lake.gold[name].null_count for lake in faulty) > 10, name
    for lake in faulty:
        assert max(boots or 0 for boots in lake.gold["boot_count"].to_pylist()) > 1
        assert set(lake.gold["host_id"].to_pylist()) == {"host-00000", "host-00001"}


@pytest.mark.parametrize("engine", ENGINES)
def test_buckets_that_are_not_final_yet(tmp_path, engine):
    now = datetime.datetime.now(datetime.UTC)
    place = ("--lake", str(tmp_path), "--hosts", "1", "--days", "2", "--interval", "60")
    span = ("--from", str(now.date() - datetime.timedelta(days=1)), "--until", now.isoformat())
    run(tmp_path, "telemetry-bench", "generate", *place, *span)
    before = time.time_ns() // 1_000
    run(tmp_path, "telemetry-rollup")
    after = time.time_ns() // 1_000
    gold = built(tmp_path)
    assert set(gold["is_final"].to_pylist()) == {False, True}
    # A bucket may become final while the program starts.
    possible = [plain(computed(tmp_path, engine, run_us=at)) for at in (before, after)]
    assert gold["is_final"].to_pylist() in [table["is_final"].to_pylist() for table in possible]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bucket_is_final_ten_minutes_after_its_end(tmp_path, engine):
    write(tmp_path, [steady(0)])
    final_us = int(NOON.timestamp()) * SECOND_US + 15 * 60 * SECOND_US
    for run_us, is_final in ((final_us - 1, False), (final_us, True)):
        assert computed(tmp_path, engine, run_us=run_us)["is_final"].to_pylist() == [is_final]


@pytest.mark.parametrize("engine", ENGINES)
def test_files_of_other_schema_versions(tmp_path, engine):
    lakes = sorted(path.parent for path in (ROOT / "fixtures/lake").glob("*/silver"))
    assert len(lakes) >= 2
    for lake in lakes:
        shutil.copytree(lake / "silver", tmp_path / "silver", dirs_exist_ok=True)
    run(tmp_path, "telemetry-rollup")
    check_identical(computed(tmp_path, engine), built(tmp_path))


def steady(second: int, **values) -> dict:
    """A sample at so many seconds after 12:00:03, 12,500 bytes each 10 s since 11:00."""
    return {
        "as_of": NOON + datetime.timedelta(seconds=3 + second),
        "host_id": "pi",
        "net_rx_bytes": 4_500_000 + second * 1_250,
        "boot_id": "first",
        "uptime_seconds": 3_600.0 + second,
        "sample_interval_seconds": 10,
        **values,
    }


def write(lake: Path, rows: list[dict]) -> None:
    directory = lake / "silver" / SILVER / "date=2026-11-10"
    directory.mkdir(parents=True)
    table = pyarrow.Table.from_pylist(rows, schema=schema(SILVER))
    pyarrow.parquet.write_table(table, directory / "by-hand.parquet")


def every_ten(start: int, end: int, change=lambda second: {}) -> list[dict]:
    return [steady(second, **change(second)) for second in range(start, end, 10)]


def rebooted(second: int) -> dict:
    """At 12:02:33; the first sample is 40 s later, with 200,000 bytes."""
    if second < 190:
        return {}
    counter = 200_000 + (second - 190) * 1_250
    return {"boot_id": "second", "uptime_seconds": 40.0 + second - 190, "net_rx_bytes": counter}


def fallen(second: int) -> dict:
    return {} if second < 100 else {"net_rx_bytes": 1_000 + (second - 100) * 1_250}


def burst(second: int) -> dict:
    return {} if second < 10 else {"net_rx_bytes": 4_500_000 + 1_250_000}


# The contract's worked examples: rows, and of the buckets from 12:00 on bytes, covered seconds, bits per
# second, boots and resets.
EXAMPLES = {
    "steady": (every_ten(-30, 330), [(375_000, 300.0, 10_000.0, 1, 0)]),
    "reboot": (
        [row for row in every_ten(-30, 330, rebooted) if not 120 < (row["as_of"] - NOON).seconds - 3 < 190],
        [(487_500, 270.0, 8e6 * 487_500 / 270e6, 2, 0)],
    ),
    "reset": (every_ten(-30, 330, fallen), [(362_500, 290.0, 10_000.0, 1, 1)]),
    "off": (every_ten(-30, 61) + every_ten(480, 620), [(78_750, 63.0, 10_000.0, 1, 0), (146_250, 117.0, 10_000.0, 1, 0)]),
    "gap": (
        [steady(180), steady(420, net_rx_bytes=4_500_000 + 225_000 + 300_000)],
        [(146_250, 117.0, 10_000.0, 1, 0), (153_750, 123.0, 8e6 * 153_750 / 123e6, 1, 0)],
    ),
    "one pair": ([steady(0), steady(10, **burst(10))], [(1_250_000, 10.0, 1_000_000.0, 1, 0)]),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("example", EXAMPLES)
def test_worked_examples(tmp_path, example, engine):
    rows, expected = EXAMPLES[example]
    write(tmp_path, rows)
    run(tmp_path, "telemetry-rollup")
    gold = computed(tmp_path, engine)
    check_identical(gold, built(tmp_path))
    names = ("net_rx_bytes", "net_rx_covered_seconds", "net_rx_rate_bps_avg", "boot_count", "net_reset_count")
    found = [tuple(row[name] for name in names) for row in gold.to_pylist() if row["bucket_start"] >= NOON]
    assert found[: len(expected)] == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_a_span_over_many_buckets(tmp_path, engine):
    # 300 s end 57 s into a bucket of a minute: parts in six buckets, four of them without samples.
    write(tmp_path, [steady(0), steady(300)])
    minutely = ("--rollup-interval-minutes", "1")
    run(tmp_path, "telemetry-rollup", *minutely)
    gold = computed(tmp_path, engine, *minutely)
    check_identical(gold, built(tmp_path, 1))
    assert gold["net_rx_covered_seconds"].to_pylist() == [57.0, 3.0]
    assert gold["net_rx_bytes"].to_pylist() == [71_250, 3_750]


@pytest.mark.parametrize("engine", ENGINES)
def test_throttle_words(tmp_path, engine):
    words = ["0x0", "0x1", "0x8", "0x50005", "0xF000E", "0xe0000", None, "0x80000", "0x12345678", "0xA"]
    for turn, word in enumerate(words):
        assert word is None or len(word) <= 10, turn
    write(tmp_path, [steady(60 * turn, throttle_flags=word) for turn, word in enumerate(words)])
    minutely = ("--rollup-interval-minutes", "1")
    run(tmp_path, "telemetry-rollup", *minutely)
    gold = computed(tmp_path, engine, *minutely)
    check_identical(gold, built(tmp_path, 1))
    assert gold["undervoltage_samples"].to_pylist() == [0, 1, 0, 1, 0, 0, None, 0, 0, 0]
    assert gold["throttled_samples"].to_pylist() == [0, 0, 1, 1, 1, 0, None, 0, 1, 1]
    sticky = ["0x0", "0x0", "0x0", "0x50000", "0xa0000", "0x0", None, "0x0", "0x40000", "0x0"]
    assert gold["throttle_sticky_new"].to_pylist() == sticky


# De-duplication's order, each column with a lower and a higher value; strings are compared by bytes.
ORDER = {
    "uptime_seconds": (10.0, 11.0),
    "net_rx_bytes": (5, 6),
    "net_tx_bytes": (7, 8),
    "cpu_pct": (1.5, 10.25),
    "ram_used_mb": (100, 200),
    "boot_id": ("Zulu", "alfa"),
    "ram_total_mb": (1_000, 2_000),
    "ram_available_mb": (300, 400),
    "swap_total_mb": (0, 10),
    "swap_used_mb": (1, 2),
    "disk_root_total_gb": (64.0, 128.0),
    "disk_root_free_gb": (8.0, 16.0),
    "cpu_temp_c": (9.5, 40.0),
    "throttle_flags": ("0x10001", "0x9"),
    "sample_interval_seconds": (5, 10),
    "disk_read_bytes": (1, 20),
    "disk_write_bytes": (3, 40),
    "net_interfaces": ("ETH0", "eth0"),
    "clock_synced": (False, True),
}


def conflict(second: int, decisive: str, values: tuple) -> list[dict]:
    """Rows with one key that differ from `decisive` on; the one with the best value is the lowest after it."""
    names = list(ORDER)
    place = names.index(decisive)
    rows = []
    for value in values:
        after = 0 if value == values[-1] else 1
        row = {name: ORDER[name][0] for name in names[:place]} | {decisive: value}
        rows.append(steady(second, **row, **{name: ORDER[name][after] for name in names[place + 1 :]}))
    return rows


@pytest.mark.parametrize("engine", ENGINES)
def test_every_column_decides_between_duplicates(tmp_path, engine):
    rows = []
    for turn, (name, (low, high)) in enumerate(ORDER.items()):
        # The next column's value shows which row was kept; of the last, its own.
        rows += conflict(600 * turn, name, (None, low, high)) + conflict(600 * turn + 300, name, (None, low))
    write(tmp_path, rows)
    run(tmp_path, "telemetry-rollup")
    gold = computed(tmp_path, engine)
    check_identical(gold, built(tmp_path))
    assert gold["duplicate_count"].to_pylist() == [2, 1] * len(ORDER)
    assert gold["clock_unsynced_samples"].to_pylist() == [1, 1] * (len(ORDER) - 1) + [0, 1]
