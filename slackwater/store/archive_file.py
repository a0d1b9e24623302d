"""A file of the master dataset: its schema and its writer, the same for slices of the log and for imported history.

    archive/<epoch>/<stream>-<partition>-<n>.parquet

An event from the log keeps its place: partition, offset, and index in its record. Imported history never was in the
log: its offset and index are null, and its partition is the one that the log would give its instrument. Not here:
which files there are (`slackwater.versions.manifest`), and who writes them (`batch_layer.archive`,
`ingest.archive_import`).
"""

from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.streams.stream import Stream

_PLACE = [
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64()),
    pa.field("index", pa.int16()),
]

ROW_GROUP_ROWS = 256 * 1024
"""Rows of a full row group: what one thread of a scan takes at a time."""


def archive_path(epoch: str, stream: Stream, partition: int, number: int) -> str:
    """Where the `number`-th file of a stream's partition in an epoch stands, relative to the home folder."""
    return f"archive/{epoch}/{stream.name}-{partition}-{number}.parquet"


@cache
def archive_schema(stream: Stream) -> pa.Schema:
    """Events of a stream with their place in the log; offset and index are null in imported history."""
    return pa.schema([*_PLACE, *stream.schema])


class ArchiveWriter:
    """Writes one new file, in order; tables of any size become full row groups. `rows` is what it was given so far.

    Its folder is made where missing.

    Raises:
        FileExistsError: nothing is ever replaced in place.
    """

    def __init__(self, stream: Stream, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows = 0
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._sink: Any = path.open("xb")
        # Decimals as INT64, not as byte arrays: smaller, and read without a conversion.
        schema = archive_schema(stream)
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd", store_decimal_as_integer=True)

    def write(self, table: pa.Table) -> None:
        """Add a table of `archive_schema`."""
        self.rows += table.num_rows
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            whole = self._waiting_rows - self._waiting_rows % ROW_GROUP_ROWS
            waiting = pa.concat_tables(self._waiting)
            self._writer.write_table(waiting.slice(0, whole), ROW_GROUP_ROWS)
            self._waiting = [waiting.slice(whole)]
            self._waiting_rows -= whole

    def close(self) -> None:
        """Write what waits and close the file. It is durable after `VersionStore.stored`."""
        try:
            if self._waiting_rows:
                self._writer.write_table(pa.concat_tables(self._waiting), ROW_GROUP_ROWS)
                self._waiting_rows = 0
            self._writer.close()
        finally:
            self._sink.close()

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def archive_table(
    stream: Stream, partition: int, events: pa.Table, offsets: Any = None, indexes: Any = None
) -> pa.Table:
    """Events of one partition as a table of `archive_schema`; without offsets and indexes they are imported history."""
    rows = events.num_rows
    places = [
        pa.repeat(pa.scalar(partition, pa.int32()), rows),
        pa.nulls(rows, pa.int64()) if offsets is None else offsets,
        pa.nulls(rows, pa.int16()) if indexes is None else indexes,
    ]
    columns = [events.column(name) for name in stream.schema.names]
    return pa.Table.from_arrays([*places, *columns], schema=archive_schema(stream))
