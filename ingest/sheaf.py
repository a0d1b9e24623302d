"""The open files of an epoch of imported history, one for each partition, which are closed together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.core.faults import reach
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import ArchiveFile
from slackwater.versions.store import VersionStore


class Sheaf:
    """Used by one thread at a time."""

    def __init__(self, stream: Stream, store: VersionStore, epoch: str) -> None:
        self._stream = stream
        self._store = store
        self._epoch = epoch
        self._open: dict[int, ArchiveWriter] = {}
        self._number = 0

    def write(self, events: pa.Table, parts: Sequence[tuple[int, Any]]) -> None:
        """Write events in their order; `parts` are partitions, several times perhaps, with rows of theirs."""
        of = np.empty(events.num_rows, np.int32)
        for partition, rows in parts:
            of[rows] = partition
        for partition in sorted({partition for partition, _ in parts}):
            if partition not in self._open:
                name = archive_path(self._epoch, self._stream, partition, self._number)
                path = self._store.data.create(name)
                self._open[partition] = ArchiveWriter(self._stream, path)
            mine = np.flatnonzero(of == partition)
            part = events if len(mine) == events.num_rows else events.take(pa.array(mine))
            self._open[partition].write(archive_table(self._stream, partition, part))

    def close(self) -> list[ArchiveFile]:
        """Close the files; they are durable when this returns."""
        closed = []
        for partition, writer in sorted(self._open.items()):
            writer.close()
            reach("archive.import")
            stored = self._store.stored(writer.path, writer.rows)
            closed.append(
                ArchiveFile(stored, self._stream.name, self._epoch, partition, None, None, writer.low, writer.high)
            )
        self._open = {}
        self._number += 1
        return closed

    def abandon(self) -> None:
        """Close what is open, whatever becomes of it."""
        for writer in self._open.values():
            writer.close()
