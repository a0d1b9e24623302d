"""What an audit compares next: a pure function of the list of parts and of what is known of them.

    place          bars 1s, shard 0        every part of it, of whatever run or merge
    sweep          |--step--|--step--|--   by time; a step is about as many rows as the budget
    round          each place in turn, the one whose last sweep is longest ago first

A step takes a range of time, and all parts that hold bars in it together: together they are what the archive gives,
however often they were merged, so nothing has to be known of which run made what. At the base they are made again of
the events of that time, at the other intervals of the bars of the next finer one, which are audited themselves. So the
cost of a step does not grow with history: files and parts beyond its range are not read.

Parts that are sorted by key have to be looked through for the bars of a range, and the list of the archive's files is
read. Where that is much, steps become larger and rarer: a run that may not yet read what the next step takes keeps its
budget for the next run.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from slackwater.versions.audited import AuditState, Place
from slackwater.versions.manifest import Manifest, Part
from slackwater.views.interval import Interval, parse_interval
from slackwater.views.levels import finer_published
from slackwater.views.view import View

FIRST_US, LAST_US = 0, 2**62
"""Where a sweep begins and ends: bars that no part holds, and should, are before the first and behind the last, too."""

SKIMMED = 16
"""Rows of which only the start is read, for each that is read whole."""


class Step(NamedTuple):
    """The bars of a place that start in [low, high), and about how many rows are read to make them again."""

    place: Place
    low: int
    high: int
    rows: int


class Block(NamedTuple):
    """Rows that lie about evenly in [low, high)."""

    low: int
    high: int
    rows: float


def next_place(state: AuditState, places: Iterable[Place]) -> Place | None:
    """The one whose sweep is going on, else the one whose last sweep ended first; None if there are none."""
    return min(places, key=lambda each: (state.place(each).at is None, state.place(each).ended_us, each), default=None)


def next_step(
    manifest: Manifest, view: View, place: Place, parts: Mapping[Place, Sequence[Part]], at: int | None, least: int
) -> Step:
    """The next step of a place, of `least` rows or more; `at` is how far its sweep is."""
    interval, own = parse_interval(place.interval), parts[place]
    blocks = _source(manifest, view, interval, place, parts)
    low = FIRST_US if at is None else at
    rows = max(least, *(part.file.rows // SKIMMED for part in own), 0)
    if interval == view.intervals[0]:
        rows = max(rows, len(manifest.archive))
    end = reach(blocks, low, rows)
    high = LAST_US if end is None else min(LAST_US, interval.end(interval.floor(end)))
    return Step(place, low, high, round(rows_in(blocks, low, high)))


def reach(blocks: Sequence[Block], low: int, rows: int) -> int | None:
    """The first time by which so many rows lie behind `low`; None if there are not as many."""
    edges = sorted({low, *(edge for block in blocks for edge in block[:2] if edge > low)})
    left = float(rows)
    for start, end in pairwise(edges):
        there = rows_in(blocks, start, end)
        if there >= left:
            return start + int((end - start) * left / there)
        left -= there
    return None


def rows_in(blocks: Iterable[Block], low: int, high: int) -> float:
    """About how many rows lie in [low, high)."""
    return sum(
        block.rows * max(0, min(block.high, high) - max(block.low, low)) / (block.high - block.low) for block in blocks
    )


def _source(
    manifest: Manifest, view: View, interval: Interval, place: Place, parts: Mapping[Place, Sequence[Part]]
) -> list[Block]:
    """What a place is made again of: events, where the bars are of the base, which lie as its bars do."""
    if interval != view.intervals[0]:
        finer = finer_published(view, interval)
        return [_block(part, finer, 1) for part in parts.get(place._replace(interval=finer.text), ())]
    bars = sum(part.file.rows for of, own in parts.items() if of[:2] == place[:2] for part in own)
    events = manifest.counts.get(view.stream.name, {}).get("events", bars)
    return [_block(part, interval, events / max(1, bars)) for part in parts[place]]


def _block(part: Part, interval: Interval, times: float) -> Block:
    return Block(part.low, interval.end(part.high), part.file.rows * times)
