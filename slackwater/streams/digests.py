"""What is known of trade ids by content: id -> a 64-bit digest of time, price, quantity and side.

Two contents of one id have the same digest with a chance of 2^-64. A `Digests` takes 16 bytes an id, however the ids
arrive: it keeps sorted arrays, each at least twice as long as the next, and merges the short ones.

    add 1 id       [8] [4] [1] + [1]    ->    [8] [4] [2]
    find           one binary search in each array: their number is the logarithm of the ids'
"""

from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.streams.rows import units
from slackwater.streams.stream import Stream

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's multipliers
_STEP = np.uint64(0x9E3779B97F4A7C15)


def content_digests(stream: Stream, events: pa.Table) -> Any:
    """The digest of each event's content, without its id; a uint64 array."""
    sides = events.column("side").to_numpy() == "buy"
    parts = [
        events.column("time").to_numpy(),
        units(events.column("price").combine_chunks()),
        units(events.column("quantity").combine_chunks()),
        sides.astype(np.int64),
    ]
    digest = np.zeros(events.num_rows, np.uint64)
    for part in parts:
        digest = _mixed((digest ^ part.astype(np.uint64)) + _STEP)
    return digest


def _mixed(words: Any) -> Any:
    words = (words ^ (words >> np.uint64(30))) * _MIX[0]
    words = (words ^ (words >> np.uint64(27))) * _MIX[1]
    return words ^ (words >> np.uint64(31))


class Digests:
    """Ids of one instrument with the digests of their contents."""

    def __init__(self) -> None:
        self._parts: list[tuple[Any, Any]] = []

    def __len__(self) -> int:
        return sum(len(ids) for ids, _ in self._parts)

    def add(self, ids: Any, digests: Any) -> None:
        """Add ids, each once and none that is known."""
        order = np.argsort(ids, kind="stable")
        ids, digests = ids[order], digests[order]
        while self._parts and len(self._parts[-1][0]) < 2 * len(ids):
            more_ids, more_digests = self._parts.pop()
            ids, digests = np.concatenate([more_ids, ids]), np.concatenate([more_digests, digests])
            order = np.argsort(ids, kind="stable")
            ids, digests = ids[order], digests[order]
        self._parts.append((ids, digests))

    def find(self, ids: Any) -> tuple[Any, Any]:
        """Which of `ids` are known, and the digests of those that are (0 for the others)."""
        found = np.zeros(len(ids), bool)
        digests = np.zeros(len(ids), np.uint64)
        for known, known_digests in self._parts:
            at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
            hit = known[at] == ids
            found |= hit
            digests[hit] = known_digests[at[hit]]
        return found, digests
