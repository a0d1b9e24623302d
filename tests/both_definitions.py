"""`slackwater` with a candidate beside its view, in which high and low change places.

A program of its own, `python -m tests.both_definitions speed run`: it is registered before the list is read.
"""

from dataclasses import replace

import slackwater.views.registry
from slackwater.views.bars import BARS
from slackwater.views.measures import Max, Min

SWAPPED = replace(BARS, measures={**BARS.measures, "high": Min("price"), "low": Max("price")})

slackwater.views.registry.CANDIDATES = (SWAPPED,)

if __name__ == "__main__":
    from ops.cli import run

    run()
