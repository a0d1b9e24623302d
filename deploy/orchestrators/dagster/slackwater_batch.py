"""Dagster: `slackwater batch run` every five minutes. `dagster dev -f slackwater_batch.py`; dagster.yaml goes with it.

exit code 75    the same call may succeed later (no broker, another run published first): Dagster tries it again
any other       someone must decide: the run fails at once, without another try
overlap         the op's pool, which dagster.yaml gives one place
settings        the environment of the code location: SLACKWATER_HOME, KAFKA_BOOTSTRAP_SERVERS and so on;
                SLACKWATER_PROGRAM names the program, which has a virtual environment of its own
"""

import json
import os
import subprocess

import dagster as dg

TRY_AGAIN = 75
TRIES, WAIT_S = 5, 30


@dg.op(pool="slackwater_batch")
def run_batch(context: dg.OpExecutionContext) -> None:
    """One batch run; metadata of the output: the version that it published and its proof, or the one that stands."""
    program = os.environ.get("SLACKWATER_PROGRAM", "slackwater")
    command = [program, "--log-format", "json", "batch", "run", "--json"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # its log goes to the op's
    if run.returncode == TRY_AGAIN:
        raise dg.RetryRequested(max_retries=TRIES, seconds_to_wait=WAIT_S)
    if run.returncode:
        raise dg.Failure(f"The batch run ended with {run.returncode}; its log says why.", allow_retries=False)
    facts = json.loads(run.stdout.splitlines()[-1])
    if not facts["published"]:
        context.add_output_metadata({"version": facts["version"], "published": False})
        return
    context.add_output_metadata({"version": facts["version"], "published": True, "proof": facts["proof"]["outcome"]})


@dg.job(tags={"dagster/max_runtime": "7200"})
def slackwater_batch() -> None:
    """Mark, archive, compute, prove, publish: one new version of the batch views."""
    run_batch()


every_five_minutes = dg.ScheduleDefinition(
    job=slackwater_batch, cron_schedule="*/5 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)

defs = dg.Definitions(jobs=[slackwater_batch], schedules=[every_five_minutes])
