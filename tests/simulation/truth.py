"""The oracle of the simulation: `verify.oracle`, shown exactly the records that an answer says it stands on.

An oracle only grows, so the one of each (interval, branches) is kept and shown what is new; where fewer records are
asked for than it was shown, it begins again.
"""

from collections.abc import Mapping
from typing import Any

from slackwater.log.mark import mark_of
from slackwater.streams.trades import TRADES
from slackwater.views.view import View
from tests import bars_oracle
from tests.simulation.log import Branch
from tests.simulation.past import Standing
from verify.definition import read_stream, read_view
from verify.oracle import Oracle

LATE_MS = 2_000_000_000_000
"""When history was imported, for the oracle: after every event."""


class Truth:
    """Bars recomputed from raw records."""

    def __init__(self) -> None:
        self._cached: dict[tuple[Any, ...], tuple[Oracle, dict[int, int], Mapping[int, Branch]]] = {}

    def oracle(
        self,
        view: View,
        interval_us: int,
        branches: Mapping[int, Branch],
        uptos: Mapping[int, int],
        standing: Standing,
    ) -> Oracle:
        """An oracle that was shown each partition's records below `uptos`, without what is gone, and what was imported;
        of trades it is that of bars.
        """
        of = view.stream.name if view.stream == TRADES else view.definition
        name = of, interval_us, tuple(sorted((p, id(branches[p])) for p in uptos)), standing.number
        oracle, shown, _ = self._cached.get(name, (None, {}, {}))
        counts = {p: _count_below(branches[p], upto) for p, upto in uptos.items()}
        if oracle is None or any(counts[p] < shown[p] for p in counts):
            oracle, shown = _oracle(view, interval_us), dict.fromkeys(uptos, 0)
            for line in standing.imported:
                oracle.record(line, LATE_MS)
        for p, count in counts.items():
            for record in branches[p].records[shown[p] : count]:
                if mark_of(record) is None:
                    oracle.record(record.value, record.append_time_ms, standing.gone.get((p, record.offset), ()))
        self._cached[name] = oracle, counts, {p: branches[p] for p in uptos}
        return oracle

    def rows(
        self,
        view: View,
        entity: tuple[str, ...],
        interval_us: int,
        branches: Mapping[int, Branch],
        uptos: Mapping[int, int],
        standing: Standing,
    ) -> list[dict[str, object]]:
        """The rows of one entity; of a view over trades the bars."""
        name = "bars" if view.stream == TRADES else view.definition
        return self.oracle(view, interval_us, branches, uptos, standing).rows(name, entity, interval_us)


def _oracle(view: View, interval_us: int) -> Oracle:
    if view.stream == TRADES:
        return bars_oracle.Oracle([interval_us])
    return Oracle(read_stream(view.stream), [read_view(view)], interval_us)


def _count_below(branch: Branch, upto: int) -> int:
    records = branch.records
    count = len(records)
    while count and records[count - 1].offset >= upto:
        count -= 1
    return count
