"""Which bars of a published interval are a part of their own, and which share one: a pure function of their numbers.

    1s   by day     [ 2026-11-27 : 86,400 bars ]  [ 2026-11-28 : 61,002 ]       slices, from SLICE_ROWS bars on
         the rest   [ 2026-11-26 : 212, 2026-11-29 : 40, ... ]                  one wide part, sorted by key

A slice is closed once its time is over, so what comes later does not write it again; and bars at a thousand old times
are one part, not a thousand. The same bars give the same parts, however they came together.
"""

from collections.abc import Iterable
from typing import NamedTuple

from slackwater.views.interval import DAY_US, Interval, parse_interval

SLICE_ROWS = 50_000
"""Bars from which a slice is a part of its own."""

_DAY, _MONTH, _YEAR = map(parse_interval, ("1d", "1M", "1y"))
_HOUR_US = DAY_US // 24
_MINUTE_US = _HOUR_US // 60


class Counted(NamedTuple):
    """Bars of one slice: where the slice starts, how many there are, and the starts of the first and the last."""

    slice: int
    rows: int
    low: int
    high: int


class Planned(NamedTuple):
    """A part: the slice that it is, None for the wide one; its bars, and the starts of its first and last."""

    slice: int | None
    rows: int
    low: int
    high: int


def slice_of(interval: Interval) -> Interval | None:
    """The interval of the slices of a published one; None where all bars stay together."""
    if interval.calendar or interval.us > 31 * DAY_US:
        return None
    if interval.us < _MINUTE_US:
        return _DAY
    return _MONTH if interval.us < _HOUR_US else _YEAR


def lay_out(counted: Iterable[Counted]) -> list[Planned]:
    """The parts that bars become, the slices in order, then the wide one where it has any."""
    planned, rest = list[Planned](), list[Planned]()
    for each in sorted(counted):
        (planned if each.rows >= SLICE_ROWS else rest).append(Planned(*each))
    if rest:
        low, high = min(each.low for each in rest), max(each.high for each in rest)
        planned.append(Planned(None, sum(each.rows for each in rest), low, high))
    return planned
