"""Host telemetry as two Prefect flows: samples every minute, rollups every five.

    prefect server start
    prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api
    python flow.py          # serves both on their schedules until stopped

prefect.yaml has the same for workers. The programs must be on the PATH of the process that runs the flows.
They read their configuration as always (file, environment), so `enabled = false` there makes both flows do
nothing. The meaning of the exit codes is in docs/operations.md.
"""

import subprocess

from prefect import flow, get_run_logger, serve, task
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.runtime import flow_run

DONE_IN_PART = 3
TRY_AGAIN_LATER = 75


class TryAgainLater(Exception):
    """Another process holds the lock."""


class ProgramFailed(Exception):
    """The program ended with a code that a retry does not cure."""


def run_program(*arguments: str) -> str:
    """Runs a program and returns its standard output; what it says on standard error goes to the log."""
    logger = get_run_logger()
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    message = f"{arguments[0]} ended with code {done.returncode}: {done.stderr.strip()}"
    if done.returncode == TRY_AGAIN_LATER:
        raise TryAgainLater(message)
    if done.returncode not in (0, DONE_IN_PART):
        raise ProgramFailed(message)
    if done.returncode == DONE_IN_PART:
        logger.warning(message)
    elif done.stderr.strip():
        logger.info(done.stderr.strip())
    return done.stdout


def try_again_later(_task, _run, state) -> bool:
    """Whether a failed task is worth a retry."""
    return isinstance(state.result(raise_on_failure=False), TryAgainLater)


@task(retries=5, retry_delay_seconds=10, retry_condition_fn=try_again_later)
def collect(samples: int, interval: str, run_id: str | None) -> str:
    correlation = ["--run-id", run_id] if run_id else []
    return run_program("telemetry-collect", "--samples", str(samples), "--interval", interval, *correlation)


@task(retries=5, retry_delay_seconds=30, retry_condition_fn=try_again_later)
def build_rollups() -> str:
    return run_program("telemetry-rollup", "build")


@flow(name="telemetry-samples")
def samples(samples: int = 6, interval: str = "10s") -> str:
    """One minute of samples into Silver, marked with the id of this flow run."""
    return collect(samples, interval, flow_run.id)


@flow(name="telemetry-rollups")
def rollups() -> str:
    """Gold for everything that is new in Silver."""
    return build_rollups()


if __name__ == "__main__":
    # Runs that could not begin in time are dropped: a minute that has passed cannot be sampled any more.
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    serve(
        samples.to_deployment("every-minute", cron="* * * * *", concurrency_limit=one),
        rollups.to_deployment("every-five-minutes", cron="2-59/5 * * * *", concurrency_limit=one),
    )
