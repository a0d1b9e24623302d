"""The directory of a view: the partitions that hold cells of each instrument, and the instruments in order.

Not thread safe: the hot store holds its lock over it, but for `of`, which is one look into a dictionary.
"""

from bisect import bisect_left

from slackwater.views.rows import Row

Instrument = tuple[str, ...]


def instrument_of(row: Row) -> Instrument:
    """The instrument of a row: its key begins with it."""
    return row.key[:2]  # type: ignore[return-value]


class Directory:
    """Grows only. Instruments that came since the last look at the order are sorted in by the next one."""

    def __init__(self) -> None:
        self._where: dict[Instrument, frozenset[int]] = {}
        self._sets: dict[frozenset[int], frozenset[int]] = {}
        self._ordered: list[Instrument] = []
        self._fresh: list[Instrument] = []

    def put(self, instrument: Instrument, partition: int) -> bool:
        """Note that a partition holds cells of an instrument; whether that is new."""
        known = self._where.get(instrument)
        if known is not None and partition in known:
            return False
        if known is None:
            self._fresh.append(instrument)
        found = frozenset((partition, *(known or ())))
        self._where[instrument] = self._sets.setdefault(found, found)  # there are few different ones
        return True

    def of(self, instrument: Instrument) -> frozenset[int]:
        """The partitions that hold cells of an instrument."""
        return self._where.get(instrument, frozenset())

    def page(self, low: Instrument, high: Instrument | None, most: int) -> dict[Instrument, frozenset[int]]:
        """The first `most` instruments in [low, high), in order, with their partitions."""
        if self._fresh:
            self._ordered += self._fresh
            self._ordered.sort()  # mostly in order already
            self._fresh.clear()
        first = bisect_left(self._ordered, low)
        last = len(self._ordered) if high is None else bisect_left(self._ordered, high)
        return {instrument: self._where[instrument] for instrument in self._ordered[first : min(last, first + most)]}

    def __len__(self) -> int:
        return len(self._where)
