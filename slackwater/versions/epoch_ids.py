"""The ids of one epoch of a stream, as the files that a version lists: runs of dense integers, and files of keys.

    archive/<epoch>/<stream>-ids.parquet      runs, and how many other ids each entity has that are new
    archive/<epoch>/<stream>-keys-<n>.ids     those others: each key once, and none that an older file has
    ...-ids-merged.parquet, ...-merged.ids    several of a kind as one, so that there are a logarithm of them

So the ids of an entity are counted by adding up what the files say, whichever of them were merged.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from slackwater.store.id_keys import SUFFIX, KeyFile, KeyIndex, merge_keys, mergeable, write_keys
from slackwater.store.id_runs import IdRuns, read_runs, write_runs
from slackwater.store.identities import Grouped, group_ids
from slackwater.streams.content import contents_of
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import StoredFile
from slackwater.versions.store import VersionStore

WAITING_KEYS = 2 * 1024 * 1024
"""Keys that wait in memory for their file, 36 bytes each."""


class EpochIds:
    """Collects ids while an epoch is written. `known` are the id files of the version that it comes to."""

    def __init__(self, stream: Stream, store: VersionStore, epoch: str, known: Iterable[StoredFile] = ()) -> None:
        self._stream = stream
        self._store = store
        self._folder = f"archive/{epoch}"
        self._before = open_keys(store, known)
        self._numbers: dict[Entity, int] = {}
        self._waiting: list[tuple[Any, Any, Any]] = []
        self._rows = 0
        self.runs = IdRuns()
        self.keys: list[StoredFile] = []

    def add(self, events: Any, grouped: Grouped | None = None) -> None:
        """Add the ids of a table of events; `grouped` are they, if at hand."""
        if not events.num_rows:
            return
        entities, groups = grouped or group_ids(self._stream, events)
        for entity, rows, ids in groups:
            if entity is not None:
                self.runs.add_ids(entity, ids)
                continue
            of = np.zeros(events.num_rows, np.int32)
            for name, mine in entities:
                of[mine] = self._numbers.setdefault(name, len(self._numbers))
            self._waiting.append((ids, contents_of(self._stream, events)[rows], of[rows]))
            self._rows += len(ids)
        if self._rows >= WAITING_KEYS:
            self.flush()

    def flush(self) -> None:
        """Write the keys that wait."""
        if not self._waiting:
            return
        keys, contents, of = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
        self._waiting, self._rows = [], 0
        keys, first = np.unique(keys, return_index=True)  # of a key that stands twice, the first
        new = np.flatnonzero(~self._before.find(keys)[0])
        if not len(new):
            return
        path = self._store.data.create(f"{self._folder}/{self._stream.name}-keys-{len(self.keys)}{SUFFIX}")
        file = self._store.stored(path, write_keys(path, keys[new], contents[first][new]))
        self.keys.append(file)
        self._before = KeyIndex([*self._before.files, key_file(self._store, file)])
        counts = np.bincount(of[first][new], minlength=len(self._numbers)).tolist()
        for entity, count in zip(self._numbers, counts, strict=True):
            if count:
                self.runs.others[entity] += count

    def finish(self) -> tuple[StoredFile, ...]:
        """The files of all that was added; none, if nothing was."""
        self.flush()
        if not self.runs.entities:
            return ()
        path = self._store.data.create(f"{self._folder}/{self._stream.name}-ids.parquet")
        return (self._store.stored(path, write_runs(self._stream, self.runs, path)), *self.keys)

    def abandon(self) -> None:
        """Remove what was written: the epoch begins anew."""
        for file in self.keys:
            self._store.data.remove(file.path)


def key_file(store: VersionStore, file: StoredFile) -> KeyFile:
    """An id file that holds keys, open."""
    return KeyFile(store.data.fetch(file), file.rows)


def open_keys(store: VersionStore, ids: Iterable[StoredFile]) -> KeyIndex:
    """The files of keys among a version's id files."""
    return KeyIndex(key_file(store, file) for file in ids if is_keys(file))


def is_keys(file: StoredFile) -> bool:
    """Whether an id file holds keys; the others hold runs."""
    return file.path.endswith(SUFFIX)


def merged_ids(stream: Stream, store: VersionStore, epoch: str, ids: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
    """The id files of a version, the small ones of each kind merged into one of this epoch where they are many."""
    keys = [file for file in ids if is_keys(file)]
    runs = [file for file in ids if not is_keys(file)]
    if count := mergeable([file.rows for file in keys]):
        store.check(keys[-count:])  # they are read without checksums: what flipped would be sealed anew
        path = store.data.create(f"archive/{epoch}/{stream.name}-keys-merged{SUFFIX}")
        rows = merge_keys([key_file(store, file) for file in keys[-count:]], path)
        keys = [*keys[:-count], store.stored(path, rows)]
    if count := mergeable([file.rows for file in runs]):
        path = store.data.create(f"archive/{epoch}/{stream.name}-ids-merged.parquet")
        rows = write_runs(stream, read_runs(stream, [file.checked(store.data.fetch) for file in runs[-count:]]), path)
        runs = [*runs[:-count], store.stored(path, rows)]
    return (*runs, *keys)
