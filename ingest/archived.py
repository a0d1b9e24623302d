"""What the master dataset knows of a stream's ids: which there are, and the contents of those asked for.

Dense integers stand in runs in memory, and their contents on disk in the archive, read by id, since only an id that
comes again asks for one. All other ids stand in files with their contents (`slackwater.store.id_keys`). Not here: what
is known since the cut (`slackwater.store.contents`), who asks (`ingest.known`).
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.errors import ArchiveGapError
from slackwater.core.checked_files import damage_in
from slackwater.store.id_index import IdIndex
from slackwater.store.id_keys import KeyIndex
from slackwater.store.id_runs import IdRuns
from slackwater.streams.content import CONTENT, contents_of, same
from slackwater.streams.entities import Entity
from slackwater.streams.stream import Stream
from slackwater.versions.inspector import Inspector
from slackwater.versions.manifest import StoredFile
from slackwater.views.session import connect, files_sql


class Archived(IdIndex):
    """The ids of one version. `files` are (partition, file) pairs; each is inspected before it is read."""

    def __init__(
        self,
        stream: Stream,
        runs: IdRuns,
        keys: KeyIndex,
        files: Iterable[tuple[int, StoredFile]],
        inspector: Inspector,
        partition_of: Callable[[Entity], int],
    ) -> None:
        self._stream = stream
        super().__init__(runs, keys)
        self.entities: Collection[Entity] = runs.entities
        self._files = list(files)
        self._inspector = inspector
        self._partition_of = partition_of
        self._con: duckdb.DuckDBPyConnection | None = None

    def compare(self, entity: Entity | None, ids: Any, contents: Any) -> tuple[Any, Any]:
        """Which of `ids` are there, and which of those with that content.

        Raises:
            ArchiveGapError: no file holds one of the ids that are there.
            DamagedFileError, OSError: a file is gone, or not what the manifest says.
        """
        if entity is None:
            held, found = self.keys.find(ids)
            return held, held & same(found, contents)
        held = self.holds(entity, ids)
        equal = np.zeros(len(ids), bool)
        if held.any():
            equal[held] = _any_same(*self._contents(entity, ids[held]), ids[held], contents[held])
        return held, equal

    def close(self) -> None:
        """Release the session."""
        if self._con is not None:
            self._con.close()

    def _contents(self, entity: Entity, ids: Any) -> tuple[Any, Any]:
        """Ids and contents of the events of these ids.

        The partition's own files are asked first; the others only for what those lack (partitions were added since).
        """
        partition = self._partition_of(entity)
        known = self._read([file for of, file in self._files if of == partition], entity, ids)
        missing = np.setdiff1d(ids, known[0])
        if not len(missing):
            return known
        others = self._read([file for of, file in self._files if of != partition], entity, missing)
        missing = np.setdiff1d(missing, others[0])
        if len(missing):
            raise ArchiveGapError(entity, len(missing), int(missing[0]))
        return np.concatenate([known[0], others[0]]), np.concatenate([known[1], others[1]])

    def _read(self, files: Sequence[StoredFile], entity: Entity, ids: Any) -> tuple[Any, Any]:
        if not files:
            return np.zeros(0, np.int64), np.zeros(0, CONTENT)
        self._inspector.check(files)
        names = [self._inspector.name(file) for file in files]
        if self._con is None:
            self._con = connect(threads=1, memory_limit="512MB")
        stream = self._stream
        wanted = pa.array(np.unique(ids)).cast(stream.schema.field(stream.identity).type)
        self._con.register("wanted", pa.table({stream.identity: wanted}))
        texts = wanted.to_pylist()
        mine = " AND ".join(f'"{name}" = ?' for name in stream.entity)
        columns = ", ".join(f'"{name}"' for name in stream.schema.names)
        # The bounds let row groups be passed over by their statistics.
        query = (
            f'SELECT {columns} FROM {files_sql(names)} SEMI JOIN wanted USING ("{stream.identity}") '
            f'WHERE {mine} AND "{stream.identity}" BETWEEN ? AND ?'
        )
        try:
            found = self._con.sql(query, params=[*entity, min(texts), max(texts)]).to_arrow_table()
        except duckdb.IOException as error:
            raise OSError(str(error)) from error
        except duckdb.Error as error:
            if damage_in(error) is None:
                raise
            raise OSError(": ".join(damage_in(error) or ())) from error
        finally:
            self._con.unregister("wanted")
        found = found.cast(stream.schema)
        return found.column(stream.identity).cast(pa.int64()).to_numpy(), contents_of(stream, found)


def _any_same(known: Any, known_contents: Any, ids: Any, contents: Any) -> Any:
    """Which of `ids` are known with that content; an id may be known with several."""
    order = np.argsort(known, kind="stable")
    known, known_contents = known[order], known_contents[order]
    first, behind = np.searchsorted(known, ids), np.searchsorted(known, ids, side="right")
    equal = np.zeros(len(ids), bool)
    for step in range(int((behind - first).max(initial=0))):
        at = np.minimum(first + step, behind - 1)
        equal |= same(known_contents[at], contents)
    return equal
