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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slackwater.core.checked_files import open_checked
from slackwater.streams.numbers import MAX_ID
from slackwater.streams.stream import Stream

_PLACE = [
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64()),
    pa.field("index", pa.int16()),
]

ROW_GROUP_ROWS = 256 * 1024
"""Rows of a full row group: what one thread of a scan takes at a time."""

FIRST_ROWS = 4096
"""Rows in which the texts of a dictionary are looked for before all are read."""


def archive_path(epoch: str, stream: Stream, partition: int, number: int, late: bool = False) -> str:
    """Where the `number`-th file of a stream's partition in an epoch stands, relative to the home folder."""
    return f"archive/{epoch}/{stream.name}-{partition}-{'late-' if late else ''}{number}.parquet"


@cache
def archive_schema(stream: Stream) -> pa.Schema:
    """Events of a stream with their place in the log; offset and index are null in imported history."""
    return pa.schema([*_PLACE, *stream.schema])


class ArchiveWriter:
    """Writes one new file, in order; tables of any size become full row groups. `rows` is what it was given so far,
    `low` and `high` the first and the last of their times.

    Texts are handed to the file as dictionaries, which costs a tenth of their bytes; the file says nothing of that. A
    dictionary of a compact table is taken as it is, or `ordered` as that of a plain one is: in the order in which its
    texts come, so that the same events give the same bytes.

    Its folder is made where missing.

    Raises:
        FileExistsError: nothing is ever replaced in place.
    """

    def __init__(self, stream: Stream, path: Path, ordered: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows = 0
        self.low, self.high = MAX_ID, 0
        self._time = stream.time
        self._ordered = ordered
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._sink: Any = path.open("xb")
        self._schema = _written(stream)
        integers = [field.name for field in self._schema if pa.types.is_integer(field.type)]
        rising = [name for name in integers if name not in ("partition", "index")]
        self._writer = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression="zstd",
            store_decimal_as_integer=True,  # not as byte arrays: smaller, and read without a conversion
            store_schema=False,  # else a reader would get dictionaries
            # Ids and times rise, so that their differences are small: a third of the file, and of the time to write it.
            use_dictionary=[name for name in self._schema.names if name not in (*rising, stream.identity)],
            column_encoding={**dict.fromkeys(rising, "DELTA_BINARY_PACKED"), stream.identity: "DELTA_BYTE_ARRAY"},
        )

    def write(self, table: pa.Table) -> None:
        """Add a table of `archive_schema`, or a compact one (`archive_table`)."""
        self.rows += table.num_rows
        if table.num_rows:
            times = table.column(self._time).to_numpy()
            self.low, self.high = min(self.low, int(times.min())), max(self.high, int(times.max()))
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            whole = self._waiting_rows - self._waiting_rows % ROW_GROUP_ROWS
            waiting = self._together()
            for start in range(0, whole, ROW_GROUP_ROWS):
                self._group(waiting.slice(start, ROW_GROUP_ROWS))
            self._waiting = [waiting.slice(whole)]
            self._waiting_rows -= whole

    def close(self) -> None:
        """Write what waits and close the file. It is durable after `VersionStore.stored`."""
        try:
            if self._waiting_rows:
                self._group(self._together())
                self._waiting_rows = 0
            self._writer.close()
        finally:
            self._sink.close()

    def _together(self) -> pa.Table:
        if len({table.schema for table in self._waiting}) > 1:  # compact ones, and others
            return pa.concat_tables([table.cast(self._schema) for table in self._waiting])
        return pa.concat_tables(self._waiting)

    def _group(self, table: pa.Table) -> None:
        """Write a row group; the dictionaries of plain texts are in the order in which these come."""
        # Where a page ends and where a dictionary is given up depends on the chunks, and those on how the log was read.
        table = table.unify_dictionaries().combine_chunks()
        columns = []
        for field, column in zip(self._schema, table.columns, strict=True):
            if self._ordered and pa.types.is_dictionary(column.type):
                columns.append(_in_order(column))
            elif pa.types.is_dictionary(field.type):
                columns.append(column.dictionary_encode())
            else:
                columns.append(column.cast(field.type))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), ROW_GROUP_ROWS)

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def copy_without(stream: Stream, source: str, rows: Any, path: Path) -> ArchiveWriter:
    """Write what a file holds, but the rows numbered in `rows`, to a new one; its writer, closed.

    `source` is the name by which it is read with its checksums. Raises what reading and `ArchiveWriter` raise.
    """
    schema, first = archive_schema(stream), 0
    with open_checked(source) as read, pq.ParquetFile(read) as parquet, ArchiveWriter(stream, path) as file:
        for batch in parquet.iter_batches(ROW_GROUP_ROWS):
            keep = np.ones(batch.num_rows, bool)
            keep[rows[(rows >= first) & (rows < first + batch.num_rows)] - first] = False
            first += batch.num_rows
            table = pa.Table.from_batches([batch]).cast(schema)
            file.write(table if keep.all() else table.filter(pa.array(keep)))
    return file


def _in_order(column: pa.ChunkedArray) -> pa.Array:
    """A column of one chunk with another dictionary: of the texts that there are, in the order in which they come."""
    texts, indices = column.chunk(0).dictionary, column.chunk(0).indices
    first = indices.slice(0, FIRST_ROWS).unique()  # mostly all that there are
    if len(first) < len(texts):
        known = indices.dictionary_encode()
        return pa.DictionaryArray.from_arrays(known.indices, texts.take(known.dictionary))
    if not first.equals(pa.array(range(len(texts)), indices.type)):
        indices = pa.array(np.argsort(first).astype(np.int32)[indices])
    return pa.DictionaryArray.from_arrays(indices, texts.take(first))


@cache
def _written(stream: Stream) -> pa.Schema:
    """The schema that a file is written from: texts but the identity are dictionaries."""
    texts = pa.dictionary(pa.int32(), pa.string())
    few = [pa.types.is_string(field.type) and field.name != stream.identity for field in archive_schema(stream)]
    fields = zip(archive_schema(stream), few, strict=True)
    return pa.schema([field.with_type(texts) if dictionary else field for field, dictionary in fields])


def archive_table(
    stream: Stream, partition: int, events: pa.Table, offsets: Any = None, indexes: Any = None
) -> pa.Table:
    """Events of one partition as a table of `archive_schema`; without offsets and indexes they are imported history.

    A compact table of events (`slackwater.streams.compact`) stays compact.
    """
    rows = events.num_rows
    places = [
        pa.repeat(pa.scalar(partition, pa.int32()), rows),
        pa.nulls(rows, pa.int64()) if offsets is None else offsets,
        pa.nulls(rows, pa.int16()) if indexes is None else indexes,
    ]
    columns = [events.column(name) for name in stream.schema.names]
    fields = [events.schema.field(name) for name in stream.schema.names]
    return pa.Table.from_arrays([*places, *columns], schema=pa.schema([*_PLACE, *fields]))
