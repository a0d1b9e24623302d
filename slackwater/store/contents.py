"""Ids with the contents of their events, in memory: sorted arrays, each at least twice as long as the next.

    add 1 id       [8] [4] [1] + [1]    ->    [8] [4] [2]
    find           one binary search in each array: their number is the logarithm of the ids'

24 bytes an id where it is an int64, 32 where it is a key of 16 bytes, however the ids arrive.
"""

from typing import Any

import numpy as np

from slackwater.streams.content import CONTENT


class Contents:
    """Ids of one kind, int64 or keys, with their contents."""

    def __init__(self) -> None:
        self._parts: list[tuple[Any, Any]] = []

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self._parts)

    def add(self, ids: Any, contents: Any) -> None:
        """Add ids, each once and none that is known."""
        order = np.argsort(ids, kind="stable")
        ids, contents = ids[order], contents[order]
        while self._parts and len(self._parts[-1][0]) < 2 * len(ids):
            more_ids, more_contents = self._parts.pop()
            ids, contents = np.concatenate([more_ids, ids]), np.concatenate([more_contents, contents])
            order = np.argsort(ids, kind="stable")
            ids, contents = ids[order], contents[order]
        self._parts.append((ids, contents))

    def find(self, ids: Any) -> tuple[Any, Any]:
        """Which of `ids` are known, and the contents of those that are (zeros for the others)."""
        found, contents = np.zeros(len(ids), bool), np.zeros(len(ids), CONTENT)
        for known, known_contents in self._parts:
            at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            hit = known[at] == ids
            found |= hit
            contents[hit] = known_contents[at[hit]]
        return found, contents
