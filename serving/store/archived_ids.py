"""The ids that a version's archive holds of venues whose ids are dense, as runs: read when somebody asks for gaps.

A version shares its files of ids with the one before, but for a few; so do the answers: runs are kept by the files that
they were read from. Venues whose ids are not dense may have a run a trade; of those nothing is read.
"""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from slackwater.core.checked_files import open_checked
from slackwater.store.files import Locate
from slackwater.store.gaps import merged
from slackwater.store.id_runs import runs_schema
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.epoch_ids import is_keys
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import Manifest, StoredFile

Runs = Mapping[Entity, tuple[Any, Any]]
"""Entity -> the first and last ids of its runs, in order and apart, as int64 arrays."""

KEPT = 4
"""So many versions' runs stay in memory."""


class ArchivedIds:
    """Of every stream and version. Thread safe. `fetch` gives a file's place."""

    def __init__(self, inspector: Inspector, fetch: Locate) -> None:
        self._inspector = inspector
        self._fetch = fetch
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, ...], Runs] = OrderedDict()
        self._files: dict[str, dict[str, Runs]] = {}

    def of(self, manifest: Manifest, stream: Stream) -> Runs:
        """The runs of a version. Blocks.

        Raises:
            DamagedFileError, OSError: a file is damaged or gone.
        """
        files = [file for file in manifest.ids_of(stream) if not is_keys(file)]
        name = (stream.name, *(file.sha256 for file in files))
        with self._lock:
            found = self._known.get(name)
            if found is None:
                found = self._known[name] = self._read(stream, files)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(name)
            return found

    def _read(self, stream: Stream, files: list[StoredFile]) -> Runs:
        self._inspector.check(files)
        known, apart = self._files.get(stream.name, {}), dict[str, Runs]()
        for file in files:
            kept = known.get(file.sha256)
            apart[file.sha256] = self._of_file(stream, file) if kept is None else kept
        self._files[stream.name] = apart
        together: dict[Entity, list[tuple[Any, Any]]] = {}
        for runs in apart.values():
            for entity, of in runs.items():
                together.setdefault(entity, []).append(of)
        return {
            entity: merged(*(np.concatenate(ends) for ends in zip(*of, strict=True))) for entity, of in together.items()
        }

    def _of_file(self, stream: Stream, file: StoredFile) -> Runs:
        venues = stream.dense_venues
        if not venues:
            return {}
        with open_checked(file.checked(self._fetch)) as source:
            table = pq.read_table(source, schema=runs_schema(stream), filters=[(stream.entity[0], "in", venues)])
        table = table.filter(table.column("first").is_valid())
        found: dict[Entity, list[tuple[int, int]]] = {}
        for *entity, first, last, _ in zip(*(column.to_pylist() for column in table.columns), strict=True):
            found.setdefault(tuple(entity), []).append((first, last))
        return {
            entity: merged(*(np.array(ends, np.int64) for ends in zip(*of, strict=True)))
            for entity, of in found.items()
        }
