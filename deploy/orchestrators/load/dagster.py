"""Loads the Dagster example and says what it is; `dagster definitions validate` has done so before."""

import importlib.util
import sys

import dagster as dg
from both_ends import both_ends

spec = importlib.util.spec_from_file_location("slackwater_batch", f"{sys.argv[1]}/slackwater_batch.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with dg.DagsterInstance.get() as instance:
    limit = instance.get_concurrency_config().pool_config.default_pool_limit
    print(f"  jobs {[job.name for job in module.defs.jobs]}, pool {module.run_batch.pool} with {limit} place")
    if limit != 1 or module.run_batch.pool != "slackwater_batch":
        sys.exit("runs may overlap")
    both_ends(lambda: module.run_batch(dg.build_op_context(instance=instance)), dg.RetryRequested, dg.Failure)
