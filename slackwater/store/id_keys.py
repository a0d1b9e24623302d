"""Which ids a stream has, exactly, where they are no dense integers: sorted files, and a filter of each in memory.

    <name>.ids     records of RECORD in order of their keys | the bits of a Bloom filter of the keys

A key is 128 bits of BLAKE2b over entity and id. The filter is all that stays in memory, 1.5 bytes an id: where it says
no, the id is new; where it says yes, the file itself is searched. Files are merged by size, so that there are at most
as many as the logarithm of the ids, and each id is written again that often.

    sizes    8 4 1  + 1     ->     8 4 2          8 4 2 + 3     ->     17
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from slackwater.store.bloom import Bloom, bloom_bytes
from slackwater.streams.content import CONTENT
from slackwater.streams.entities import Entity

KEY = np.dtype("S16")
RECORD = np.dtype([("key", KEY), ("content", CONTENT)])
"""32 bytes: the key of an id, and the content of its event."""

SUFFIX = ".ids"
SLICE_ROWS = 1_000_000
"""Records that a merge holds at once, about."""


def keys_of(entity: Entity, ids: Iterable[str]) -> Any:
    """The keys of ids of one entity, in order."""
    of = blake2b(repr(entity).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    found = b"".join([blake2b(one.encode(), digest_size=16, key=of).digest() for one in ids])
    return np.frombuffer(found, KEY)


class KeyFile:
    """One file, open for look-ups."""

    def __init__(self, path: Path, rows: int) -> None:
        self.rows = rows
        self.records: Any = np.asarray(np.memmap(path, RECORD, "r", shape=(rows,)))
        self._filter = Bloom(np.fromfile(path, np.uint8, offset=rows * RECORD.itemsize))

    @property
    def memory_bytes(self) -> int:
        """What it holds in memory; the file's own pages come and go."""
        return int(self._filter.bits.nbytes)

    def find(self, keys: Any) -> tuple[Any, Any]:
        """Which keys are there, and the contents of those that are (zeros for the others)."""
        found, contents = np.zeros(len(keys), bool), np.zeros(len(keys), CONTENT)
        maybe = np.flatnonzero(self._filter.maybe(keys))
        if len(maybe):
            at = np.minimum(np.searchsorted(self.records["key"], keys[maybe]), self.rows - 1)
            hit = self.records["key"][at] == keys[maybe]
            found[maybe] = hit
            contents[maybe[hit]] = self.records["content"][at[hit]]
        return found, contents


class KeyIndex:
    """All files of a stream. An id that two of them hold has the content of the first."""

    def __init__(self, files: Iterable[KeyFile] = ()) -> None:
        self.files = list(files)

    def __len__(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def memory_bytes(self) -> int:
        """What it holds in memory."""
        return sum(file.memory_bytes for file in self.files)

    def find(self, keys: Any) -> tuple[Any, Any]:
        """Which keys are there, and the contents of those that are (zeros for the others)."""
        found, contents = np.zeros(len(keys), bool), np.zeros(len(keys), CONTENT)
        for file in self.files:
            rest = np.flatnonzero(~found)
            if not len(rest):
                break
            here, those = file.find(keys[rest])
            found[rest], contents[rest] = here, those
        return found, contents


def write_keys(path: Path, keys: Any, contents: Any) -> int:
    """Write a file of keys, each once and at least one; its number of rows."""
    records = np.empty(len(keys), RECORD)
    order = np.argsort(keys, kind="stable")
    records["key"], records["content"] = keys[order], contents[order]
    return _write(path, [records], len(records))


def merge_keys(files: Sequence[KeyFile], path: Path) -> int:
    """Write what all of `files` hold into one; of a key that several hold the first file's record. Its rows.

    Keys are hashes, so equal ranges of them are about equal slices: a merge holds one slice of all files.
    """
    rows = sum(file.rows for file in files)
    slices = max(1, rows // SLICE_ROWS)
    edges = [(i * 2**64 // slices).to_bytes(8, "big") for i in range(1, slices)]
    bounds = [[0, *np.searchsorted(file.records["key"], np.array(edges, KEY)).tolist(), file.rows] for file in files]
    merged = (
        _first_of(np.concatenate([file.records[b[i] : b[i + 1]] for file, b in zip(files, bounds, strict=True)]))
        for i in range(slices)
    )
    return _write(path, merged, rows)


def without_keys(file: KeyFile, gone: Any, path: Path) -> int | None:
    """Write what a file holds without the keys in `gone`; its rows, None if it holds none of them.

    Nothing is written where nothing is left.
    """
    bounds = [*range(0, file.rows, SLICE_ROWS), file.rows]
    slices = [file.records[low:high] for low, high in pairwise(bounds)]
    left = file.rows - sum(int(np.isin(records["key"], gone).sum()) for records in slices)
    if left == file.rows:
        return None
    if left:
        _write(path, (records[~np.isin(records["key"], gone)] for records in slices), left)
    return left


def mergeable(rows: Sequence[int]) -> int:
    """How many of the last files should become one, for each file to be at least twice as long as the next."""
    total, count = 0, 0
    for size in reversed(rows):
        if count and size >= 2 * total:
            break
        total, count = total + size, count + 1
    return count if count > 1 else 0


def _first_of(records: Any) -> Any:
    """Records in order of their keys, each key once."""
    records = records[np.argsort(records["key"], kind="stable")]
    first = np.ones(len(records), bool)
    first[1:] = records["key"][1:] != records["key"][:-1]
    return records[first]


def _write(path: Path, slices: Iterable[Any], most: int) -> int:
    rows = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    bits = Bloom(np.zeros(bloom_bytes(most), np.uint8))
    with path.open("xb") as file:
        for records in slices:
            bits.add(records["key"])
            rows += len(records)
            file.write(records.tobytes())
        file.write(bits.bits.tobytes())
    return rows
