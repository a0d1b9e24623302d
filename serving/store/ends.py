"""The end of one chain, held still while the chain grows: every read of one answer, and of one cursor, goes through it.

An end is a fold, the number of settled cells below it, and the cell that was open when it was taken. Cells never
change, so the same end gives the same rows for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from serving.store.directory import Entity, entity_of
from serving.store.fold import Fold, Key
from slackwater.deltas.cell import Cell
from slackwater.views.interval import Interval
from slackwater.views.merge import State, merger
from slackwater.views.rows import Row

AT_ONCE = 256
"""Instruments that are looked up while the feed and other answers wait."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The end of one partition's chain: `upto` is what is applied.

    `count` settled cells are below it, `open_cell` on top. `complete` is as it was when the end was taken first, and
    `lock` is the hot store's.
    """

    fold: Fold
    count: int
    open_cell: Cell | None
    upto: int
    complete: bool
    lock: Lock

    def keys(self, instrument: Entity) -> set[Key]:
        """Every key of an instrument that may have rows here."""
        with self.lock:
            found = set(self.fold.keys(instrument))
        return found | {row.key for row in self._open_rows() if entity_of(self.fold.view, row) == instrument}

    def newest(self, instrument: Entity) -> int | None:
        """The newest base start of an instrument."""
        with self.lock:
            settled = self.fold.newest(instrument, self.count)
        starts = [row.start for row in self._open_rows() if entity_of(self.fold.view, row) == instrument]
        return max(starts if settled is None else [*starts, settled], default=None)

    def span(self, instrument: Entity) -> tuple[int, int] | None:
        """The oldest and newest base start of an instrument."""
        return self.spans([instrument]).get(instrument)

    def spans(self, instruments: Iterable[Entity]) -> dict[Entity, tuple[int, int]]:
        """The oldest and newest base start of each of these instruments that has one."""
        found: dict[Entity, tuple[int, int]] = {}
        wanted = list(dict.fromkeys(instruments))
        for at in range(0, len(wanted), AT_ONCE):
            with self.lock:
                for instrument in wanted[at : at + AT_ONCE]:
                    first = self.fold.oldest(instrument, self.count)
                    last = self.fold.newest(instrument, self.count)
                    if first is not None and last is not None:
                        found[instrument] = first, last
        asked = set(wanted)
        for row in self._open_rows():
            instrument = entity_of(self.fold.view, row)
            if instrument in asked:
                first, last = found.get(instrument, (row.start, row.start))
                found[instrument] = min(first, row.start), max(last, row.start)
        return found

    def bars(
        self, key: Key, interval: Interval, low: int, high: int | None, limit: int, newest_first: bool
    ) -> dict[int, State]:
        """Bar start -> state: the first (or last) `limit` bars of [low, high), both bar starts, in no order.

        There may be more than `limit`; those that are too many are not whole and lie behind the limit.
        """
        with self.lock:
            found = self.fold.bars(key, self.count, interval, low, high, limit, newest_first)
        merge = merger(self.fold.view)
        for row in self._open_rows():
            if row.key == key and row.start >= low and (high is None or row.start < high):
                start = interval.floor(row.start)
                found[start] = merge(found[start], row.state) if start in found else row.state
        return found

    def parts(self, key: Key, low: int, high: int) -> list[tuple[Cell, State]]:
        """What each cell gave to the base starts in [low, high)."""
        with self.lock:
            found = self.fold.parts(key, self.count, low, high)
        merge = merger(self.fold.view)
        total: State | None = None
        for row in self._open_rows():
            if row.key == key and low <= row.start < high:
                total = row.state if total is None else merge(total, row.state)
        if total is not None and self.open_cell is not None:
            found.append((self.open_cell, total))
        return found

    def _open_rows(self) -> tuple[Row, ...]:
        return self.open_cell.rows if self.open_cell else ()
