"""The fold of a chain: its cells from one cut on, merged per key and start, ready to be read at any interval.

    chain     [0,256) [256,512) [512,530)
    cells     [0,256) [256,512)              settled: each has a successor, so it cannot grow; folded once
    open cell                   [512,530)    may still grow; never folded, merged on top of a read

Besides the folded states it stores where each came from (which cell gave which state to which start,
`serving.store.series`). So the answer of any earlier end of the chain can be given again, and a bar can be taken apart
into its deltas.

An end is a fold, the number of settled cells below it, and the cell that was open when it was taken. Cells never
change, so the same end gives the same rows while the chain grows: every read of one answer, and of one cursor, goes
through it. A fold is not thread safe: the hot store holds one lock over it, which an end takes.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from threading import Lock

from serving.store.request import Entity, Key
from serving.store.series import Series
from slackwater.deltas.cell import Cell, DeltaKey
from slackwater.deltas.chain import Chain
from slackwater.views.interval import Interval
from slackwater.views.merge import State
from slackwater.views.rows import Row
from slackwater.views.view import View

AT_ONCE = 256
"""Instruments that are looked up while the feed and other answers wait."""


class Fold:
    """The chain of one delta key from `cut` on.

    `end` is the chain's end: what is applied.
    """

    def __init__(self, view: View, delta_key: DeltaKey, cut: int, chain: Chain) -> None:
        self.view = view
        self.delta_key = delta_key
        self.cut = cut
        self.cells: list[Cell] = []
        self.open_cell: Cell | None = None
        self.merge = view.merge
        self._width = len(view.entity)
        self._chain = chain
        self._coarser = view.intervals[1:]
        self._series: dict[Key, Series] = {}
        self._keys: dict[Entity, list[Key]] | None = {} if view.rest else None
        self._opened: tuple[Cell | None, Mapping[Entity, list[Row]]] = None, {}
        self._advance()

    @property
    def complete(self) -> bool:
        """Whether no cell after the end is known; a fold that no longer follows its chain has an end before it."""
        return self._chain.furthest <= self.end

    def take(self, cell: Cell) -> bool:
        """Follow the chain after it took `cell`; False if a settled cell was replaced, so that a new fold is needed."""
        settled_end = self.open_cell.start if self.open_cell else self.cut
        if cell.start >= settled_end:
            self._advance()
            return True
        at = bisect_left(self.cells, cell.start, key=lambda known: known.start)
        return at == len(self.cells) or self.cells[at].start != cell.start

    def count_at(self, end: int) -> tuple[int, int]:
        """How many settled cells end at or below `end`, and where the last of them ends."""
        count = bisect_left(self.cells, end + 1, key=lambda cell: cell.upto)
        return count, self.cells[count - 1].upto if count else self.cut

    def keys(self, instrument: Entity) -> Sequence[Key]:
        """The settled keys of an instrument."""
        if self._keys is not None:
            return tuple(self._keys.get(instrument, ()))
        return (instrument,) if instrument in self._series else ()

    def rows_of_open(self, cell: Cell | None) -> Mapping[Entity, list[Row]]:
        """The rows of an open cell by instrument; those of the last cell are cached. For any thread."""
        known, rows = self._opened
        if known is not cell:
            rows = {}
            for row in cell.rows if cell is not None else ():
                rows.setdefault(row.key[: self._width], []).append(row)
            self._opened = cell, rows
        return rows

    def newest(self, instrument: Entity, count: int) -> int | None:
        """The newest base start of an instrument among the first `count` cells."""
        found = [self._series[key].newest(count) for key in self.keys(instrument)]
        return max((start for start in found if start is not None), default=None)

    def oldest(self, instrument: Entity, count: int) -> int | None:
        """The oldest base start of an instrument among the first `count` cells."""
        found = [self._series[key].oldest(count) for key in self.keys(instrument)]
        return min((start for start in found if start is not None), default=None)

    def bars(
        self, key: Key, count: int, interval: Interval, low: int, high: int | None, limit: int, newest_first: bool
    ) -> dict[int, State]:
        """Bar start -> state of the first `count` cells: the first (or last) `limit` bars of [low, high)."""
        bars: dict[int, State] = {}
        for start, state in self._states(key, count, interval, low, high, newest_first):
            bar = interval.floor(start)
            known = bars.get(bar)
            if known is None and len(bars) == limit:
                break
            bars[bar] = state if known is None else self.merge(known, state)
        return bars

    def parts(self, key: Key, count: int, low: int, high: int) -> list[tuple[Cell, State]]:
        """What each of the first `count` cells gave to the starts in [low, high), in the chain's order."""
        series = self._series.get(key)
        found: dict[int, State] = {}
        for _, given in series.given(low, high) if series else ():
            for number, state in given:
                if number < count:
                    found[number] = self.merge(found[number], state) if number in found else state
        return [(self.cells[number], found[number]) for number in sorted(found)]

    def _states(
        self, key: Key, count: int, interval: Interval, low: int, high: int | None, newest_first: bool
    ) -> Iterator[tuple[int, State]]:
        series = self._series.get(key)
        if series is None:
            return
        if count == len(self.cells):
            yield from series.states(self.view.coarsest[interval.text], low, high, newest_first)
            return
        for start, given in series.given(low, high, newest_first):
            states = [state for number, state in given if number < count]
            if states:
                yield start, reduce(self.merge, states)

    def _advance(self) -> None:
        """Take the newest open cell, settle every cell that has a successor."""
        at = self.open_cell.start if self.open_cell else self.cut
        for cell in self._chain.walk(at):
            if self.open_cell is not None and self.open_cell.upto == cell.start:
                self._settle(self.open_cell)
            self.open_cell = cell
        self.end = self.open_cell.upto if self.open_cell else self.cut

    def _settle(self, cell: Cell) -> None:
        number = len(self.cells)
        self.cells.append(cell)
        for row in cell.rows:
            key, start, state = row
            known = self._series.get(key)
            if known is not None:
                known.add(number, start, state, self.merge, self._coarser)
                continue
            self._series[key] = Series(number, start, state)
            if self._keys is not None:
                self._keys.setdefault(key[: self._width], []).append(key)


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

    def keys(self, instrument: Entity) -> Iterable[Key]:
        """Every key of an instrument that may have rows here."""
        if not self.fold.view.rest:
            return (instrument,)
        with self.lock:
            found = set(self.fold.keys(instrument))
        return found.union([row.key for row in self._open_rows(instrument)])

    def newest(self, instrument: Entity) -> int | None:
        """The newest base start of an instrument."""
        with self.lock:
            settled = self.fold.newest(instrument, self.count)
        starts = [row.start for row in self._open_rows(instrument)]
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
        rows = self.fold.rows_of_open(self.open_cell)
        for instrument in rows.keys() & wanted if rows else ():
            starts = [row.start for row in rows[instrument]]
            known = found.get(instrument, ())
            found[instrument] = min([*known, *starts]), max([*known, *starts])
        return found

    def bars(
        self, key: Key, interval: Interval, low: int, high: int | None, limit: int, newest_first: bool
    ) -> dict[int, State]:
        """Bar start -> state: the first (or last) `limit` bars of [low, high), both bar starts, in no order.

        There may be more than `limit`; those that are too many are not whole and lie behind the limit.
        """
        with self.lock:
            found = self.fold.bars(key, self.count, interval, low, high, limit, newest_first)
        merge = self.fold.merge
        for row in self._rows_in(key, low, high):
            start = interval.floor(row.start)
            found[start] = merge(found[start], row.state) if start in found else row.state
        return found

    def parts(self, key: Key, low: int, high: int) -> list[tuple[Cell, State]]:
        """What each cell gave to the base starts in [low, high)."""
        with self.lock:
            found = self.fold.parts(key, self.count, low, high)
        states = [row.state for row in self._rows_in(key, low, high)]
        if states and self.open_cell is not None:
            found.append((self.open_cell, reduce(self.fold.merge, states)))
        return found

    def _open_rows(self, instrument: Entity) -> Sequence[Row]:
        return self.fold.rows_of_open(self.open_cell).get(instrument, ())

    def _rows_in(self, key: Key, low: int, high: int | None) -> list[Row]:
        """The open cell's rows of a key with a start in [low, high)."""
        rows = self._open_rows(key[: len(self.fold.view.entity)])
        return [row for row in rows if row.key == key and row.start >= low and (high is None or row.start < high)]
