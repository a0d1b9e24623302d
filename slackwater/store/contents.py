"""Ids with the contents of their events, in memory: sorted arrays, each at least twice as long as the next.

    add 1 id       [8] [4] [1] + [1]    ->    [8] [4] [2]
    add 9 after 8  [1 .. 8] + [9]       ->    [1 .. 9]          in place: mostly ids rise
    find           one binary search in each array: their number is the logarithm of the ids'

24 bytes an id where it is an int64, 32 where it is a key of 16 bytes, however the ids arrive.
"""

from typing import Any

import numpy as np

from slackwater.streams.content import CONTENT


class Contents:
    """Ids of one kind, int64 or keys, with their contents."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def __len__(self) -> int:
        return sum(part.rows for part in self._parts)

    def add(self, ids: Any, contents: Any) -> None:
        """Add ids, each once and none that is known."""
        if ids.dtype != np.int64 or not rising(ids):
            order = np.argsort(ids, kind="stable")
            ids, contents = ids[order], contents[order]
        elif self._parts and self._parts[-1].ids[-1] < ids[0]:
            self._parts[-1].extend(ids, contents)
            self._keep_order()
            return
        self._parts.append(_Part(ids, contents))
        self._keep_order()

    def find(self, ids: Any) -> tuple[Any, Any]:
        """Which of `ids` are known, and the contents of those that are (zeros for the others)."""
        found, contents = np.zeros(len(ids), bool), np.zeros(len(ids), CONTENT)
        if not len(ids):
            return found, contents
        low, high = (ids.min(), ids.max()) if ids.dtype == np.int64 else (None, None)
        for part in self._parts:
            known = part.ids
            if low is not None and (high < known[0] or known[-1] < low):
                continue  # what comes is newer than what is known, mostly
            at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            hit = known[at] == ids
            found |= hit
            contents[hit] = part.contents[at[hit]]
        return found, contents

    def runs(self) -> tuple[Any, Any]:
        """The first and last ids of runs of integers that are known, as two arrays; two runs may touch."""
        firsts, lasts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for part in self._parts:
            breaks = np.flatnonzero(np.diff(part.ids) != 1)
            firsts.append(part.ids[np.r_[0, breaks + 1]])
            lasts.append(part.ids[np.r_[breaks, part.rows - 1]])
        return np.concatenate(firsts), np.concatenate(lasts)

    def _keep_order(self) -> None:
        while len(self._parts) > 1 and self._parts[-2].rows < 2 * self._parts[-1].rows:
            last, before = self._parts.pop(), self._parts.pop()
            ids, contents = np.concatenate([before.ids, last.ids]), np.concatenate([before.contents, last.contents])
            order = np.argsort(ids, kind="stable")
            self._parts.append(_Part(ids[order], contents[order]))


class _Part:
    """One sorted array, with room to grow behind it."""

    def __init__(self, ids: Any, contents: Any) -> None:
        self._ids = ids
        self._contents = contents
        self.rows = len(ids)

    @property
    def ids(self) -> Any:
        return self._ids[: self.rows]

    @property
    def contents(self) -> Any:
        return self._contents[: self.rows]

    def extend(self, ids: Any, contents: Any) -> None:
        """Add ids that are larger than all that are here."""
        rows = self.rows + len(ids)
        if rows > len(self._ids):  # what nobody wrote to takes no memory
            room = np.empty(2 * rows, self._ids.dtype), np.empty(2 * rows, self._contents.dtype)
            room[0][: self.rows], room[1][: self.rows] = self.ids, self.contents
            self._ids, self._contents = room
        self._ids[self.rows : rows], self._contents[self.rows : rows] = ids, contents
        self.rows = rows


def rising(ids: Any) -> bool:
    """Whether each id is larger than the one before it."""
    return bool((ids[1:] > ids[:-1]).all())
