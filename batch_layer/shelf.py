"""The files of one partition of an epoch: events in the order of the log, a new file where one is full.

    archive/<run>/trades-2-0.parquet   [700, 61200)      FILE_ROWS events, and the rest of the last one's record
    archive/<run>/trades-2-1.parquet   [61200, 90000)

Where a file ends is a matter of events, not of how the log gave them, so that the same log gives the same bytes.
"""

import numpy as np
import pyarrow as pa

from slackwater.core.faults import reach
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import ArchiveFile
from slackwater.versions.store import VersionStore

FILE_ROWS = 4 * 1024 * 1024
"""Events of a full file, some 30 MB: enough for every thread of a scan, and little to read again if it is damaged."""


class Shelf:
    """Used by one thread at a time. `start` and `upto` are the offsets of the partition that the run reads."""

    def __init__(self, stream: Stream, store: VersionStore, epoch: str, partition: int, start: int, upto: int) -> None:
        self._stream = stream
        self._store = store
        self._epoch = epoch
        self._partition = partition
        self._start = start
        self._upto = upto
        self._open: ArchiveWriter | None = None
        self.closed: list[ArchiveFile] = []

    def write(self, events: pa.Table) -> None:
        """Write the next events, a table of `slackwater.log.events.positioned`, of whole records."""
        reach("archive.write")
        while events.num_rows:
            offsets = events.column("offset").to_numpy()
            if self._open is not None and self._open.rows >= FILE_ROWS:
                self._close(int(offsets[0]))
            if self._open is None:
                path = self._store.home / archive_path(self._epoch, self._stream, self._partition, len(self.closed))
                self._open = ArchiveWriter(self._stream, path)
            last = min(len(offsets), FILE_ROWS - self._open.rows) - 1
            end = int(np.searchsorted(offsets, offsets[last], side="right"))  # a record stays whole
            mine, events = events.slice(0, end), events.slice(end)
            places = mine.column("offset"), mine.column("index")
            self._open.write(archive_table(self._stream, self._partition, mine, *places))

    def close(self) -> list[ArchiveFile]:
        """The files, which are durable when this returns."""
        if self._open is not None:
            self._close(self._upto)
        return self.closed

    def release(self) -> None:
        """Close what is open, whatever becomes of it."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def abandon(self) -> None:
        """Remove what was written."""
        if self._open is not None:
            path = self._open.path
            self.release()
            path.unlink()
        for entry in self.closed:
            (self._store.home / entry.file.path).unlink()

    def _close(self, upto: int) -> None:
        writer = self._open
        assert writer is not None  # noqa: S101 - asked by who has looked
        self._open = None
        writer.close()
        reach("archive.sync")
        stored = self._store.stored(writer.path, writer.rows)
        of = stored, self._stream.name, self._epoch, self._partition
        self.closed.append(ArchiveFile(*of, self._start, upto, writer.low, writer.high))
        self._start = upto
