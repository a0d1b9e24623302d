"""Which ids are missing where ids are dense: exactly, of what an archive and a chain hold.

    archived runs    [1 .. 99]      [103 .. 200]
    chain, by bar                                 201..203 (3)   204..209 (4)
    gaps                       100..102: 3                       205..208: 2, which of them is not known

A bar of the chain says its smallest and largest id and how many there are. Bars that overlap, since an id is older than
its neighbours by its time, are looked at together; where all of their span is there, it is a run. Where not, the number
that is missing is exact, and which they are is known once a batch run has read them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Gap(NamedTuple):
    """Of the ids first..last, both in it, `missing` are not there: all of them, or it is not known which."""

    first: int
    last: int
    missing: int

    @property
    def exact(self) -> bool:
        """Whether all of them are missing."""
        return self.missing == self.last - self.first + 1


class IdGaps:
    """The gaps of one entity, in order and apart from each other, between its `first` and `last` id."""

    def __init__(self, first: int | None, last: int | None, gaps: Sequence[Gap]) -> None:
        self.first = first
        self.last = last
        self.gaps = gaps
        self._lasts = [gap.last for gap in gaps]

    @property
    def missing(self) -> int:
        """How many ids are missing."""
        return sum(gap.missing for gap in self.gaps)

    def within(self, first: int, last: int) -> int:
        """How many ids are missing between first and last, and next to them: a gap between two bars is one of both."""
        count, at = 0, bisect_left(self._lasts, first - 1)
        while at < len(self.gaps) and self.gaps[at].first <= last + 1:
            count += self.gaps[at].missing
            at += 1
        return count


NO_GAPS = IdGaps(None, None, ())


def merged(firsts: Any, lasts: Any) -> tuple[Any, Any]:
    """Runs in order that do not touch, of runs in any order that may overlap; int64 arrays."""
    if not len(firsts):
        return firsts, lasts
    order = np.argsort(firsts, kind="stable")
    firsts, reached = firsts[order], np.maximum.accumulate(lasts[order])
    begins = np.r_[True, firsts[1:] > reached[:-1] + 1]
    return firsts[begins], reached[np.r_[begins[1:], True]]


def gaps_of(firsts: Any, lasts: Any, bars: Iterable[tuple[int, int, int]] = ()) -> IdGaps:
    """The gaps among runs in order that do not touch, and bars of ids that are in none of them: (smallest, largest,
    how many).
    """
    unclear, more = [], []
    for first, last, count in _together(bars):
        missing = last - first + 1 - count - _held(firsts, lasts, first, last)
        if missing > 0:
            unclear.append(Gap(first + 1, last - 1, missing))
        more.append((first, last))
    if more:
        added = np.array(more, np.int64)
        firsts, lasts = merged(np.r_[firsts, added[:, 0]], np.r_[lasts, added[:, 1]])
    if not len(firsts):
        return NO_GAPS
    begins, ends = (lasts[:-1] + 1).tolist(), (firsts[1:] - 1).tolist()
    known = [Gap(begin, end, end - begin + 1) for begin, end in zip(begins, ends, strict=True)]
    return IdGaps(int(firsts[0]), int(lasts[-1]), sorted([*known, *unclear]))


def _together(bars: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Bars that overlap as one."""
    found: list[tuple[int, int, int]] = []
    for first, last, count in sorted(bars):
        if found and first <= found[-1][1]:
            begin, end, before = found[-1]
            found[-1] = begin, max(end, last), before + count
        else:
            found.append((first, last, count))
    return found


def _held(firsts: Any, lasts: Any, first: int, last: int) -> int:
    """How many ids of first..last are in the runs."""
    low, high = np.searchsorted(lasts, first), np.searchsorted(firsts, last, side="right")
    if low >= high:
        return 0
    return int((np.minimum(lasts[low:high], last) - np.maximum(firsts[low:high], first) + 1).sum())
