"""The files of one partition of an epoch: events in the order of the log, and old ones apart from them.

    archive/<run>/trades-2-0.parquet       [700, 61200)     FILE_ROWS events, and the rest of the last one's record
    archive/<run>/trades-2-1.parquet       [61200, 90000)
    archive/<run>/trades-2-late-0.parquet  [700, 90000)     older than the day before they came, by entity and time

So one event of ten years ago does not make a file span ten years, and a thousand of them are one file. Where a file
ends is a matter of events, not of how the log gave them, so that the same log gives the same bytes.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from slackwater.core.faults import reach
from slackwater.log.events import positioned
from slackwater.store.archive_file import ArchiveWriter, archive_path, archive_table
from slackwater.streams.stream import APPENDED, Stream
from slackwater.versions.manifest import ArchiveFile
from slackwater.versions.store import VersionStore

FILE_ROWS = 4 * 1024 * 1024
"""Events of a full file, some 30 MB: enough for every thread of a scan, and little to read again if it is damaged."""

LATE_ROWS = 512 * 1024
"""Events of a full late file: they are sorted in memory, some 60 MB."""

DAY_US = 86_400_000_000


class Shelf:
    """Used by one thread at a time. `start` and `upto` are the offsets of the partition that the run reads."""

    def __init__(self, stream: Stream, store: VersionStore, epoch: str, partition: int, start: int, upto: int) -> None:
        self._stream = stream
        self._store = store
        self._epoch = epoch
        self._partition = partition
        self._span = start, upto
        self._start = start
        self._open: ArchiveWriter | None = None
        self._late: list[pa.Table] = []
        self._late_rows = 0
        self._in_order: list[ArchiveFile] = []
        self._late_files: list[ArchiveFile] = []

    def write(self, events: pa.Table) -> None:
        """Write the next events, a table of `slackwater.log.events.positioned` or a compact one, of whole records."""
        reach("archive.write")
        late = is_late(self._stream, events)
        if late.any():
            self._keep(events.filter(pa.array(late)).cast(positioned(self._stream)))
            events = events.filter(pa.array(~late))
        while events.num_rows:
            offsets = events.column("offset").to_numpy()
            if self._open is not None and self._open.rows >= FILE_ROWS:
                self._close(int(offsets[0]))
            if self._open is None:
                self._open = self._writer(len(self._in_order), late=False)
            last = min(len(offsets), FILE_ROWS - self._open.rows) - 1
            end = int(np.searchsorted(offsets, offsets[last], side="right"))  # a record stays whole
            mine, events = events.slice(0, end), events.slice(end)
            self._open.write(self._placed(mine))

    def close(self) -> list[ArchiveFile]:
        """The files, which are durable when this returns; the late ones are the last."""
        if self._open is not None:
            self._close(self._span[1])
        while self._late_rows:
            self._write_late(min(self._late_rows, LATE_ROWS))
        return [*self._in_order, *self._late_files]

    def release(self) -> None:
        """Close what is open, whatever becomes of it."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def abandon(self) -> None:
        """Remove what was written."""
        if self._open is not None:
            name = self._store.data.name_of(self._open.path)
            self.release()
            self._store.data.remove(name)
        for entry in (*self._in_order, *self._late_files):
            self._store.data.remove(entry.file.path)

    def _keep(self, late: pa.Table) -> None:
        self._late.append(late)
        self._late_rows += late.num_rows
        while self._late_rows >= LATE_ROWS:
            self._write_late(LATE_ROWS)

    def _write_late(self, rows: int) -> None:
        """Write the first of the late events that wait."""
        waiting = pa.concat_tables(self._late)
        events, self._late = waiting.slice(0, rows), [waiting.slice(rows)]
        self._late_rows -= rows
        by = [*self._stream.entity, self._stream.time, "offset", "index"]
        writer = self._writer(len(self._late_files), late=True)
        try:
            writer.write(self._placed(events.sort_by([(name, "ascending") for name in by])))
        finally:
            writer.close()
        self._late_files.append(self._stored(writer, *self._span, late=True))

    def _close(self, upto: int) -> None:
        writer = self._open
        assert writer is not None  # noqa: S101 - asked by who has looked
        self._open = None
        writer.close()
        self._in_order.append(self._stored(writer, self._start, upto, late=False))
        self._start = upto

    def _writer(self, number: int, late: bool) -> ArchiveWriter:
        name = archive_path(self._epoch, self._stream, self._partition, number, late)
        return ArchiveWriter(self._stream, self._store.data.create(name), ordered=True)

    def _placed(self, events: pa.Table) -> pa.Table:
        return archive_table(self._stream, self._partition, events, events.column("offset"), events.column("index"))

    def _stored(self, writer: ArchiveWriter, start: int, upto: int, late: bool) -> ArchiveFile:
        reach("archive.sync")
        stored = self._store.stored(writer.path, writer.rows)
        of = stored, self._stream.name, self._epoch, self._partition, start, upto
        return ArchiveFile(*of, writer.low, writer.high, late=late)


def is_late(stream: Stream, events: pa.Table) -> Any:
    """Which events are older than the day before the one on which the log took them, UTC."""
    appended, times = (events.column(name).to_numpy() for name in (APPENDED, stream.time))
    return times < (appended // DAY_US - 1) * DAY_US
