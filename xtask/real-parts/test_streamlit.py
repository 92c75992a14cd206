"""The Streamlit page of docs/examples, run headless by Streamlit's own AppTest on lakes of the generator."""

import datetime
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import duckdb
import pyarrow
import pytest
import streamlit
from conftest import GOLD, HOST, PROGRAMS, ROOT, SILVER, clock, files, run
from streamlit.testing.v1 import AppTest

PAGE = ROOT / "docs/examples/streamlit"
# As `streamlit run` does.
sys.path.insert(0, str(PAGE))
import charts  # noqa: E402
import lake as reader  # noqa: E402
import words  # noqa: E402

PI, WINDOWS, SERVER = "host-00000", "host-00001", "host-00002"
HOUR = datetime.timedelta(hours=1)
TITLES = [metric.title for metric in charts.METRICS]


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def generate(lake: Path, *, hosts: int = 1, until: datetime.datetime, days: int = 2, **flags: str) -> None:
    first = until.date() - datetime.timedelta(days=days - 1)
    span = ["--from", f"{first}", "--days", f"{days}", "--until", f"{until:%Y-%m-%dT%H:%M:%SZ}"]
    more = [text for name, value in flags.items() for text in (f"--{name}", value)]
    place = ["--lake", str(lake), "--layout", "host-day", "--hosts", f"{hosts}"]
    run(lake, "telemetry-bench", "generate", *place, *span, *more)


@pytest.fixture(scope="module")
def steady(tmp_path_factory) -> Path:
    """One healthy host that was sampled every ten seconds until now, and one that went silent."""
    lake = tmp_path_factory.mktemp("steady") / "lake"
    other = lake.with_name("other")
    generate(lake, until=now() - 3 * HOUR)
    generate(other, until=now(), hosts=2)
    for file in files(other, SILVER):
        if file.name.startswith(WINDOWS):
            shutil.move(file, lake / file.relative_to(other))
    run(lake, "telemetry-rollup", "build")
    return lake


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> Path:
    """A Raspberry Pi, a Windows host and a server to whom everything happens."""
    lake = tmp_path_factory.mktemp("faulty") / "lake"
    generate(lake, until=now(), hosts=3, profile="faulty", interval="30")
    run(lake, "telemetry-rollup", "build")
    return lake


@pytest.fixture
def open_page(monkeypatch):
    """Runs the page on a lake, with what the address says of host and range."""

    def run_page(lake: Path | None, **choices: str) -> AppTest:
        if lake is None:
            monkeypatch.delenv("TELEMETRY_LAKE", raising=False)
        else:
            monkeypatch.setenv("TELEMETRY_LAKE", str(lake))
        page = AppTest.from_file(str(PAGE / "app.py"), default_timeout=60)
        for name, value in choices.items():
            page.query_params[name] = value
        page.run()
        assert not page.exception, page.exception
        return page

    return run_page


def shown(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def text(page: AppTest) -> str:
    return "\n".join(element.value for kind in ("markdown", "caption", "info", "error") for element in page.get(kind))


def drawn(page: AppTest) -> dict[str, tuple[dict, list[dict]]]:
    """Specification and points of each chart, by its title."""
    found = {}
    for element in page.get("vega_lite_chart"):
        table = pyarrow.ipc.open_stream(io.BytesIO(element.proto.data.data)).read_all()
        title, _, _ = element.proto.alt.partition(":")
        found[title] = (json.loads(element.proto.spec), table.to_pylist())
    return found


def with_unit(value: float, unit: str) -> str:
    """Samples depend on the time of day: some have two digits before the point, some three."""
    return f"{value:.0f} {unit}" if value == 0 or value >= 99.95 else f"{value:.1f} {unit}"


def test_the_status_is_the_newest_sample(steady, open_page):
    page = open_page(steady, host=WINDOWS)
    columns = "as_of::VARCHAR, cpu_pct, ram_used_mb / 1024, disk_root_free_gb, cpu_temp_c"
    newest = f"SELECT {columns} FROM read_parquet(?) WHERE host_id = ? ORDER BY as_of DESC LIMIT 1"
    parquet = [str(file) for file in files(steady, SILVER)]
    _, cpu, ram, disk, temperature = duckdb.connect().execute(newest, [parquet, WINDOWS]).fetchone()
    status = shown(page)
    assert status["CPU"] == with_unit(cpu, "%")
    assert status["Memory used"] == (with_unit(ram, "GiB") if ram >= 1 else with_unit(ram * 1024, "MiB"))
    assert status["Disk free"] == with_unit(disk, "GiB")
    assert status["Temperature"] == with_unit(temperature, "°C")
    assert "Sampling" in text(page)


def test_a_silent_host_is_called_so(steady, open_page):
    page = open_page(steady, host=PI)
    assert "Silent" in text(page) and "Sampling" not in text(page)
    assert shown(page)["Last sample"] == "3 h ago"
    # Its last hours are an empty part of the chart, not a shorter chart.
    specification, points = drawn(page)["CPU"]
    first, last = map(datetime.datetime.fromisoformat, specification["encoding"]["x"]["scale"]["domain"])
    assert abs(last - now()) < datetime.timedelta(minutes=2)
    assert last - first >= 24 * HOUR
    known = [point["t"] / 1000 for point in points if point["value"] is not None]
    assert last.timestamp() - max(known) > 2.9 * 3600


def test_a_host_that_was_silent_for_the_whole_range_says_so(steady, open_page):
    page = open_page(steady, host=PI, range="1 h")
    assert "Nothing is known of the last 1 h." in text(page)
    assert shown(page)["Last sample"] == "3 h ago"


def test_a_host_whose_samples_wait_is_not_silent(tmp_path, open_page):
    lake, configuration = tmp_path / "lake", tmp_path / "telemetry.toml"
    run(lake, "telemetry-collect", **clock("-40m"))
    assert "Silent" in text(open_page(lake, host=HOST))
    configuration.write_text("[collect]\npublish_interval_minutes = 60\n")
    run(lake, "telemetry-collect", "--config", str(configuration))
    assert len(files(lake, SILVER)) == 1, "the second sample waits"
    page = open_page(lake, host=HOST)
    assert "Sampling" in text(page) and "Silent" not in text(page)
    assert shown(page)["Last sample"] == "40 min ago"


@pytest.mark.parametrize("range", reader.RANGES)
@pytest.mark.parametrize("host", [PI, WINDOWS, SERVER])
def test_every_range_of_every_kind_of_host_is_drawn(faulty, open_page, host, range):
    page = open_page(faulty, host=host, range=range)
    assert page.selectbox(key="host").options == [PI, WINDOWS, SERVER]
    assert page.selectbox(key="host").value == host
    has_no_sensor = host == WINDOWS
    assert set(drawn(page)) == {title for title in TITLES if not (has_no_sensor and title == "Temperature")}
    assert ("Temp not available on this host" in text(page)) == has_no_sensor
    assert (shown(page)["Temperature"] == "–") == has_no_sensor
    for title, (_, points) in drawn(page).items():
        assert any(point["value"] is not None for point in points), title


def test_alerts_that_fire_are_in_words(steady, tmp_path, open_page):
    printed = run(steady, "telemetry-rollup", "alerts", "--format", "json").splitlines()
    messages = {alert["host_id"]: alert["message"] for alert in map(json.loads, printed)}
    page = open_page(steady, host=PI)
    assert "Critical" in text(page) and words.plain(messages[PI]) in text(page)
    assert "No alert fires" not in text(page)
    shutil.copytree(steady, tmp_path / "lake")
    shutil.rmtree(tmp_path / "lake/gold/ops_host_alerts")
    assert "No alert fires" in text(open_page(tmp_path / "lake", host=PI))


def test_rollups_and_samples_draw_the_same(steady):
    lake, host, at = steady, WINDOWS, now()
    hours = reader.Range("", 12 * HOUR, datetime.timedelta(minutes=30), is_gold=True)
    from_gold = reader.series(lake, host, hours, at)
    samples = reader.Range("", hours.length, hours.step, is_gold=False)
    from_silver = reader.series(lake, host, samples, at)
    assert len(from_gold) >= 24
    # The last bucket was still open when Gold was built; rates are credited across its edges.
    for column in reader.COLUMNS:
        for gold, silver in zip(from_gold[column][:-1], from_silver[column][:-1], strict=True):
            assert gold == pytest.approx(silver, rel=0.02 if column in ("rx", "tx") else 1e-9), column


def test_a_gap_is_a_gap(tmp_path):
    since, until = now() - datetime.timedelta(minutes=40), now() - datetime.timedelta(minutes=20)
    generate(tmp_path, until=since)
    generate(tmp_path, until=now(), after=f"{until:%Y-%m-%dT%H:%M:%SZ}")
    rows = reader.series(tmp_path, PI, reader.RANGES["1 h"], now())
    (gap,) = rows.index[rows["cpu"].isna()]
    before, after = (datetime.datetime.fromtimestamp(rows["t"][gap + step] / 1e6, datetime.UTC) for step in (-1, 1))
    assert abs(before - since) < datetime.timedelta(seconds=30) > abs(after - until)
    points = charts.points(charts.METRICS[0], rows)
    assert points["value"].isna().sum() == 1 and not points["is_alone"].any()


def test_a_sample_between_gaps_is_a_dot():
    rows = reader.with_gaps(
        reader.pandas.DataFrame({"t": [0, 10, 20, 90, 200, 210], "cpu": 1.0}), step_us=10, is_regular=False
    )
    rows = rows.assign(cpu_max=rows["cpu"])
    points = charts.points(charts.METRICS[0], rows)
    assert points.loc[points["is_alone"], "t"].tolist() == [90 / 1e3]


def test_no_lake_and_an_empty_one_say_what_to_do(tmp_path, open_page, monkeypatch):
    assert "There is no lake at" in text(open_page(tmp_path / "nowhere"))
    assert "has no samples yet" in text(open_page(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "TELEMETRY_LAKE" in text(open_page(None))


def test_the_lake_is_that_of_the_collector(tmp_path, open_page, monkeypatch):
    (tmp_path / "telemetry.toml").write_text(f'lake = "{tmp_path / "its-lake"}"')
    (tmp_path / "telemetry-collect").write_text(
        f'#!/bin/sh\nexec {PROGRAMS / "telemetry-collect"} --config {tmp_path}/telemetry.toml "$@"\n'
    )
    (tmp_path / "telemetry-collect").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    reader.configured.cache_clear()
    assert str(tmp_path / "its-lake") in text(open_page(None))
    reader.configured.cache_clear()


def test_samples_without_rollups_are_shown(steady, tmp_path, open_page):
    shutil.copytree(steady / "silver", tmp_path / "silver")
    page = open_page(tmp_path, host=WINDOWS)
    assert "does `telemetry-rollup` run?" in text(page)
    assert "No alert fires" not in text(page), "nobody has looked"
    assert "Sampling" in text(page)
    assert set(drawn(open_page(tmp_path, host=WINDOWS, range="1 h"))) == set(TITLES)


def test_a_damaged_file_is_named(steady, tmp_path, open_page):
    shutil.copytree(steady, tmp_path / "lake")
    damaged = files(tmp_path / "lake", GOLD)[-1]
    damaged.write_bytes(b"PAR1, not")
    page = open_page(tmp_path / "lake", host=WINDOWS)
    (error,) = page.error
    assert "telemetry doctor" in error.value and words.plain(damaged.name) in error.value


def test_the_page_writes_nothing(steady, open_page):
    def tree() -> list:
        return [(path, path.stat().st_mtime_ns) for path in sorted(steady.rglob("*"))]

    before = tree()
    for range in ("1 h", "1 y"):
        open_page(steady, host=WINDOWS, range=range)
    assert tree() == before


def test_files_that_go_while_they_are_read_are_listed_again(steady, monkeypatch):
    monkeypatch.setattr(reader, "TRIES", 3)
    there, gone = files(steady, GOLD), steady / "gold" / GOLD / "date=2026-01-01/gone.parquet"
    lists = []

    def list_files(until_then: int) -> list[Path]:
        lists.append(until_then)
        return [gone] if len(lists) <= until_then else there

    count = "SELECT count(*) AS number FROM {files}"
    assert reader.query(count, lambda: list_files(2))["number"][0] > 0
    assert len(lists) == 3
    lists.clear()
    with pytest.raises(duckdb.IOException):
        reader.query(count, lambda: list_files(9))
    assert len(lists) == 3


def test_a_lake_with_the_characters_of_patterns(steady, tmp_path, open_page):
    lake = tmp_path / "a [1]*?'s lake"
    shutil.copytree(steady, lake)
    assert set(drawn(open_page(lake, host=WINDOWS))) == set(TITLES)


@pytest.fixture(scope="module")
def year(tmp_path_factory) -> Path:
    """A year of one host with a bucket every five minutes."""
    lake = tmp_path_factory.mktemp("year") / "lake"
    place = ["--lake", str(lake), "--layout", "host-day"]
    run(lake, "telemetry-bench", "generate", *place, "--from", "2026-01-01", "--days", "365", "--interval", "300")
    run(lake, "telemetry-rollup", "build")
    return lake


def test_a_year_is_painted_in_less_than_two_seconds(year, open_page, monkeypatch):
    end = datetime.datetime(2026, 12, 31, 23, 59, 30, tzinfo=datetime.UTC)

    class AtTheEnd(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return end

    assert len(files(year, GOLD)) == 365
    monkeypatch.setattr(datetime, "datetime", AtTheEnd)
    # The best of three, since other programs may run too; nothing is cached.
    seconds = []
    for _ in range(3):
        streamlit.cache_data.clear()
        began = time.monotonic()
        page = open_page(year, range="1 y")
        seconds.append(time.monotonic() - began)
    assert "Sampling" in text(page)
    assert set(drawn(page)) == set(TITLES)
    _, points = drawn(page)["CPU"]
    assert len(points) == 365
    assert min(seconds) < 2, f"the first paint took {seconds} s"


def test_it_runs_as_its_first_lines_say(steady):
    """`streamlit run app.py`, with the settings beside it: on this machine only, and reporting nothing."""
    settings = tomllib.loads((PAGE / ".streamlit/config.toml").read_text())
    assert settings["browser"]["gatherUsageStats"] is False
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(PAGE / "app.py"), "--server.port", str(port)]
    server = subprocess.Popen(
        command, env={**os.environ, "TELEMETRY_LAKE": str(steady)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None and time.monotonic() < deadline, server.stdout.read()
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=5) as answer:
                    assert answer.read() == b"ok"
                break
            except OSError:
                time.sleep(0.1)
    finally:
        server.terminate()
        printed = server.communicate(timeout=30)[0].decode()
    assert f"URL: http://localhost:{port}" in printed, printed
    assert "statistics" not in printed
