"""What the tests with real peers share. `cargo xtask test` sets the environment up."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = "real-parts"


def required(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.exit(f"{variable} is not set: start these tests with `cargo xtask test --only real-parts`", 1)
    return value


PROGRAMS = Path(required("XTASK_TEST_BIN_DIR"))
CONTRACT = json.loads(Path(required("XTASK_TEST_CONTRACT")).read_text())
SILVER, GOLD = ("ops_host_metrics", "ops_host_metrics_5m_rollup")


def environment(lake: Path) -> dict[str, str]:
    """The caller's environment without its telemetry settings, with the programs under test first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")}
    path = f"{PROGRAMS}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "TELEMETRY_LAKE": str(lake), "TELEMETRY_HOST_ID": HOST}


def clock(setting: str) -> dict[str, str]:
    """Variables that set a program's wall clock, in the words of faketime(1).

    Not by the program `faketime`: it fails when one that was killed before had the same process id."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "libfaketime is missing: apt-get install faketime"
    # Only the wall clock is moved: waiting takes its time.
    moved = {"FAKETIME": setting, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(libraries[0]), "TZ": "UTC", **moved}


def run(lake: Path, program: str, *arguments: str, **variables: str) -> str:
    """Standard output of a program that must succeed, with these environment variables too."""
    done = subprocess.run(
        [PROGRAMS / program, *arguments],
        env={**environment(lake), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    # 3: a value that this machine cannot measure; the row is there without it.
    assert done.returncode in (0, 3), f"{program} {arguments} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def files(lake: Path, dataset: str) -> list[Path]:
    """The published files of a dataset."""
    found = sorted((lake / CONTRACT[dataset]["layer"] / dataset).glob("date=*/*.parquet"))
    assert found, f"no files of {dataset} in {lake}"
    return found


def snippet(language: str, containing: str) -> str:
    """The one code block of docs/datasets.md in that language with that text."""
    page = (ROOT / "docs/datasets.md").read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (block,) = [block for block in blocks if containing in block]
    return block


class Collected:
    """A lake with real samples of this machine, and what the collector said of them."""

    def __init__(self, lake: Path):
        self.lake = lake
        printed = run(lake, "telemetry-collect", "--samples", "3", "--interval", "1s", "--print", "json")
        self.samples = [json.loads(line) for line in printed.splitlines()]
        run(lake, "telemetry-rollup")


@pytest.fixture(scope="session")
def collected(tmp_path_factory) -> Collected:
    return Collected(tmp_path_factory.mktemp("collected") / "lake")
