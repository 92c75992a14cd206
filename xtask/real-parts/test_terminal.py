"""What a person sees: tables are in colour on a terminal only, and aligned everywhere."""

import os
import pty
import subprocess

import pytest
from conftest import PROGRAMS, environment, run

ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = tmp_path_factory.mktemp("terminal") / "lake"
    run(lake, "telemetry-collect")
    return lake


def on_a_terminal(lake, *command: str, **variables: str) -> str:
    """What a program writes to a terminal."""
    terminal, end = pty.openpty()
    settings = {name: value for name, value in environment(lake).items() if name != "NO_COLOR"}
    child = subprocess.Popen(
        [PROGRAMS / command[0], *command[1:]],
        env={**settings, "TERM": "xterm-256color", **variables},
        stdin=end,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    written = b""
    # A terminal whose last program has ended cannot be read.
    while chunk := read(terminal):
        written += chunk
    os.close(terminal)
    assert child.wait(timeout=60) in (0, 3), written
    return written.decode().replace("\r\n", "\n")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


COMMANDS = [
    ("telemetry-collect", "--print", "table"),
    ("telemetry-rollup", "--print", "table"),
    ("telemetry-rollup", "plan"),
    ("telemetry", "doctor"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_colour_is_for_terminals(lake, command):
    assert ESCAPE in on_a_terminal(lake, *command)
    assert ESCAPE not in on_a_terminal(lake, *command, NO_COLOR="1")
    assert ESCAPE not in run(lake, *command)


@pytest.mark.parametrize("command", COMMANDS[:2], ids=" ".join)
def test_columns_are_aligned(lake, command):
    for shown in (run(lake, *command), on_a_terminal(lake, *command, NO_COLOR="1")):
        head, _, *rows = [line for line in shown.splitlines() if line.strip()]
        unit = head.index(" unit ")
        assert rows and all(row[unit] == " " for row in rows), shown
        assert len({len(row) for row in rows}) == 1, shown
