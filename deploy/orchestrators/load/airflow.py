"""Loads the Airflow example as the DAG processor does, and says what it is."""

import sys
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from both_ends import both_ends

bag = DagBag(dag_folder=sys.argv[1])
if bag.import_errors or list(bag.dags) != ["slackwater_batch"]:
    sys.exit(f"{bag.import_errors or list(bag.dags)}")
dag = bag.dags["slackwater_batch"]
task = dag.get_task("run_batch")
print(f"  DagBag: {len(bag.dags)} DAG, no import error, from {Path(dag.fileloc).name}")
print(
    f"  schedule {dag.schedule}, max_active_runs {dag.max_active_runs}, catchup {dag.catchup}, retries {task.retries}"
)
if dag.max_active_runs != 1 or dag.catchup:
    sys.exit("runs may overlap")
both_ends(task.python_callable, AirflowException, AirflowFailException)
