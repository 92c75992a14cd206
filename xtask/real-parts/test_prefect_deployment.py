"""The Prefect deployments of docs/examples: the commands of prefect.yaml, and `python flow.py`, on a server."""

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import GOLD, ROOT, SILVER, environment, files

EXAMPLE = ROOT / "docs/examples/prefect"
DEFAULT_PORT = "4200"
# The port is ours to choose, since the default one may be in use; nothing is reported or kept.
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
}


class Prefect:
    """A server on loopback with a home of its own, and programs that use it."""

    def __init__(self, home: Path, lake: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.lake, self.home = lake, home
        home.mkdir()
        inherited = {name: value for name, value in environment(lake).items() if not name.startswith("PREFECT_")}
        inherited["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
        self.environment = {**inherited, **SETTINGS, "PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": self.port}

    def run(self, command: str) -> str:
        done = subprocess.run(
            shlex.split(command), cwd=EXAMPLE, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def running(self, command: str):
        log = self.home / f"{command.replace(' ', '-')}.txt"
        with log.open("w") as output:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=EXAMPLE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process, log
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def api(self, path: str, **body: object) -> object:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
        )
        for attempt in range(30):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                # While its database is busy; Prefect's own client waits too.
                if error.code != 503 or attempt == 29:
                    raise
                time.sleep(1)
        raise AssertionError("the last attempt returns or raises")

    def is_up(self) -> bool:
        try:
            return self.api("health") is True
        except OSError:
            return False

    def begin(self, flow: str, deployment: str) -> str:
        """Asks for a run of a deployment, which takes one sample as a minute is long; returns its identifier."""
        parameters = {"samples": 1} if flow == "telemetry-samples" else {}
        found = self.api(f"deployments/name/{flow}/{deployment}")
        path = f"deployments/{found['id']}/create_flow_run"
        return self.api(path, parameters=parameters, state={"type": "SCHEDULED"})["id"]

    def end(self, run: str) -> dict:
        """The state in which a run ends."""

        def ended() -> dict | None:
            now = self.api(f"flow_runs/{run}")
            return now["state"] if now["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return wait_for(ended, f"the end of {run}")


def wait_for(question, what: str):
    deadline = time.monotonic() + 120
    while not (answer := question()):
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)
    return answer


def commands() -> list[str]:
    """The commands at the head of prefect.yaml."""
    return re.findall(r"^#     (prefect .*)$", (EXAMPLE / "prefect.yaml").read_text(), re.MULTILINE)


@pytest.fixture
def prefect(tmp_path):
    prefect = Prefect(tmp_path / "prefect", tmp_path / "lake")
    (start,) = [command for command in commands() if "server start" in command]
    with prefect.running(start) as (server, log):
        wait_for(lambda: prefect.is_up() or server.poll() is not None, "the server")
        assert server.poll() is None, log.read_text()
        (configure,) = [command for command in commands() if "config set" in command]
        assert DEFAULT_PORT in configure
        prefect.run(configure.replace(DEFAULT_PORT, prefect.port))
        yield prefect


DEPLOYMENTS = {
    ("telemetry-samples", "every-minute"): "* * * * *",
    ("telemetry-rollups", "every-five-minutes"): "2-59/5 * * * *",
}


def check(prefect: Prefect):
    """The deployments are scheduled, and a run of each does its work."""
    for (flow, name), cron in DEPLOYMENTS.items():
        found = prefect.api(f"deployments/name/{flow}/{name}")
        (schedule,) = found["schedules"]
        assert schedule["active"] and schedule["schedule"]["cron"] == cron
        assert found["global_concurrency_limit"]["limit"] == 1
        assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    for flow, name in DEPLOYMENTS:
        # Dropped if the schedule has just begun one.
        state = wait_for(lambda: not_dropped(prefect.end(prefect.begin(flow, name))), f"a run of {flow}")
        assert state["type"] == "COMPLETED", state
    assert files(prefect.lake, SILVER) and files(prefect.lake, GOLD)
    # As after an hour in which nothing could run.
    late = [prefect.begin("telemetry-samples", "every-minute") for _ in range(4)]
    states = [prefect.end(run)["type"] for run in late]
    assert set(states) <= {"COMPLETED", "CANCELLED"} and states.count("CANCELLED") >= 2, states


def not_dropped(state: dict) -> dict | None:
    return None if state["type"] == "CANCELLED" else state


def test_the_commands_of_prefect_yaml(prefect):
    _, _, pool, deploy, worker = commands()
    prefect.run(pool)
    prefect.run(deploy)
    with prefect.running(worker):
        check(prefect)


def test_flow_py_serves_both(prefect):
    with prefect.running("python flow.py") as (server, log):
        wait_for(lambda: "telemetry-rollups/every-five-minutes" in log.read_text() or server.poll(), "the deployments")
        assert server.poll() is None, log.read_text()
        check(prefect)
