"""Which parts of one view, interval and shard are to become one: a pure function of the list of parts.

A stack is parts whose bars overlap, the oldest first. There is one of wide parts, and one of each slice that has parts
of its own. One with more parts than its bound has its newest ones become one; how many, is chosen so that the parts of
a full stack grow by one ratio, and a bar is written again some ten times, however many runs there are.

    bound 4     800 90 40 10 | + 10        800 90 40 20           the least that keeps the bound
                800 90 40 38 | + 10        800 90 88              38 + 10 are more than a newest part should have

What becomes of a merge is laid out anew (`slackwater.store.layout`), so that slices leave the wide stack as they grow.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from slackwater.store.layout import SLICE_ROWS, slice_of
from slackwater.views.interval import Interval

MOST_WIDE = 5
MOST_OF_SLICE = 3
MOST = MOST_WIDE + MOST_OF_SLICE
"""Parts that may hold bars of one instant, besides those that are not proven and leave the others fewer than LEAST."""

LEAST = 2
"""Places that those have which may be merged, however many may not: with one, every run would write all of them."""


class Sized(NamedTuple):
    """A part: its number among those that were given, its bars, its bytes, and the starts of its first and last bar."""

    number: int
    rows: int
    size: int
    low: int
    high: int


class Merge(NamedTuple):
    """Parts that become one, by their numbers, and the bytes that are read for it."""

    parts: tuple[int, ...]
    size: int


def stacks(interval: Interval, parts: Iterable[Sized]) -> dict[int | None, list[Sized]]:
    """The parts by stack: the start of the slice, None for the wide ones; in the order in which they are given."""
    slices = slice_of(interval)
    found: dict[int | None, list[Sized]] = {}
    for part in parts:
        own = None
        if slices is not None and part.rows >= SLICE_ROWS and slices.floor(part.low) == slices.floor(part.high):
            own = slices.floor(part.low)
        found.setdefault(own, []).append(part)
    return found


def plan_merges(interval: Interval, parts: Sequence[Sized], free: Callable[[Sized], bool], budget: int) -> list[Merge]:
    """What to merge now.

    Args:
        interval: the published interval of the parts.
        parts: all of a view, interval and shard, the oldest first.
        free: whether a part may be merged; those that may not stay, and what is before one stays, too.
        budget: bytes to read; a merge that keeps a bound is made whatever it takes, but is not made larger beyond it.
    """
    found: list[Merge] = []
    for own, stack in stacks(interval, parts).items():
        most = MOST_WIDE if own is None else MOST_OF_SLICE
        known = list(stack)
        while known and not free(known[-1]):  # the newest are not proven yet, and take a place each
            known.pop()
            most -= 1
        first = next((at + 1 for at in reversed(range(len(known))) if not free(known[at])), 0)
        count = _due(known[first:], max(LEAST, most - first), budget)
        if count > 1:
            merged = known[-count:]
            found.append(Merge(tuple(part.number for part in merged), sum(part.size for part in merged)))
            budget -= found[-1].size
    return found


def amplification(parts: Iterable[Sized]) -> int:
    """The most parts that hold bars of one instant."""
    edges = sorted(edge for part in parts for edge in ((part.low, 0, 1), (part.high, 1, -1)))
    most = now = 0
    for *_, step in edges:
        now += step
        most = max(most, now)
    return most


def _due(stack: Sequence[Sized], most: int, budget: int) -> int:
    """How many of the newest become one; at most one means none.

    The places of a full stack, from the newest on, are for parts of 1, r, r^2, ... times the newest one's bars.
    """
    if len(stack) <= most:
        return 0
    ratio = max(2.0, (sum(part.rows for part in stack) / max(1, stack[-1].rows)) ** (1 / most))
    least, room = len(stack) - most + 1, float(stack[-1].rows)
    rows = size = count = 0
    for part in reversed(stack):
        if count >= least and (rows <= room or size + part.size > budget):
            break
        rows, size, count = rows + part.rows, size + part.size, count + 1
        if count >= least:
            room *= ratio
    return count
