"""`slackwater` with a wrong definition, as somebody might ship it: bought volume counts what was sold.

A program of its own, `python -m tests.wrong_definition batch run`: the view is changed before anything else reads it.
"""

from dataclasses import replace

import slackwater.views.bars
from slackwater.views.measures import Sum

slackwater.views.bars.BARS = replace(
    slackwater.views.bars.BARS,
    measures={
        **slackwater.views.bars.BARS.measures,
        "buy_volume": Sum("CASE WHEN side = 'sell' THEN quantity ELSE 0 END"),
    },
)

if __name__ == "__main__":
    from ops.cli import run

    run()
