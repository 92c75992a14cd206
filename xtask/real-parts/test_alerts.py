"""Alerts end to end, through the real programs: real samples of real trouble, taken at instants that
`faketime` makes up, since a bucket lasts five minutes. And the programs that alerts are handed on to."""

import datetime
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import duckdb
import pytest
from conftest import CONTRACT, HOST, PROGRAMS, ROOT, clock, environment, run

BUCKET = datetime.timedelta(minutes=5)
GRACE = datetime.timedelta(minutes=10)
START = datetime.datetime(2026, 11, 10, 10, tzinfo=datetime.UTC)
# One sample a bucket is all that this schedule promises.
SCHEDULE = ("--sample-interval-seconds", "300")
ALERTS = "ops_host_alerts"


def required(program: str) -> str:
    return shutil.which(program) or pytest.fail(f"{program} is missing: apt-get install {program}")


def program(lake: Path, moment: datetime.datetime, name: str, *arguments: str) -> str:
    return run(lake, name, *arguments, **clock(f"@{moment.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}"))


def collect(lake: Path, first: datetime.datetime, buckets: int) -> None:
    """A sample in the middle of each of these buckets."""
    for number in range(buckets):
        program(lake, first + number * BUCKET + BUCKET / 2, "telemetry-collect", *SCHEDULE)


def events(lake: Path) -> list[tuple[str, str, datetime.datetime]]:
    """Rule, state and instant of each event, in time order."""
    printed = subprocess.run(
        [PROGRAMS / "telemetry-rollup", "alerts", "--since", "none", "--format", "json"],
        env=environment(lake),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = sorted(map(json.loads, printed.splitlines()), key=lambda row: row["as_of"])
    return [(row["alert_type"], row["state"], datetime.datetime.fromisoformat(row["as_of"])) for row in rows]


def of_rule(lake: Path, rule: str) -> list[tuple[str, datetime.datetime]]:
    return [(state, instant) for name, state, instant in events(lake) if name == rule]


def test_a_collector_that_stops_is_told_and_resolved(tmp_path):
    lake = tmp_path / "lake"
    collect(lake, START, 3)
    silent = START + 3 * BUCKET + datetime.timedelta(minutes=30)
    program(lake, silent, "telemetry-rollup", *SCHEDULE)
    # The last sample is of 10:12:30, 15 minutes and three intervals are over at the bucket's end of 10:30.
    assert of_rule(lake, "host-silent") == [("firing", START + 6 * BUCKET)]
    table = program(lake, silent, "telemetry-rollup", "alerts")
    assert f"no samples from {HOST} for 17 min" in table, table

    back = START + 12 * BUCKET
    collect(lake, back, 2)
    program(lake, back + 2 * BUCKET + GRACE, "telemetry-rollup", *SCHEDULE)
    assert of_rule(lake, "host-silent") == [("firing", START + 6 * BUCKET), ("resolved", back + BUCKET)]


def test_a_cpu_under_load_is_told(tmp_path):
    """It is not waited for its end, since other work may keep the machine busy: tests of the program do."""
    lake = tmp_path / "lake"
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    try:
        collect(lake, START, 8)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    program(lake, START + 8 * BUCKET + GRACE, "telemetry-rollup", *SCHEDULE)
    # Busy from 10:05, the end of the first bucket; for 30 minutes.
    assert of_rule(lake, "cpu-saturated") == [("firing", START + 7 * BUCKET)]


def test_a_disk_that_fills_is_told_before_and_resolved(tmp_path):
    lake, mount = tmp_path / "lake", tmp_path / "disk"
    mount.mkdir()
    # 6 MiB each bucket of 256: full after 42; then full for 5 buckets, then empty for 15.
    steps = [6 * step for step in range(43)] + [252] * 5 + [0] * 15
    # The number of the step is what the script appends; it becomes the minutes of the instant.
    moment = f'$(date --utc --date="{START:%Y-%m-%d %H:%M:00} UTC + $((5 * $0 + 2)) minutes" "+@%Y-%m-%d %H:%M:%S")'
    sample = f'"{PROGRAMS}/telemetry-collect" --disk-mount "{mount}" {" ".join(SCHEDULE)}'
    set_clock = " ".join(f'{name}="{value}"' for name, value in clock(moment).items())
    script = f"{set_clock} {sample}"
    isolated = ["unshare", "--user", "--map-root-user", "--mount", sys.executable]
    disk = [ROOT / "xtask/real-parts/filling_disk.py", mount, ",".join(map(str, steps))]
    subprocess.run([*isolated, *disk, "sh", "-c", script], env=environment(lake), check=True, timeout=300)

    program(lake, START + 48 * BUCKET + GRACE, "telemetry-rollup", *SCHEDULE)
    forecast, nearly_full = (of_rule(lake, rule) for rule in ("disk-full-24h", "disk-nearly-full"))
    # The window of 6 hours needs half of its buckets, and 30 minutes more: the 36th is at step 35.
    assert forecast == [("firing", START + 42 * BUCKET)]
    # 5 % are 12.8 MiB: less is free from step 41 on, for 10 minutes.
    assert nearly_full == [("firing", START + 44 * BUCKET)]
    shown = program(lake, START + 48 * BUCKET + GRACE, "telemetry-rollup", "alerts", "--format", "json")
    rows = {row["alert_type"]: row for row in map(json.loads, shown.splitlines())}
    assert rows["disk-nearly-full"]["severity"] == "critical"
    assert "% of the disk of real-parts free, below 5 %" in rows["disk-nearly-full"]["message"]

    program(lake, START + 63 * BUCKET + GRACE, "telemetry-rollup", *SCHEDULE)
    # Empty in the bucket of step 48; the forecast keeps firing for an hour.
    assert of_rule(lake, "disk-nearly-full")[1:] == [("resolved", START + 49 * BUCKET)]
    assert of_rule(lake, "disk-full-24h")[1:] == [("resolved", START + 61 * BUCKET)]


def snippets(language: str) -> list[str]:
    page = (ROOT / "docs/alerts.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def views(lake: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    printed = subprocess.run(
        [PROGRAMS / "telemetry-rollup", "sql"], env=environment(lake), capture_output=True, text=True, check=True
    ).stdout
    connection.execute(printed)
    return connection


def test_duckdb_answers_the_questions_of_the_page(tmp_path):
    lake, configuration = tmp_path / "lake", tmp_path / "telemetry.toml"
    firing_now, hot_last_month = snippets("sql")
    for query in (firing_now, hot_last_month):
        assert views(lake).execute(query).fetchall() == []

    # This machine may have no thermometer, so the rule looks at another column, and fires at once.
    configuration.write_text(
        '[[alert]]\nid = "cpu-hot"\ncolumn = "cpu_pct_max"\nop = ">="\nfire = 0\nclear = 0\n'
        'for = "0s"\nexpire_after = "1h"\n[[alert]]\nid = "host-silent"\nknown_for = "1h"\n'
    )
    this_month = datetime.datetime.now(datetime.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last_month = (this_month - datetime.timedelta(days=10)).replace(hour=10)
    collect(lake, last_month, 2)
    rules = ("--config", str(configuration), *SCHEDULE)
    program(lake, last_month + datetime.timedelta(minutes=20), "telemetry-rollup", *rules)
    rows = views(lake).execute(firing_now).fetchall()
    assert [row[:3] for row in rows] == [("warning", HOST, "cpu-hot")]
    program(lake, last_month + datetime.timedelta(hours=3), "telemetry-rollup", *rules)
    connection = views(lake)
    assert connection.execute(firing_now).fetchall() == []
    # Known from 10:05 to 10:10, and taken for as it was for an hour.
    assert connection.execute(hot_last_month).fetchall() == [(HOST, 1.08)]
    described = connection.execute(f"DESCRIBE {ALERTS}").fetchall()
    contract = [(column["name"], column["sql"]) for column in CONTRACT[ALERTS]["columns"]]
    assert [(name, kind) for name, kind, *_ in described] == contract
    everything = connection.execute(f"SELECT count(*), count(DISTINCT event_id) FROM {ALERTS}").fetchone()
    current = connection.execute(f"SELECT count(*), count(DISTINCT alert_id) FROM {ALERTS}_current").fetchone()
    assert everything == (4, 4) and current == (2, 2)


@pytest.fixture
def silent_host(tmp_path) -> Path:
    """A lake whose host has been silent for half an hour, by the real clock."""
    lake = tmp_path / "lake"
    now = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    collect(lake, now - datetime.timedelta(hours=1), 2)
    program(lake, datetime.datetime.now(datetime.UTC), "telemetry-rollup", *SCHEDULE)
    return lake


def test_alertmanager_takes_the_body_and_lists_the_alert(silent_host, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text("route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n")
    server = subprocess.Popen(
        [
            required("prometheus-alertmanager"),
            f"--config.file={configuration}",
            f"--storage.path={tmp_path / 'alertmanager'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://{address}/-/ready")
        required("curl")
        (command,) = [text for text in snippets("sh") if "curl" in text]
        posted = command.replace("localhost:9093", address)
        subprocess.run(["sh", "-ec", posted], env=environment(silent_host), check=True, timeout=60)
        (alert,) = [
            alert
            for alert in json.load(urllib.request.urlopen(f"http://{address}/api/v2/alerts"))
            if alert["labels"]["alertname"] == "host-silent"
        ]
    finally:
        server.terminate()
        server.wait()
    assert alert["labels"] == {"alertname": "host-silent", "host": HOST, "severity": "critical"}
    assert alert["status"]["state"] == "active"
    assert f"no samples from {HOST}" in alert["annotations"]["summary"]
    assert datetime.datetime.fromisoformat(alert["endsAt"]) > datetime.datetime.now(datetime.UTC)


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return urllib.request.urlopen(address).close()
        except OSError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.1)


def test_the_script_of_the_page_prints_what_is_new_once(silent_host, tmp_path):
    script = [ROOT / "docs/examples/alerts/what-is-new", tmp_path / "seen"]

    def printed() -> str:
        done = subprocess.run(script, env=environment(silent_host), capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout

    assert "host-silent" in printed()
    assert printed() == ""
