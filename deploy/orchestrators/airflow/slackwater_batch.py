"""Airflow 3: `slackwater batch run` every five minutes. Copy it into the dags folder.

exit code 75    the same call may succeed later (no broker, another run published first): Airflow tries it again
any other       someone must decide: the task fails at once, without another try
overlap         one run at a time; what was missed is not caught up, since a run takes all there is
settings        the worker's environment: SLACKWATER_HOME, KAFKA_BOOTSTRAP_SERVERS and so on;
                SLACKWATER_PROGRAM names the program, which has a virtual environment of its own
"""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

TRY_AGAIN = 75


@task(retries=5, retry_delay=timedelta(seconds=30), execution_timeout=timedelta(hours=1))
def run_batch() -> dict[str, Any]:
    """One batch run; the version that it published, with its proof, or the one that stands since nothing was new."""
    program = os.environ.get("SLACKWATER_PROGRAM", "slackwater")
    command = [program, "--log-format", "json", "batch", "run", "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # its log goes to the task's
    if run.returncode == TRY_AGAIN:
        raise AirflowException("The batch run may succeed later; its log says why it did not now.")
    if run.returncode:
        raise AirflowFailException(f"The batch run ended with {run.returncode}; its log says why.")
    facts: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    if not facts["published"]:
        return {"version": facts["version"], "published": False}
    proof, events = facts["proof"]["outcome"], facts["counts"]["events"]
    return {"version": facts["version"], "published": True, "proof": proof, "events": events}


@dag(
    schedule=timedelta(minutes=5),
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["slackwater"],
)
def slackwater_batch() -> None:
    """Mark, archive, compute, prove, publish: one new version of the batch views."""
    run_batch()


slackwater_batch()
