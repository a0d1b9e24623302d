"""A series of a stream: the bars of one instrument at one interval, and which of them changed.

    batch part   [.....................)          read once a version, the newest `window` bars of it
    chain                        [.......)        in memory, up to the ends of the read point
    changed                  ^        ^ ^         whole bars, each its batch part and its chain's part merged

Everything that uses a read point is synchronous, so that one event is of one read point. What has to be read from
files first (`load`) is read between two of them; a series that waits for it publishes nothing meanwhile.

The revision of a bar is twice the number of its events, and one more when it is closed. So it grows with every change,
and is the same on every server and after every restart, since it is a function of what the bar holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import chain as joined
from typing import NamedTuple

from serving.query.basis import Basis
from serving.query.read import BatchRows, chain_rows, merge_rows, merged
from serving.store.request import Keys, Range, RowRequest
from slackwater.views.interval import Interval
from slackwater.views.rows import Row
from slackwater.views.view import View

WINDOWS = (100, 300, 1000)
"""How many bars of the batch part a series holds: the first of these that holds every client's snapshot."""

MOST_KEYS = 1000
"""Rows of one start that are read, where a view has further key columns."""

KEYS = 64
"""Rows of each start that a window has room for there; with more, it holds fewer starts."""


class Changed(NamedTuple):
    """A bar that changed. A correction is one that changed after it was closed."""

    row: Row
    closed: bool
    correction: bool


@dataclass
class Base:
    """The batch part of a series in one snapshot, by start. From `low` on every bar is here, below it some are."""

    snapshot: str
    window: int
    low: int
    bars: dict[int, list[Row]]

    def knows(self, start: int) -> bool:
        """Whether the batch part of a bar is known; one that has none is known too."""
        return start >= self.low or start in self.bars

    def at(self, starts: Iterable[int]) -> list[Row]:
        """The rows of some bars, which it knows."""
        return [row for start in starts for row in self.bars.get(start, ())]

    def rows(self) -> list[Row]:
        """The rows from `low` on, in order."""
        return [row for start in sorted(self.bars) if start >= self.low for row in self.bars[start]]


@cache
def revision_of(view: View) -> int | None:
    """The index in a state of the number of events, which makes a revision; None if the view does not count them."""
    counts = [part.columns[0].name for part in view.parts if part.events]
    return [column.name for column in view.columns].index(counts[0]) if counts else None


class Series:
    """One instrument and interval. Belongs to the event loop; `read_point` is always the one of its view's update;
    `failures` counts the loads that failed since one did not."""

    def __init__(self, keys: Keys, interval: Interval) -> None:
        self.keys = keys
        self.entity = keys.entities[0]
        self.interval = interval
        self.window = WINDOWS[0]
        self.replaced = True
        self.failures = 0
        self._base: Base | None = None
        self._published: tuple[Base, Basis] | None = None
        self._newest: int | None = None
        self._dirty: dict[int, bool] = {}
        self._suspected: set[int] = set()
        self._requests: set[int] = set()

    def widen(self, limit: int) -> None:
        """Hold enough for snapshots of `limit` bars."""
        self.window = max(self.window, next(window for window in WINDOWS if window >= limit))

    def ready(self, read_point: Basis) -> bool:
        """Whether everything is read that its changed bars need."""
        base = self._base
        if base is None or base.snapshot != read_point.standing.key or base.window < self.window:
            return False
        return all(map(base.knows, joined(self._dirty, self._requests)))

    def settled(self, read_point: Basis) -> bool:
        """Whether everything that changed was published."""
        return self.ready(read_point) and not self._dirty and self._published is None and not self.replaced

    def mark(self, starts: Iterable[int]) -> None:
        """Cells with these base starts came."""
        for start in starts:
            self._mark_bar(self.interval.floor(start))

    def suspect(self, starts: Iterable[int]) -> None:
        """Cells with these base starts are in chains that others replaced; whether they changed a bar is compared."""
        self._suspected.update(map(self.interval.floor, starts))

    def rebase(self, old: Basis, follows: bool) -> None:
        """The chains are others now. Either only what was applied since is different, or anything may be."""
        if not follows:
            self.replaced = True
            self._published = None
        elif self._published is None and self._base is not None and not self.replaced:
            self._published = self._base, old
        self._base = None

    async def load(self, read_point: Basis, batch: BatchRows) -> None:
        """Read what is needed from files.

        Raises:
            ProblemError: it cannot be read now.
        """
        key, reader = read_point.standing.key, read_point.snapshot.batch
        base, window = self._base, self.window
        if base is None or base.snapshot != key or base.window < window:
            most = _room(read_point.view, window)
            rows = await batch.read(reader, self._request(read_point.view, 0, None, most))
            base = Base(key, window, _low(rows, most), {})
            for row in rows:
                if row.start >= base.low:
                    base.bars.setdefault(row.start, []).append(row)
        for start in [start for start in joined(self._dirty, self._requests) if not base.knows(start)]:
            request = self._request(read_point.view, start, self.interval.end(start), MOST_KEYS)
            base.bars[start] = await batch.read(reader, request)
        self._base = base

    def ask(self, starts: Iterable[int]) -> bool:
        """Whether the batch part of all these bars is known; else it is read by the next `load`."""
        self._requests = {start for start in starts if self._base is None or not self._base.knows(start)}
        return not self._requests

    def take(self, read_point: Basis) -> list[Changed]:
        """What changed since it was taken last; the series is `ready`. After `replaced` it is nothing."""
        newest = read_point.newest(self.entity)
        if self._published is not None:
            self._compare(read_point)
        if self.replaced:
            self._dirty.clear()
            self._suspected.clear()
            self._newest = newest
            return []
        for bar in self._closing(newest):
            self._dirty.setdefault(bar, False)
        self._newest = newest
        base = self._base
        dirty = {bar: correction for bar, correction in self._dirty.items() if base is not None and base.knows(bar)}
        for bar in dirty:
            del self._dirty[bar]  # what is left is read first
        found = self.bars(read_point, dirty)
        return [Changed(row, self._is_closed(row.start, newest), dirty[row.start]) for row in found]

    def latest(self, read_point: Basis, limit: int) -> list[Changed]:
        """The newest `limit` bars."""
        newest = read_point.newest(self.entity)
        rows = self._rows(read_point, limit) if limit else []
        return [Changed(row, self._is_closed(row.start, newest), False) for row in rows]

    def bars(self, read_point: Basis, starts: Iterable[int]) -> list[Row]:
        """Some bars, in order; their batch part is known."""
        assert self._base is not None  # noqa: S101 - it is ready
        wanted = sorted(starts)  # as `merge_rows` asks for
        ranges = [Range(self.interval, start, self.interval.end(start), 1) for start in wanted]
        chain = (row for of in ranges for row in chain_rows(read_point, self.keys, of))
        return merge_rows(read_point.view, self._base.at(wanted), chain)

    def changes(self, read_point: Basis, touched: Iterable[int], newest: int | None) -> list[Changed] | None:
        """The bars that cells with these base starts changed, and those that were closed since `newest` was, or later.

        None if they are not known: bars were closed before the window, or something has to be read first (`ask`).
        """
        now = read_point.newest(self.entity)
        low = None if newest is None else self.interval.last_closed(newest)
        rows = self._rows(read_point, self.window)
        if len({row.start for row in rows}) >= self.window and (low is None or rows[0].start > low):
            return None
        starts = {self.interval.floor(start) for start in touched}
        starts |= {row.start for row in rows if low is None or row.start > low}
        if not self.ask(starts):
            return None
        found = self.bars(read_point, starts)
        return [Changed(r, self._is_closed(r.start, now), self._is_closed(r.start, newest)) for r in found]

    def _rows(self, read_point: Basis, limit: int) -> list[Row]:
        """The rows of the newest `limit` starts."""
        assert self._base is not None  # noqa: S101 - it is ready
        rows = _merged(self, self._base, read_point, _room(read_point.view, limit))
        starts = sorted({row.start for row in rows})[-limit:]
        return [row for row in rows if row.start >= starts[0]] if starts else []

    def _request(self, view: View, low: int, high: int | None, limit: int) -> RowRequest:
        return RowRequest(view, self.keys, Range(self.interval, low, high, limit, high is None))

    def _compare(self, read_point: Basis) -> None:
        """Mark what is different from what was published on the snapshot before."""
        assert self._published is not None and self._base is not None  # noqa: S101 - checked before, and it is ready
        (old_base, old), self._published = self._published, None
        window = _room(read_point.view, min(old_base.window, self._base.window))
        was, now = _merged(self, old_base, old, window), _merged(self, self._base, read_point, window)
        low = max(_low(was, window), _low(now, window))
        places = {(row.key, row.start) for row in now}
        for row in set(was) ^ set(now):
            if row.start >= low:
                # An event of changes cannot say that a bar is not there any more.
                self.replaced = self.replaced or (row.key, row.start) not in places
                self._mark_bar(row.start)
        for bar in self._suspected:
            if bar < low:  # older than what could be compared: it may have changed
                self._mark_bar(bar)
        self._suspected.clear()

    def _mark_bar(self, bar: int) -> None:
        self._dirty[bar] = self._dirty.get(bar, False) or self._is_closed(bar, self._newest)

    def _closing(self, newest: int | None) -> list[int]:
        """Bars that were open and are closed now; some of them may not exist."""
        if newest is None or self._newest is None or newest <= self._newest:
            return []
        found = []
        bar = self.interval.floor(self._newest)
        while not self._is_closed(bar, self._newest):
            if self._is_closed(bar, newest):
                found.append(bar)
            bar = self.interval.floor(bar - 1)
        return found

    def _is_closed(self, start: int, newest: int | None) -> bool:
        return newest is not None and start <= self.interval.last_closed(newest)


def _merged(series: Series, base: Base, read_point: Basis, limit: int) -> list[Row]:
    """The newest `limit` bars of a base and a chain."""
    return merged(read_point, series.keys, Range(series.interval, limit=limit, newest_first=True), base.rows())


def _room(view: View, starts: int) -> int:
    """How many rows that many starts may have."""
    return starts * KEYS if view.rest else starts


def _low(rows: list[Row], limit: int) -> int:
    """Where the newest `limit` rows begin to be all that there are; with further key columns a start may be cut."""
    return rows[0].start + 1 if len(rows) >= limit else 0
