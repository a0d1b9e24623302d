"""Rows of Parquet, a batch at a time. A row's original, for the dead letter, is its JSON text with all columns.

In bulk the batches are large, and what is certain of one is found while the one before it is judged.
"""

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.chunk import CHUNK_LINES, Chunk, Source
from ingest.errors import EmptySourceError, UnreadableFileError
from ingest.files.columns import Columns
from slackwater.streams.errors import MappingError
from slackwater.streams.mapping import Layout
from slackwater.streams.stream import Stream

BULK_ROWS = 128 * 1024
"""Rows of a chunk in bulk: what is done once a chunk costs nothing then, and it is some 20 MB."""


class ParquetRows(Source):
    """A row's original is its JSON text with all columns."""

    def __init__(self, stream: Stream, name: str, path: Path, file: Any, layout: Layout) -> None:
        self.name = name
        self.total = file.metadata.num_rows
        self._path = path
        self._file = file
        self._made = Columns(stream, name, file.schema_arrow.names, layout, file.schema_arrow)
        self._batches = file.iter_batches(batch_size=CHUNK_LINES)
        self._read = 0
        self._thread: ThreadPoolExecutor | None = None
        self._next: Future[Chunk | None] | None = None

    def in_bulk(self) -> None:
        schema = self._file.schema_arrow
        texts = [name for name in self._made.texts if pa.types.is_string(schema.field(name).type)]
        self._file.close()
        self._file = open_parquet_file(self._path, texts)
        self._batches = self._file.iter_batches(batch_size=BULK_ROWS)
        self._thread = ThreadPoolExecutor(1, "parquet")

    def read(self, timeout_s: float) -> Chunk | None:
        """The next batch; a file is never waited for.

        Raises:
            UnreadableFileError: the file is damaged from here on.
            TimeUnitError: times are numbers written as text, and nobody said of what.
        """
        if self._thread is None:
            chunk = self._chunk()
        else:
            chunk = (self._next or self._thread.submit(self._chunk)).result()
            if chunk is not None:
                self._next = self._thread.submit(self._chunk)
        self.done += len(chunk.lines) if chunk is not None else 0
        return chunk

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._file.close()

    def _chunk(self) -> Chunk | None:
        try:
            batch = next(self._batches, None)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(self.name, f"after row {self._read}", error) from error
        if batch is None:
            return None
        self._made.check(batch.column, batch.num_rows)
        certain = None if self._thread is None else self._made.certain(batch.column, batch.num_rows)
        first = self._read + 1
        self._read += batch.num_rows
        return Chunk(
            self.name,
            RowLines(self._made, batch),
            lambda i: f"row {first + i}",
            lambda i: row_text(batch, i),
            more=self._read < (self.total or 0),
            certain=certain,
        )


class RowLines(Sequence[bytes]):
    """The lines of a batch of rows, made where they are asked for."""

    def __init__(self, made: Columns, batch: Any) -> None:
        self._made = made
        self._batch = batch

    @cached_property
    def _all(self) -> list[bytes]:
        return self._made.lines(self._batch.column, self._batch.num_rows)

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def __getitem__(self, i: Any) -> Any:
        return self._all[i]

    def of(self, rows: Any) -> list[bytes]:
        """The lines of some rows; the others are not made."""
        numbers = pa.array(rows)

        def column(name: str) -> Any:
            values = self._batch.column(name)
            # No kernel takes rows of a view.
            return (values.cast(pa.string()) if pa.types.is_string_view(values.type) else values).take(numbers)

        return self._made.lines(column, len(rows))


def open_parquet(stream: Stream, name: str, path: Path, layout: Layout) -> ParquetRows:
    """Rows of a Parquet file.

    Raises:
        EmptySourceError, MappingError, UnreadableFileError
    """
    if not path.stat().st_size:
        raise EmptySourceError(name)
    if layout.names:
        raise MappingError("Parquet names its columns itself.", "Leave --columns out.")
    try:
        file = open_parquet_file(path)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(name, "as Parquet", error) from error
    try:
        if not file.metadata.num_rows:
            raise EmptySourceError(name)
        return ParquetRows(stream, name, path, file, layout)
    except BaseException:
        file.close()
        raise


def open_parquet_file(path: Path, texts: Sequence[str] = ()) -> pq.ParquetFile:
    """A file that is read in order, `texts` as dictionaries. Arrow would read ahead by default, and keep what it read
    until the file is closed: as many bytes as the file has.
    """
    return pq.ParquetFile(path, read_dictionary=list(texts), pre_buffer=False)


def row_text(batch: Any, row: int) -> bytes:
    values = batch.slice(row, 1).to_pylist()[0]
    return json.dumps(values, default=str, ensure_ascii=False).encode("utf-8", "surrogatepass")
