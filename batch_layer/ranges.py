"""Ranges of time in which a large shard is compared piece by piece: joins and sums of 75 million bars at once did not
fit 6 GB, whatever spilled.

    files      |-----|  |------|     |------------|        each with its first time, its last, and its rows
    ranges     [0 ......... | .............. | ...... )    about RANGE_ROWS each, between two bars of the interval
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from slackwater.views.interval import Interval

RANGE_ROWS = 8_000_000
"""Rows that are compared at once: some 2 GB."""

_PIECES = 8
"""Into so many points a range's rows are cut, spread evenly over the times of their file."""


class Times(NamedTuple):
    """Times in [low, high), microseconds."""

    low: int
    high: int


class Spread(NamedTuple):
    """So many rows from a first time to a last one."""

    low: int
    high: int
    rows: int


EVERYTHING = Times(0, 2**63 - 1)


def ranges(spread: Iterable[Spread], interval: Interval, most: int | None = None) -> list[Times]:
    """The ranges, in order; together they are EVERYTHING. No bar of `interval` lies in two.

    `most` rows are in each, about; None: RANGE_ROWS.
    """
    most = most or RANGE_ROWS
    points = []
    for low, high, rows in spread:
        pieces = rows * _PIECES // most + 1
        points += [(low + (high - low) * piece // pieces, rows // pieces) for piece in range(pieces)]
    cuts, count = [EVERYTHING.low], 0
    for at, rows in sorted(points):
        if count >= most and (cut := interval.floor(at)) > cuts[-1]:
            cuts.append(cut)
            count = 0
        count += rows
    return [Times(low, high) for low, high in pairwise([*cuts, EVERYTHING.high])]
