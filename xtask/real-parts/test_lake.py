"""DuckDB, Polars and pandas read the lake as docs/datasets.md says."""

import datetime
import json
import shutil
import subprocess

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest
from conftest import CONTRACT, GOLD, PROGRAMS, ROOT, SILVER, clock, environment, files, run, snippet

ADDED = "added_by_a_newer_version"


def columns(dataset: str) -> list[dict]:
    return CONTRACT[dataset]["columns"]


def names(dataset: str) -> list[str]:
    return [column["name"] for column in columns(dataset)]


@pytest.fixture(scope="module")
def views(collected):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(run(collected.lake, "telemetry-rollup", "sql"))
    return connection


@pytest.mark.parametrize("dataset", [SILVER, GOLD])
def test_views_have_the_columns_and_types_of_the_contract(views, dataset):
    described = views.execute(f"DESCRIBE {dataset}").fetchall()
    expected = [(column["name"], column["sql"]) for column in columns(dataset)]
    assert [(name, kind) for name, kind, *_ in described] == expected


@pytest.mark.parametrize("dataset", [SILVER, GOLD])
def test_files_have_the_types_of_the_contract(collected, dataset):
    physical = {
        "timestamp µs UTC": pyarrow.timestamp("us", "UTC"),
        "string": (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()),
        "double": pyarrow.float64(),
        "int32": pyarrow.int32(),
        "int64": pyarrow.int64(),
        "boolean": pyarrow.bool_(),
    }
    for file in files(collected.lake, dataset):
        schema = pyarrow.parquet.read_schema(file)
        assert schema.names == names(dataset)
        for field, column in zip(schema, columns(dataset), strict=True):
            allowed = physical[column["type"]]
            assert field.type in (allowed if isinstance(allowed, tuple) else (allowed,)), field


def comparable(value):
    """Instants as text of one form, whatever the reader made of them."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
    return value


def as_instant(value):
    return comparable(datetime.datetime.fromisoformat(value))


def test_silver_holds_what_the_collector_printed(collected, views):
    stored = views.execute(f"FROM {SILVER} ORDER BY ALL").fetchall()
    stored = [dict(zip(names(SILVER), map(comparable, row), strict=True)) for row in stored]
    instants = [column["name"] for column in columns(SILVER) if column["type"].startswith("timestamp")]
    printed = [
        {name: as_instant(row[name]) if name in instants else row.get(name) for name in names(SILVER)}
        for row in collected.samples
    ]
    assert len(stored) == 3
    assert stored == printed


def test_required_columns_are_measured_here(views):
    for column in columns(SILVER):
        if column["presence"] != "optional":
            (nulls,) = views.execute(f"SELECT count(*) FROM {SILVER} WHERE {column['name']} IS NULL").fetchone()
            assert nulls == 0, f"{column['name']} was not measured on this machine"


def test_gold_counts_the_samples_of_silver(views):
    silver = views.execute(f"SELECT count(*), max(cpu_pct), min(disk_root_free_gb) FROM {SILVER}").fetchone()
    gold = f"SELECT sum(sample_count), max(cpu_pct_max), min(disk_root_free_gb_min) FROM {GOLD}"
    assert views.execute(gold).fetchone() == silver


def test_gold_files_carry_units_and_meanings(collected, views):
    expected = [{key: column[key] for key in ("name", "unit", "kind", "meaning")} for column in columns(GOLD)]
    for file in files(collected.lake, GOLD):
        query = "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = 'telemetry.columns'"
        ((text,),) = views.execute(query, [str(file)]).fetchall()
        assert json.loads(text) == expected


@pytest.mark.parametrize("dataset", [SILVER, GOLD])
def test_footers_say_what_the_file_is(collected, views, dataset):
    for file in files(collected.lake, dataset):
        pairs = views.execute("SELECT decode(key), decode(value) FROM parquet_kv_metadata(?)", [str(file)])
        footer = dict(pairs.fetchall())
        assert footer["telemetry.dataset"] == dataset
        assert footer["telemetry.schema_version"] == str(CONTRACT[dataset]["schema_version"])
        assert footer["telemetry.writer"]
        time = CONTRACT[dataset]["time_column"]
        range_query = f"SELECT count(*), epoch_us(min({time})), epoch_us(max({time})) FROM read_parquet(?)"
        found = views.execute(range_query, [str(file)]).fetchone()
        keys = ("telemetry.rows", "telemetry.time_min_us", "telemetry.time_max_us")
        assert found == tuple(int(footer[key]) for key in keys)


def test_a_clock_that_is_not_set_makes_no_date(tmp_path):
    lake = tmp_path / "lake"
    done = subprocess.run(
        [PROGRAMS / "telemetry-collect"],
        env={**environment(lake), **clock("@1970-01-01 00:10:00")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and "clock is not set" in done.stderr, done.stderr
    assert not list(lake.rglob("date=*"))


def test_an_empty_lake_has_empty_views(tmp_path):
    connection = duckdb.connect()
    connection.execute(run(tmp_path / "lake", "telemetry-rollup", "sql"))
    for dataset in (SILVER, GOLD):
        assert connection.execute(f"SELECT count(*) FROM {dataset}").fetchone() == (0,)
        described = connection.execute(f"DESCRIBE {dataset}").fetchall()
        assert [row[0] for row in described] == names(dataset)


@pytest.fixture(scope="module")
def mixed(collected, tmp_path_factory):
    """A lake with a file of an older schema (one column fewer), ours, and of a newer one (one more)."""
    lake = tmp_path_factory.mktemp("mixed")
    (source, *_) = files(collected.lake, SILVER)
    table = pyarrow.parquet.read_table(source, partitioning=None)
    version = CONTRACT[SILVER]["schema_version"]
    older = table.drop_columns([table.column_names[-1]])
    newer = table.append_column(ADDED, pyarrow.array([1.5] * table.num_rows, pyarrow.float64()))
    directory = lake / "silver" / SILVER / source.parent.name
    directory.mkdir(parents=True)
    for day, (rows, age) in enumerate([(older, version - 1), (table, version), (newer, version + 1)]):
        # A day apart, so that no two rows have the same key.
        shifted = pyarrow.compute.add(rows.column(0), pyarrow.scalar(day * 86_400_000_000, pyarrow.duration("us")))
        rows = rows.set_column(0, rows.schema.field(0), shifted.cast(rows.schema.field(0).type))
        footer = {**(rows.schema.metadata or {}), b"telemetry.schema_version": str(age).encode()}
        pyarrow.parquet.write_table(rows.replace_schema_metadata(footer), directory / f"{day}.parquet")
    return lake


def check_mixed(found: list[str], rows: int, added: list):
    assert set(found) == {*names(SILVER), ADDED}
    assert rows == 9
    assert sorted(value for value in added if value is not None) == [1.5] * 3


def test_duckdb_reads_files_of_all_schema_versions(mixed):
    (query,) = [s for s in snippet("sql", "union_by_name").split(";") if "read_parquet" in s]
    result = duckdb.connect().execute(query.replace("LAKE", str(mixed)))
    found = [column[0] for column in result.description]
    rows = result.fetchall()
    check_mixed([name for name in found if name != "date"], len(rows), [r[found.index(ADDED)] for r in rows])


def test_polars_reads_files_of_all_schema_versions(mixed):
    scope = {"lake": mixed}
    exec(snippet("python", "scan_parquet"), scope)
    frame = scope["frame"]
    check_mixed(frame.columns, frame.height, frame[ADDED].to_list())
    (last,) = names(SILVER)[-1:]
    assert frame[last].null_count() >= 3


def test_polars_with_the_schema_of_today_ignores_what_it_does_not_know(mixed, collected):
    (today, *_) = files(collected.lake, SILVER)
    scope = {"lake": mixed, "today": today}
    exec(snippet("python", "scan_parquet").replace("schema(newest)", "schema(today)"), scope)
    assert scope["frame"].columns == names(SILVER)
    assert scope["frame"].height == 9


def test_pandas_reads_files_of_all_schema_versions(mixed):
    scope = {"lake": mixed}
    exec(snippet("python", "to_pandas"), scope)
    frame = scope["frame"]
    check_mixed(list(frame.columns), len(frame), frame[ADDED].dropna().tolist())


@pytest.fixture(scope="module")
def golden(collected, tmp_path_factory):
    """The committed files of other schema versions, with a file of today."""
    lake = tmp_path_factory.mktemp("golden")
    lakes = sorted(path.parent for path in (ROOT / "fixtures/lake").glob("*/silver"))
    assert len(lakes) >= 2, "fixtures/lake has files of an older and of a newer schema"
    for source in [*lakes, collected.lake]:
        shutil.copytree(source / "silver", lake / "silver", dirs_exist_ok=True)
    return lake


def rows_in(files: list) -> int:
    return sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)


def test_duckdb_reads_the_golden_files(golden):
    (query,) = [s for s in snippet("sql", "union_by_name").split(";") if "read_parquet" in s]
    result = duckdb.connect().execute(query.replace("LAKE", str(golden)))
    assert set(names(SILVER)) <= {column[0] for column in result.description}
    assert len(result.fetchall()) == rows_in(files(golden, SILVER))


def test_polars_reads_the_golden_files(golden):
    scope = {"lake": golden}
    exec(snippet("python", "scan_parquet"), scope)
    assert set(names(SILVER)) <= set(scope["frame"].columns)
    assert scope["frame"].height == rows_in(files(golden, SILVER))


def test_our_own_views_and_rollups_read_the_golden_files(golden):
    connection = duckdb.connect()
    run(golden, "telemetry-rollup")
    connection.execute(run(golden, "telemetry-rollup", "sql"))
    described = connection.execute(f"DESCRIBE {SILVER}").fetchall()
    assert [row[0] for row in described] == names(SILVER)
    expected = rows_in(files(golden, SILVER))
    assert connection.execute(f"SELECT count(*) FROM {SILVER}").fetchone() == (expected,)
    assert connection.execute(f"SELECT sum(sample_count) FROM {GOLD}").fetchone() == (expected,)


def test_our_own_views_read_files_of_all_schema_versions(mixed):
    connection = duckdb.connect()
    connection.execute(run(mixed, "telemetry-rollup", "sql"))
    described = connection.execute(f"DESCRIBE {SILVER}").fetchall()
    assert [row[0] for row in described] == names(SILVER)
    assert connection.execute(f"SELECT count(*) FROM {SILVER}").fetchone() == (9,)


def test_polars_reads_gold(collected, views):
    frame = polars.read_parquet(files(collected.lake, GOLD))
    assert frame.columns == names(GOLD)
    assert frame.height == views.execute(f"SELECT count(*) FROM {GOLD}").fetchone()[0]
