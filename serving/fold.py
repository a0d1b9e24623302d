"""The fold of a chain: its cells from one cut on, merged per key and start, ready to be read at any interval.

    chain     [0,256) [256,512) [512,530)
    cells     [0,256) [256,512)              settled: each has a successor, so it cannot grow; folded once
    tip                         [512,530)    may still grow; never folded, merged on top of a read

Besides the folded states it keeps where each came from (which cell gave which state to which start). So the answer of
any earlier end of the chain can be given again, and a bar can be taken apart into its deltas.

    parts[key][start] = [(0, state), (1, state)]     the numbers of the settled cells that touched this start

Not thread safe: the hot store holds one lock over it.
"""

from bisect import bisect_left

from event_log.cell import Cell, Lane
from event_log.chain import Chain
from serving.series import Series
from views.interval import PUBLISHED_INTERVALS, Interval, coarsest_published
from views.merge import State, merger
from views.view import View

Key = tuple[str, ...]
Instrument = tuple[str, ...]
_BASE = PUBLISHED_INTERVALS[0]


class Fold:
    """The chain of one lane from `cut` on."""

    def __init__(self, view: View, lane: Lane, cut: int, chain: Chain) -> None:
        self.view = view
        self.lane = lane
        self.cut = cut
        self.cells: list[Cell] = []
        self.tip: Cell | None = None
        self._chain = chain
        self._merge = merger(view)
        self._levels: dict[int, dict[Key, Series]] = {interval.us: {} for interval in PUBLISHED_INTERVALS}
        self._parts: dict[Key, dict[int, list[tuple[int, State]]]] = {}
        self._keys: dict[Instrument, dict[Key, None]] = {}
        self._newest: dict[Instrument, list[tuple[int, int]]] = {}
        self._advance()

    @property
    def end(self) -> int:
        """The chain's end: what is applied."""
        return self.tip.upto if self.tip else self.cut

    @property
    def complete(self) -> bool:
        """Whether no cell beyond the end is known."""
        return self._chain.complete(self.end)

    def take(self, cell: Cell) -> bool:
        """Follow the chain after it took `cell`; False if a settled cell was replaced, so that a new fold is needed."""
        settled_end = self.tip.start if self.tip else self.cut
        if cell.start >= settled_end:
            self._advance()
            return True
        at = bisect_left(self.cells, cell.start, key=lambda known: known.start)
        return at == len(self.cells) or self.cells[at].start != cell.start

    def count_at(self, end: int) -> tuple[int, int]:
        """How many settled cells end at or below `end`, and where the last of them ends."""
        count = bisect_left(self.cells, end + 1, key=lambda cell: cell.upto)
        return count, self.cells[count - 1].upto if count else self.cut

    def keys(self, instrument: Instrument) -> list[Key]:
        """The settled keys of an instrument."""
        return list(self._keys.get(instrument, ()))

    def instruments(self) -> list[Instrument]:
        """The settled instruments."""
        return list(self._keys)

    def newest(self, instrument: Instrument, count: int) -> int | None:
        """The newest base start of an instrument among the first `count` cells."""
        steps = self._newest.get(instrument, ())
        at = bisect_left(steps, count, key=lambda step: step[0])
        return steps[at - 1][1] if at else None

    def oldest(self, key: Key, count: int) -> int | None:
        """The oldest base start of a key among the first `count` cells."""
        series = self._levels[_BASE.us].get(key)
        of_parts = self._parts.get(key, {})
        return next((start for start in series.starts if of_parts[start][0][0] < count), None) if series else None

    def bars(
        self, key: Key, count: int, interval: Interval, low: int, high: int | None, limit: int, newest_first: bool
    ) -> dict[int, State]:
        """Bar start -> state of the first `count` cells: the first (or last) `limit` bars of [low, high)."""
        whole = count == len(self.cells)
        level = coarsest_published(interval) if whole else _BASE
        series = self._levels[level.us].get(key)
        bars: dict[int, State] = {}
        for start in series.between(low, high, newest_first) if series else ():
            state = series.states[start] if whole else self._state_upto(key, start, count)  # type: ignore[union-attr]
            if state is None:
                continue
            bar = interval.floor(start)
            known = bars.get(bar)
            if known is None and len(bars) == limit:
                break
            bars[bar] = state if known is None else self._merge(known, state)
        return bars

    def parts(self, key: Key, count: int, low: int, high: int) -> list[tuple[Cell, State]]:
        """What each of the first `count` cells gave to the starts in [low, high), in the chain's order."""
        series = self._levels[_BASE.us].get(key)
        found: dict[int, State] = {}
        for start in series.between(low, high, False) if series else ():
            for number, state in self._parts[key][start]:
                if number < count:
                    found[number] = self._merge(found[number], state) if number in found else state
        return [(self.cells[number], found[number]) for number in sorted(found)]

    def _state_upto(self, key: Key, start: int, count: int) -> State | None:
        total: State | None = None
        for number, state in self._parts[key][start]:
            if number < count:
                total = state if total is None else self._merge(total, state)
        return total

    def _advance(self) -> None:
        """Take the newest tip, settle every cell that has a successor."""
        at = self.tip.start if self.tip else self.cut
        for cell in self._chain.walk(at):
            if self.tip is not None and self.tip.upto == cell.start:
                self._settle(self.tip)
            self.tip = cell

    def _settle(self, cell: Cell) -> None:
        number = len(self.cells)
        self.cells.append(cell)
        for key, start, state in cell.rows:
            instrument = key[:2]
            self._keys.setdefault(instrument, {})[key] = None
            steps = self._newest.setdefault(instrument, [])
            if not steps or start > steps[-1][1]:
                steps.append((number, start))
            self._parts.setdefault(key, {}).setdefault(start, []).append((number, state))
            for interval in PUBLISHED_INTERVALS:
                level = self._levels[interval.us]
                if key not in level:
                    level[key] = Series()
                level[key].add(interval.floor(start), state, self._merge)
