"""The stand-in for what proofs and audits compare with, a DuckDB session each: the same files, compared in Python."""

from collections import Counter
from collections.abc import Iterable, Sequence

from batch_layer.comparison import FIRST, Compared, Comparison, Side
from batch_layer.ranges import Times
from slackwater.deltas.cell import DeltaKey
from slackwater.store.files import Locate
from slackwater.versions.manifest import ArchiveFile, Part
from slackwater.versions.proof import Difference
from slackwater.views.compare import explain
from slackwater.views.interval import PUBLISHED_INTERVALS, Interval
from slackwater.views.rows import Row
from slackwater.views.view import View
from tests.simulation.light import merged, rows_in, rows_of_events


class LightComparison(Comparison):
    """See the module."""

    def __init__(self, fetch: Locate, *more: object) -> None:
        del more
        self.compared = Compared()
        self._fetch = fetch
        self._rows: dict[DeltaKey, list[Row]] = {}

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def add(self, delta_key: DeltaKey, view: View, rows: Iterable[Row]) -> None:
        self._rows.setdefault(delta_key, []).extend(rows)

    def base(self, view: View, sides: Sequence[Side]) -> None:
        base = PUBLISHED_INTERVALS[0]
        for side in sides:
            rows = [*self._of(view, side.parent), *self._rows.get(side.delta_key, ())]
            for entry in side.imported:
                rows += rows_of_events(self._fetch(entry.file), view, (view,))
            shard = side.delta_key.partition
            self._differing(view, base, shard, merged(view, rows, base), self._of(view, side.own))

    def coarser(self, view: View, parts: Iterable[Part]) -> None:
        parts = list(parts)
        for shard in sorted({part.shard for part in parts}):
            levels = [
                [part for part in parts if (part.shard, part.interval) == (shard, interval.text)]
                for interval in PUBLISHED_INTERVALS
            ]
            for interval, finer, own in zip(PUBLISHED_INTERVALS[1:], levels, levels[1:], strict=False):
                expected = merged(view, self._of(view, finer), interval)
                self._differing(view, interval, shard, expected, self._of(view, own))

    def archived(self, view: View, shard: int, parts: Sequence[Part], events: Sequence[ArchiveFile], of: Times) -> None:
        rows = [row for entry in events for row in rows_of_events(self._fetch(entry.file), view, (view,))]
        base = PUBLISHED_INTERVALS[0]
        self._differing(view, base, shard, _within(merged(view, rows, base), of), self._found(view, base, parts, of))

    def merged(self, view: View, interval: Interval, parts: Sequence[Part], finer: Sequence[Part], of: Times) -> None:
        shard = next((part.shard for part in (*parts, *finer)), 0)
        expected = merged(view, _within(self._of(view, finer), of), interval)
        self._differing(view, interval, shard, expected, self._found(view, interval, parts, of))

    def _found(self, view: View, interval: Interval, parts: Sequence[Part], of: Times) -> list[Row]:
        return merged(view, _within(self._of(view, parts), of), interval)

    def _of(self, view: View, files: Sequence[Part]) -> list[Row]:
        return [row for file in files for row in rows_in(self._fetch(file.file), view)]

    def _differing(self, view: View, interval: Interval, shard: int, expected: list[Row], found: list[Row]) -> None:
        compared = self.compared
        compared.states += max(len(expected), len(found))
        if expected == found:
            return
        ours, theirs = Counter(expected), Counter(found)
        places = {(row.key, row.start) for row in [*(ours - theirs), *(theirs - ours)]}
        compared.differ += len(places)
        rows = [[row for row in side if (row.key, row.start) in places] for side in (expected, found)]
        told = [Difference(view.name, interval.text, shard, *each) for each in explain(view, *rows)]
        compared.first += told[: FIRST - len(compared.first)]


def _within(rows: Iterable[Row], of: Times) -> list[Row]:
    return [row for row in rows if of.low <= row.start < of.high]
