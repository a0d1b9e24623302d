"""Prefect 3: `slackwater batch run` every five minutes. `python slackwater_batch.py` serves it from this process.

exit code 75    the same call may succeed later (no broker, another run published first): Prefect tries it again
any other       someone must decide: the flow fails at once, without another try
overlap         one run at a time; a run that would start meanwhile is cancelled, since the next takes all there is
settings        this process' environment: SLACKWATER_HOME, KAFKA_BOOTSTRAP_SERVERS and so on;
                SLACKWATER_PROGRAM names the program, which has a virtual environment of its own
"""

import json
import os
import subprocess
from datetime import timedelta
from typing import Any

from prefect import flow, serve, task
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment

TRY_AGAIN = 75


class TryAgainError(RuntimeError):
    """The same call may succeed later."""


def may_succeed_later(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed try is worth another one."""
    return isinstance(state.result(raise_on_failure=False), TryAgainError)


@task(retries=5, retry_delay_seconds=30, retry_condition_fn=may_succeed_later, timeout_seconds=3600)
def run_batch() -> dict[str, Any]:
    """One batch run; the version that it published, with its proof, or the one that stands since nothing was new."""
    program = os.environ.get("SLACKWATER_PROGRAM", "slackwater")
    command = [program, "--log-format", "json", "batch", "run", "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # its log goes to this process'
    if run.returncode == TRY_AGAIN:
        raise TryAgainError("The batch run may succeed later; its log says why it did not now.")
    if run.returncode:
        raise RuntimeError(f"The batch run ended with {run.returncode}; its log says why.")
    facts: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    if not facts["published"]:
        return {"version": facts["version"], "published": False}
    proof, events = facts["proof"]["outcome"], facts["counts"]["events"]
    return {"version": facts["version"], "published": True, "proof": proof, "events": events}


@flow(name="slackwater-batch")
def slackwater_batch() -> dict[str, Any]:
    """Mark, archive, compute, prove, publish: one new version of the batch views."""
    return run_batch()


def deployment() -> RunnerDeployment:
    """Every five minutes, one at a time."""
    return slackwater_batch.to_deployment(
        name="every-five-minutes",
        interval=timedelta(minutes=5),
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        tags=["slackwater"],
    )


if __name__ == "__main__":
    serve(deployment())
