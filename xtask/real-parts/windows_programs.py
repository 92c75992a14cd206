"""The programs for Windows, run by Wine, beside those of this machine: the same work on the same lake.

`cargo xtask cross --target windows --test` starts it; the name keeps it out of the other suites."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest
from conftest import CONTRACT, GOLD, PROGRAMS, SILVER, environment, required

NATIVE = Path(required("XTASK_TEST_NATIVE_BIN_DIR"))
WINE = required("XTASK_TEST_WINE").split()
ALERTS = "ops_host_alerts"
FROM = "2026-01-01"


def on_drive(path: Path) -> str:
    """As programs for Windows see it: Wine has the root of this machine as drive Z."""
    return "Z:" + str(path).replace("/", "\\")


class Lake:
    """A lake of its own, and the programs on it."""

    def __init__(self, path: Path, is_windows: bool):
        self.path = path
        self.is_windows = is_windows

    def run(self, *arguments: str, expected: int = 0) -> str:
        """Standard output of telemetry-rollup, with paths as this machine spells them."""
        command = [NATIVE / "telemetry-rollup", "--lake", self.path]
        if self.is_windows:
            command = [*WINE, PROGRAMS / "telemetry-rollup.exe", "--lake", on_drive(self.path)]
        done = subprocess.run(
            [*command, *arguments],
            env={name: value for name, value in environment(self.path).items() if name != "TELEMETRY_LAKE"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == expected, f"{arguments} on {self.path}: {done.stderr}"
        return done.stdout.replace("\r\n", "\n").replace("Z:/", "/")

    def files(self, dataset: str) -> dict[str, bytes]:
        directory = self.path / CONTRACT[dataset]["layer"] / dataset
        return {str(file.relative_to(directory)): file.read_bytes() for file in directory.glob("*/*.parquet")}

    def rows(self, dataset: str) -> list[tuple]:
        files = str(self.path / CONTRACT[dataset]["layer"] / dataset / "*/*.parquet")
        return duckdb.sql(f"SELECT * FROM read_parquet('{files}') ORDER BY ALL").fetchall()


def copies(made: Path, directory: Path) -> tuple[Lake, Lake]:
    for name in ("native", "windows"):
        shutil.copytree(made, directory / name)
    return Lake(directory / "native", False), Lake(directory / "windows", True)


def generate(lake: Path, flags: str) -> Path:
    command = [NATIVE / "telemetry-bench", "generate", "--lake", lake, "--from", FROM, *flags.split()]
    subprocess.run(command, check=True)
    return lake


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Hosts that restart, whose samples are late or missing, and that run Windows."""
    lake = tmp_path_factory.mktemp("made") / "lake"
    return generate(lake, "--hosts 4 --days 3 --interval 30 --profile faulty --layout host-day")


@pytest.fixture(scope="module")
def minutes(tmp_path_factory) -> Path:
    """One host's files of a minute, of two hours."""
    lake = tmp_path_factory.mktemp("minutes") / "lake"
    return generate(lake, f"--hosts 1 --days 1 --until {FROM}T02:00:00Z --layout minute")


@pytest.fixture(scope="module")
def rolled_up(made, tmp_path_factory) -> tuple[Lake, Lake]:
    lakes = copies(made, tmp_path_factory.mktemp("rolled_up"))
    for lake in lakes:
        assert "build: not in Gold yet" in lake.run("plan")
        lake.run()
    return lakes


def test_gold_is_the_same_byte_for_byte(rolled_up):
    native, windows = rolled_up
    assert len(native.rows(GOLD)) > 1_000
    assert windows.rows(GOLD) == native.rows(GOLD)
    assert windows.files(GOLD) == native.files(GOLD)


def test_alerts_are_the_same(rolled_up):
    history = ("alerts", "--history", "--from", FROM, "--to", "2026-01-03", "--print", "json")
    native, windows = (lake.run(*history) for lake in rolled_up)
    assert native and windows == native


def test_a_second_run_finds_nothing_to_do(rolled_up):
    for lake in rolled_up:
        before = lake.files(GOLD)
        plan = lake.run("plan")
        assert "up to date" in plan and "build:" not in plan, plan
        lake.run()
        assert lake.files(GOLD) == before


def test_duckdb_reads_what_windows_wrote_through_the_views_of_windows(rolled_up):
    native, windows = rolled_up
    counts = []
    for lake in (native, windows):
        connection = duckdb.connect()
        connection.execute(lake.run("sql"))
        counts.append([connection.execute(f"SELECT count(*) FROM {name}").fetchone() for name in (SILVER, GOLD)])
    assert counts[1] == counts[0] and counts[0][1][0] > 1_000


def test_compaction_keeps_every_row(minutes, tmp_path):
    native, windows = copies(minutes, tmp_path)
    assert len(native.files(SILVER)) > 100
    before = native.rows(SILVER)
    for lake in (native, windows):
        lake.run("compact")
        assert lake.rows(SILVER) == before
    assert len(native.files(SILVER)) == len(windows.files(SILVER)) == 1
    for lake in (native, windows):
        lake.run()
    assert windows.rows(GOLD) == native.rows(GOLD)


def test_verify_sets_damage_aside(made, tmp_path):
    outputs = []
    for lake in copies(made, tmp_path):
        damaged = sorted((lake.path / "silver" / SILVER).glob("*/*.parquet"))[5]
        damaged.write_bytes(damaged.read_bytes()[:-9])
        lake.run("verify", expected=3)
        assert not damaged.exists()
        assert [file.name for file in (lake.path / ".quarantine").rglob("*.parquet")] == [damaged.name]
        outputs.append(lake.rows(GOLD))
        assert lake.run("verify") is not None
    assert outputs[1] == outputs[0]


def test_a_lake_may_have_a_path_of_more_than_260_characters(minutes, tmp_path):
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    native, windows = copies(minutes, deep)
    assert len(str(windows.path)) > 260
    for lake in (native, windows):
        lake.run()
        lake.run("compact")
    assert windows.rows(GOLD) == native.rows(GOLD)


def test_ctrl_c_ends_a_collector_and_no_sample_is_lost(tmp_path):
    lake = Lake(tmp_path / "lake", True)
    collect = [*WINE, PROGRAMS / "telemetry-collect.exe", "--lake", on_drive(lake.path), "--host-id", "laptop"]
    settings = {"TELEMETRY__COLLECT__PUBLISH_INTERVAL_MINUTES": "60"}
    variables = {**environment(tmp_path), "TELEMETRY_LAKE": on_drive(lake.path), **settings}
    watch = [*collect, "--watch", "--sample-interval-seconds", "1", "--print", "json"]
    printed = tmp_path / "printed"
    with printed.open("w") as out:
        watching = subprocess.Popen(watch, env=variables, stdout=out)
    try:
        while watching.poll() is None and "laptop" not in printed.read_text():
            time.sleep(0.1)
        second = subprocess.run(collect, env=variables, capture_output=True, text=True, timeout=60)
        assert second.returncode == 75 and "--watch" in second.stderr, second.stderr
        # Wine makes Ctrl-C of it.
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=60) == 0
    finally:
        watching.kill()
    subprocess.run([*collect, "--publish"], env=variables, check=True, timeout=60)
    assert len(lake.rows(SILVER)) == len(printed.read_text().splitlines())
