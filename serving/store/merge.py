"""The merge of the two layers' bars, and their finish: pure functions.

A page takes the first (or last) N of each layer. That is enough: a bar among the first N of both together has fewer
than N before it in either, so each layer gave its part of it; whatever is cut off lies behind all of them.
"""

from collections.abc import Iterable
from typing import Protocol

from slackwater.views.merge import State, merger
from slackwater.views.rows import Row
from slackwater.views.view import View

Place = tuple[int | str, ...]
"""Where a bar stands in an answer: start, symbol, further key columns."""


class Placed(Protocol):
    """A bar of either kind."""

    @property
    def key(self) -> tuple[str | int, ...]: ...

    @property
    def start(self) -> int: ...


def place_of(bar: Placed) -> Place:
    """The order of bars in an answer."""
    return (bar.start, *bar.key[1:])


def merge_rows(view: View, batch: Iterable[Row], speed: Iterable[Row]) -> list[Row]:
    """Both layers' rows as one, in order."""
    merge = merger(view)
    found: dict[tuple[tuple[str | int, ...], int], State] = {}
    for key, start, state in batch:
        found[key, start] = state
    for key, start, state in speed:
        known = found.get((key, start))
        found[key, start] = state if known is None else merge(known, state)
    return sorted((Row(key, start, state) for (key, start), state in found.items()), key=place_of)


def first(rows: list[Row], limit: int, newest_first: bool) -> list[Row]:
    """The first `limit` of rows in order, or the last, still in order."""
    return rows[-limit:] if newest_first else rows[:limit]
