"""`slackwater` with a candidate beside its view, in which high and low change places.

A program of its own, `python -m tests.both_definitions speed run`: it is registered before the list is read.
"""

from dataclasses import replace

import views.registry
from views.bars import BARS
from views.measures import Max, Min

SWAPPED = replace(BARS, measures={**BARS.measures, "high": Min("price"), "low": Max("price")})

views.registry.CANDIDATES = (SWAPPED,)
views.registry.DEFINITIONS = (*views.registry.VIEWS, SWAPPED)

if __name__ == "__main__":
    from stack.cli import run

    run()
