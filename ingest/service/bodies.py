"""The body of a request as a source: the same formats as files, and Arrow.

application/x-ndjson                    one event a line
application/json                        one event, one a line, or an array of them
text/csv                                a header, then rows
application/vnd.apache.arrow.stream     columns, as those of Parquet
application/vnd.slackwater.chunk        what another part of Slackwater hands over (`ingest.handed`)
"""

from collections.abc import Iterator

import pyarrow as pa

from ingest import handed
from ingest.chunk import CHUNK_LINES, Chunk, Source
from ingest.errors import UnreadableFileError
from ingest.files.columns import Columns
from ingest.files.csv_rows import CsvRows
from ingest.files.inlet import Inlet
from ingest.files.json_array import JsonText
from ingest.files.line_reader import LineSource
from ingest.files.parquet_rows import RowLines, row_text
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Layout
from slackwater.streams.stream import Stream

NDJSON, JSON, CSV = "application/x-ndjson", "application/json", "text/csv"
ARROW = "application/vnd.apache.arrow.stream"

MEDIA_TYPES = (NDJSON, JSON, CSV, ARROW, handed.MEDIA_TYPE)
"""None of these may a page of another origin send without being asked first."""


def source_of(stream: Stream, kind: str, data: bytes, name: str, layout: Layout) -> Source:
    """The events of a body of the type `kind`, one of MEDIA_TYPES. `name` is what dead letters call it.

    Raises:
        SourceError, MappingError: it is none of that type, or its columns are not those of the stream.
    """
    if kind == ARROW:
        return ArrowRows(stream, name, data, layout)
    if kind == CSV:
        return CsvRows(stream, name, Held(data), layout)
    if layout != Layout():
        raise MappingError("Only CSV and Arrow have columns to map.", "Leave map, columns and time_unit out.")
    if kind == handed.MEDIA_TYPE:
        return HandedChunk(handed.decode(data))
    return JsonText(name, Held(data)) if kind == JSON else LineSource(name, Held(data))


class Held(Inlet):
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.total = len(data)

    def read(self, timeout_s: float) -> bytes | None:
        del timeout_s
        found, self._data = self._data, b""
        self.done = self.total or 0
        return found or None

    def close(self) -> None:
        self._data = b""


class HandedChunk(Source):
    """A chunk that another source gave."""

    def __init__(self, chunk: Chunk) -> None:
        self.name = chunk.source
        self._chunk: Chunk | None = chunk

    def read(self, timeout_s: float) -> Chunk | None:
        del timeout_s
        found, self._chunk = self._chunk, None
        return found


class ArrowRows(Source):
    """Rows of an Arrow stream. A row's original is its JSON text with all columns."""

    def __init__(self, stream: Stream, name: str, data: bytes, layout: Layout) -> None:
        """Open it. Raises as `read` does."""
        self.name = name
        try:
            self._reader = pa.ipc.open_stream(data)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(name, "as an Arrow stream", error) from error
        schema = self._reader.schema
        self._made = Columns(stream, name, schema.names, layout, schema)
        self._batches = self._sliced()

    def read(self, timeout_s: float) -> Chunk | None:
        """The next rows.

        Raises:
            UnreadableFileError: it is damaged from here on.
            MappingError, TimeUnitError: its columns are not those of the stream.
        """
        del timeout_s
        try:
            batch = next(self._batches, None)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(self.name, f"after row {self.done}", error) from error
        if batch is None:
            return None
        self._made.check(batch.column, batch.num_rows)
        certain, first = self._made.certain(batch.column, batch.num_rows), self.done + 1
        self.done += batch.num_rows
        return Chunk(
            self.name,
            RowLines(self._made, batch),
            lambda i: f"row {first + i}",
            lambda i: row_text(batch, i),
            more=True,
            certain=certain,
        )

    def _sliced(self) -> Iterator[pa.RecordBatch]:
        for batch in self._reader:
            batch.validate(full=True)
            for start in range(0, batch.num_rows, 4 * CHUNK_LINES):
                yield batch.slice(start, 4 * CHUNK_LINES)
