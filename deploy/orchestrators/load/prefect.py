"""Loads the Prefect example, makes its deployment's specification, and runs the flow on a server of its own."""

import importlib.util
import sys

from both_ends import both_ends
from prefect.client.schemas.objects import ConcurrencyLimitStrategy

spec = importlib.util.spec_from_file_location("slackwater_batch", f"{sys.argv[1]}/slackwater_batch.py")
module = importlib.util.module_from_spec(spec)
sys.modules["slackwater_batch"] = module
spec.loader.exec_module(module)
made = module.deployment()
every = [schedule.schedule.interval for schedule in made.schedules]
options = made.concurrency_options
print(f"  deployment {made.full_name}, entry point {made.entrypoint.rpartition('/')[2]}, every {every[0]}")
print(f"  concurrency limit {made.concurrency_limit}, {options.collision_strategy.value}")
if made.concurrency_limit != 1 or options.collision_strategy is not ConcurrencyLimitStrategy.CANCEL_NEW:
    sys.exit("runs may overlap")


class Seen:
    """A state as `may_succeed_later` sees it."""

    def __init__(self, error):
        self.error = error

    def result(self, raise_on_failure):
        return self.error


for error, again in ((module.TryAgainError("later"), True), (RuntimeError("never"), False)):
    if module.may_succeed_later(None, None, Seen(error)) is not again:
        sys.exit(f"{error!r}: not tried again as it should be")
both_ends(module.run_batch.fn, module.TryAgainError, RuntimeError)
