"""The Prefect flow of the docs, run by real Prefect against the real programs."""

import importlib.util
import os
import subprocess
import time
from pathlib import Path

import pytest
from conftest import HOST, PROGRAMS, ROOT, SILVER, environment, files

# Before Prefect is imported: it reads its settings then. Nothing leaves this machine, nothing is kept.
os.environ |= {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The module of the docs with retries that do not wait long, under a temporary Prefect server."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from prefect.testing.utilities import prefect_test_harness

    path = ROOT / "docs/examples/prefect/flow.py"
    spec = importlib.util.spec_from_file_location("flow_of_the_docs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("collect", "build_rollups"):
        setattr(module, name, getattr(module, name).with_options(retries=20, retry_delay_seconds=0.3))
    with prefect_test_harness(server_startup_timeout=120):
        yield module


@pytest.fixture
def lake(tmp_path, monkeypatch) -> Path:
    lake = tmp_path / "lake"
    for name, value in environment(lake).items():
        monkeypatch.setenv(name, value)
    return lake


def task_runs(state):
    """The task runs of a flow run, from the server."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        # The server learns of finished task runs a moment later.
        for _ in range(100):
            runs = client.read_task_runs(flow_run_filter=wanted)
            if runs and all(run.state and run.state.is_final() for run in runs):
                return runs
            time.sleep(0.1)
    raise AssertionError(f"no finished task runs of {state}")


def test_samples_and_rollups(flow, lake):
    import polars

    state = flow.samples(samples=2, interval="1s", return_state=True)
    assert state.is_completed(), state
    rows = polars.read_parquet(files(lake, SILVER))
    assert rows.height == 2
    assert set(rows["run_id"]) == {str(state.state_details.flow_run_id)}, "rows name the flow run"
    state = flow.rollups(return_state=True)
    assert state.is_completed(), state
    assert list((lake / "gold").glob("*/date=*/*.parquet"))


def test_a_failing_collect_fails_the_task(flow, lake):
    # A file where the lake should be: not writable for anybody, root included.
    lake.write_text("")
    state = flow.samples(samples=1, interval="1s", return_state=True)
    assert state.is_failed(), state
    (run,) = task_runs(state)
    assert run.state.is_failed()
    assert run.run_count == 1, "a failure that a retry does not cure is not retried"
    assert "telemetry-collect ended with code 72:" in run.state.message


def test_bad_configuration_fails_the_task(flow, lake, monkeypatch):
    monkeypatch.setenv("TELEMETRY_HOST_ID", "../x")
    state = flow.samples(samples=1, interval="1s", return_state=True)
    assert state.is_failed(), state
    assert "code 78" in state.message
    assert not lake.exists()


def is_locked(path):
    if not path.exists():
        return False
    inode = f":{path.stat().st_ino} "
    return any(inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_a_held_lock_is_retried_until_it_is_free(flow, lake):
    holder = subprocess.Popen(
        [PROGRAMS / "telemetry-collect", "--samples", "3", "--interval", "1s"], stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while not is_locked(lake / f".state/{HOST}/collector.lock"):
            assert holder.poll() is None and time.monotonic() < deadline, "the first collector took no lock"
            time.sleep(0.01)
        state = flow.samples(samples=1, interval="1s", return_state=True)
        assert state.is_completed(), state
        (run,) = task_runs(state)
        assert run.run_count > 1, "the second collector did not have to wait"
        assert holder.wait(timeout=20) in (0, 3)
        assert len(files(lake, SILVER)) == 2
    finally:
        holder.kill()
        holder.wait()


def test_code_3_is_a_warning_and_no_failure(flow, lake, monkeypatch, caplog):
    monkeypatch.setenv("TELEMETRY_NETWORK_INTERFACE", "unplugged0")
    state = flow.samples(samples=1, interval="1s", return_state=True)
    assert state.is_completed(), state
    assert len(files(lake, SILVER)) == 1
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert any("ended with code 3" in message for message in warnings), warnings
