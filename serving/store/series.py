"""A series: the states of one key at the base interval, by start, in order. It grows at its end most of the time.

Besides the merged state of a start it keeps which cell gave which state to it. There may be very many series and most
of them short, so one is two lists, and a start that a single cell gave is one pair:

    starts    10              11                        12
    parts     (state, 0)      [a + b, 0, a, 3, b]       (state, 3)        the merged state, then number, state, ...

Levels of the coarser published intervals are stored from `LONG` starts on; below that they are merged on each read.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Any

from slackwater.views.interval import Interval
from slackwater.views.merge import Merge, State

LONG = 64
"""Starts from which a series keeps its coarser levels."""

_Given = tuple[tuple[int, State], ...]


class Level:
    """Start -> merged state at one interval, in order."""

    __slots__ = ("starts", "states")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.states: dict[int, State] = {}

    def add(self, start: int, state: State, merge: Merge) -> None:
        """Merge `state` into the bar at `start`."""
        known = self.states.get(start)
        if known is None:
            self.states[start] = state
            if not self.starts or start > self.starts[-1]:
                self.starts.append(start)
            else:
                insort(self.starts, start)
        else:
            self.states[start] = merge(known, state)


class Series:
    """Start -> state, and the parts of each, given by numbered cells. Not thread safe."""

    __slots__ = ("_levels", "_parts", "_starts")

    def __init__(self, number: int, start: int, state: State) -> None:
        self._starts = [start]
        self._parts: list[tuple[Any, ...] | list[Any]] = [(state, number)]
        self._levels: dict[Interval, Level] | None = None

    def add(self, number: int, start: int, state: State, merge: Merge, coarser: Sequence[Interval]) -> None:
        """Take what cell `number` gave to `start`; numbers never fall. `coarser` are the levels."""
        starts = self._starts
        if start > starts[-1]:
            starts.append(start)
            self._parts.append((state, number))
        else:
            self._add_behind(number, start, state, merge)
        if self._levels is not None:
            for interval, level in self._levels.items():
                level.add(interval.floor(start), state, merge)
        elif len(starts) >= LONG:
            self._make_levels(merge, coarser)

    def newest(self, count: int) -> int | None:
        """The newest start that one of the first `count` cells gave."""
        if self._parts[-1][1] < count:
            return self._starts[-1]
        pairs = zip(reversed(self._starts), reversed(self._parts), strict=True)
        return next((start for start, of in pairs if of[1] < count), None)

    def oldest(self, count: int) -> int | None:
        """The oldest start that one of the first `count` cells gave."""
        if self._parts[0][1] < count:
            return self._starts[0]
        pairs = zip(self._starts, self._parts, strict=True)
        return next((start for start, of in pairs if of[1] < count), None)

    def states(
        self, interval: Interval | None, low: int, high: int | None, newest_first: bool
    ) -> Iterator[tuple[int, State]]:
        """The starts in [low, high) with their states, of `interval` where it is stored, else of the base."""
        level = self._levels.get(interval) if self._levels is not None and interval is not None else None
        if level is not None:
            for at in _between(level.starts, low, high, newest_first):
                yield level.starts[at], level.states[level.starts[at]]
            return
        for at in _between(self._starts, low, high, newest_first):
            yield self._starts[at], self._parts[at][0]

    def given(self, low: int, high: int | None, newest_first: bool = False) -> Iterator[tuple[int, _Given]]:
        """The starts in [low, high), each with who gave what to it: (number, state), in order of number."""
        for at in _between(self._starts, low, high, newest_first):
            of = self._parts[at]
            yield self._starts[at], ((of[1], of[0]),) if len(of) == 2 else tuple(zip(of[1::2], of[2::2], strict=True))

    def _add_behind(self, number: int, start: int, state: State, merge: Merge) -> None:
        at = bisect_left(self._starts, start)
        if self._starts[at] != start:
            self._starts.insert(at, start)
            self._parts.insert(at, (state, number))
            return
        known = self._parts[at]
        if isinstance(known, tuple):
            self._parts[at] = [merge(known[0], state), known[1], known[0], number, state]
        else:
            known[0] = merge(known[0], state)
            known += [number, state]

    def _make_levels(self, merge: Merge, coarser: Sequence[Interval]) -> None:
        self._levels = {interval: Level() for interval in coarser}
        for interval, level in self._levels.items():
            for start, of in zip(self._starts, self._parts, strict=True):
                level.add(interval.floor(start), of[0], merge)


def _between(starts: Sequence[int], low: int, high: int | None, newest_first: bool) -> range:
    """Where the starts in [low, high) are, in the requested order."""
    found = range(bisect_left(starts, low), len(starts) if high is None else bisect_left(starts, high))
    return found[::-1] if newest_first else found
