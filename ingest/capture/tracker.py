"""The ids of one symbol that were heard: which are missing, and since when. Pure: times are handed in.

    heard     1 2 3     7 8        ->  missing 4..6, from when 7 was heard
    heard         4                ->  missing 5..6
    given up          5..6         ->  lost 5..6: the venue has been asked, and has none

A first id has nothing before it; so what is known from before is handed in where there is something. Ids below the
first one that is known are taken as they are: nobody said that they were to be had.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.feeds.feed import Hole


@dataclass
class Missing:
    """Ids first..last, noticed at `since_s`. The times are those of the trades beside them, in microseconds."""

    first: int
    last: int
    since_s: float
    after_us: int | None = None
    before_us: int | None = None
    lost: bool = False

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first + 1


class Tracker:
    """Of one symbol. Not thread safe."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.last: int | None = None
        self.last_us: int | None = None
        self.heard = 0
        self.holes: list[Missing] = []

    def know(self, last: int, holes: Iterable[tuple[int, int]], now_s: float) -> None:
        """What is known from before the first id was heard: the newest id, and the holes below it."""
        self.last = last
        self.holes = [Missing(first, end, now_s) for first, end in sorted(holes)]

    def hear(self, number: int, time_us: int, now_s: float) -> bool:
        """An id that a trade has, or that none has; whether it is new."""
        self.heard += 1
        if self.last is None or number > self.last:
            if self.last is not None and number > self.last + 1:
                self.holes.append(Missing(self.last + 1, number - 1, now_s, self.last_us, time_us))
            elif self.holes and self.holes[-1].last == self.last:
                self.holes[-1].before_us = time_us  # it was known from `newest` alone
            self.last, self.last_us = number, time_us
            return True
        return self._close(number, time_us)

    def newest(self, number: int, now_s: float) -> None:
        """The venue has given this id, heard or not."""
        if self.last is not None and number > self.last:
            self.holes.append(Missing(self.last + 1, number, now_s, self.last_us))
            self.last, self.last_us = number, None

    def due(self, now_s: float, grace_s: float) -> list[Hole]:
        """The holes that have stood for so long and are not given up."""
        return [
            Hole(self.symbol, one.first, one.last, one.after_us, one.before_us)
            for one in self.holes
            if not one.lost and now_s - one.since_s >= grace_s
        ]

    def lose(self, first: int, last: int) -> int:
        """Give up what is still missing of first..last; how many ids that are."""
        count = 0
        for at, one in enumerate(list(self.holes)):
            del at
            if one.lost or one.last < first or one.first > last:
                continue
            self.holes.remove(one)
            low, high = max(first, one.first), min(last, one.last)
            parts = [(one.first, low - 1, False), (low, high, True), (high + 1, one.last, False)]
            for begin, end, lost in parts:
                if begin <= end:
                    self._insert(Missing(begin, end, one.since_s, one.after_us, one.before_us, lost))
            count += high - low + 1
        return count

    @property
    def missing(self) -> int:
        """How many ids are missing and not given up."""
        return sum(one.count for one in self.holes if not one.lost)

    @property
    def lost(self) -> Sequence[Missing]:
        """What was given up."""
        return [one for one in self.holes if one.lost]

    def _close(self, number: int, time_us: int) -> bool:
        at = bisect_left(self.holes, number, key=lambda one: one.last)
        if at == len(self.holes) or number < self.holes[at].first:
            return False
        one = self.holes.pop(at)
        if number < one.last:
            self._insert(Missing(number + 1, one.last, one.since_s, time_us, one.before_us, one.lost))
        if one.first < number:
            self._insert(Missing(one.first, number - 1, one.since_s, one.after_us, time_us, one.lost))
        return True

    def _insert(self, one: Missing) -> None:
        self.holes.insert(bisect_left(self.holes, one.first, key=lambda each: each.first), one)
