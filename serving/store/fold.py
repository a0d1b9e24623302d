"""The fold of a chain: its cells from one cut on, merged per key and start, ready to be read at any interval.

    chain     [0,256) [256,512) [512,530)
    cells     [0,256) [256,512)              settled: each has a successor, so it cannot grow; folded once
    open cell                   [512,530)    may still grow; never folded, merged on top of a read

Besides the folded states it keeps where each came from (which cell gave which state to which start,
`serving.store.series`). So the answer of any earlier end of the chain can be given again, and a bar can be taken apart
into its deltas.

Not thread safe: the hot store holds one lock over it.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import reduce

from serving.store.directory import Entity, entity_of
from serving.store.series import Series
from slackwater.deltas.cell import Cell, DeltaKey
from slackwater.deltas.chain import Chain
from slackwater.views.interval import Interval
from slackwater.views.levels import coarsest_published
from slackwater.views.merge import State, merger
from slackwater.views.view import View

Key = tuple[str | int, ...]


class Fold:
    """The chain of one delta key from `cut` on."""

    def __init__(self, view: View, delta_key: DeltaKey, cut: int, chain: Chain) -> None:
        self.view = view
        self.delta_key = delta_key
        self.cut = cut
        self.cells: list[Cell] = []
        self.open_cell: Cell | None = None
        self._chain = chain
        self._merge = merger(view)
        self._coarser = view.intervals[1:]
        self._series: dict[Key, Series] = {}
        self._keys: dict[Entity, list[Key]] | None = {} if view.rest else None
        self._advance()

    @property
    def end(self) -> int:
        """The chain's end: what is applied."""
        return self.open_cell.upto if self.open_cell else self.cut

    @property
    def complete(self) -> bool:
        """Whether no cell beyond the end is known."""
        return self._chain.complete(self.end)

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
            bars[bar] = state if known is None else self._merge(known, state)
        return bars

    def parts(self, key: Key, count: int, low: int, high: int) -> list[tuple[Cell, State]]:
        """What each of the first `count` cells gave to the starts in [low, high), in the chain's order."""
        series = self._series.get(key)
        found: dict[int, State] = {}
        for _, given in series.given(low, high) if series else ():
            for number, state in given:
                if number < count:
                    found[number] = self._merge(found[number], state) if number in found else state
        return [(self.cells[number], found[number]) for number in sorted(found)]

    def _states(
        self, key: Key, count: int, interval: Interval, low: int, high: int | None, newest_first: bool
    ) -> Iterator[tuple[int, State]]:
        series = self._series.get(key)
        if series is None:
            return
        if count == len(self.cells):
            yield from series.states(coarsest_published(self.view, interval), low, high, newest_first)
            return
        for start, given in series.given(low, high, newest_first):
            states = [state for number, state in given if number < count]
            if states:
                yield start, reduce(self._merge, states)

    def _advance(self) -> None:
        """Take the newest open cell, settle every cell that has a successor."""
        at = self.open_cell.start if self.open_cell else self.cut
        for cell in self._chain.walk(at):
            if self.open_cell is not None and self.open_cell.upto == cell.start:
                self._settle(self.open_cell)
            self.open_cell = cell

    def _settle(self, cell: Cell) -> None:
        number = len(self.cells)
        self.cells.append(cell)
        for row in cell.rows:
            key, start, state = row
            known = self._series.get(key)
            if known is not None:
                known.add(number, start, state, self._merge, self._coarser)
                continue
            self._series[key] = Series(number, start, state)
            if self._keys is not None:
                self._keys.setdefault(entity_of(self.view, row), []).append(key)
