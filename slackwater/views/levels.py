"""Which published bars a read is made of: those that tile an interval, and those that make up a prefix.

A prefix is all states before a time, from the coarsest published bars that lie before it:

    at        2026-11-28 10:30:07, published 1s, 1m, 1h, 1d, 1M
    1M        [.................. 2026-11-01)
    1d                                     [ 01 .. 28)
    1h                                              [00:00 10:00)
    1m, 1s                                                    [10:00 10:30) [10:30:00 10:30:07)

`total` is one bar of everything, so it answers only where nothing lies at or behind `at`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from slackwater.views.errors import IntervalError
from slackwater.views.interval import Interval
from slackwater.views.view import View


class Level(NamedTuple):
    """The bars of a published interval with low <= start < high, both microseconds; `high` None: all from `low` on."""

    interval: Interval
    low: int
    high: int | None


def finer_published(view: View, interval: Interval) -> Interval:
    """The published interval that the bars of another one are merged from: the coarsest below it that tiles it.

    It exists for every published interval but the base.
    """
    return [each for each in view.intervals if each.tiles(interval) and each.us < interval.us][-1]


def published_by(views: Iterable[View]) -> list[Interval]:
    """The intervals that any of these views publishes, the finest first."""
    return sorted({each for view in views for each in view.intervals}, key=lambda each: (each.us, each.text))


def prefix_levels(view: View, at: int, newest: int | None = None) -> list[Level]:
    """What to read, the coarsest first, so that their union is every state before `at`, each once.

    Args:
        view: the view.
        at: microseconds, a start of the base.
        newest: the newest base start that there may be; None where that is not known.

    Raises:
        IntervalError: `at` lies within a bar of the base, whose state cannot be parted.
    """
    base, *coarser = view.intervals
    if base.floor(at) != at:
        hint = f"The nearest before it is {base.floor(at)}."
        raise IntervalError(f"{at} lies within a bar of {view.base}, the base of {view.name!r}.", hint)
    if coarser and coarser[-1].text == "total" and newest is not None and newest < at:
        return [Level(coarser[-1], 0, None)]
    levels: list[Level] = []
    low, within = 0, None
    for interval in reversed(view.intervals):
        if interval.text == "total" or (within is not None and not interval.tiles(within)):
            continue  # a week begins in one month and ends in the next: finer bars fill what is left of a month
        high = interval.floor(at)
        if low < high:
            levels.append(Level(interval, low, high))
            low = high
        within = interval
    return levels
