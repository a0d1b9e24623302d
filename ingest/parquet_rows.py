"""Rows of Parquet, a batch at a time. A row's original, for the dead letter, is its JSON text with all columns."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.chunk import CHUNK_LINES, Chunk, Source
from ingest.columns import Columns
from ingest.errors import EmptySourceError, UnreadableFileError
from slackwater.streams.mapping import Layout
from slackwater.streams.stream import Stream


class ParquetRows(Source):
    """A row's original is its JSON text with all columns."""

    def __init__(self, stream: Stream, name: str, file: Any, layout: Layout) -> None:
        self.name = name
        self.total = file.metadata.num_rows
        self._file = file
        self._made = Columns(stream, name, file.schema_arrow.names, layout, file.schema_arrow)
        self._batches = file.iter_batches(batch_size=CHUNK_LINES)

    def read(self, timeout_s: float) -> Chunk | None:
        """The next batch; a file is never waited for.

        Raises:
            UnreadableFileError: the file is damaged from here on.
            TimeUnitError: times are numbers written as text, and nobody said of what.
        """
        try:
            batch = next(self._batches, None)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFileError(self.name, f"after row {self.done}", error) from error
        if batch is None:
            return None
        lines = self._made.lines(batch.column, batch.num_rows)
        first = self.done + 1
        self.done += batch.num_rows
        return Chunk(
            self.name,
            lines,
            lambda i: f"row {first + i}",
            lambda i: _row_text(batch, i),
            more=self.done < (self.total or 0),
        )

    def close(self) -> None:
        self._file.close()


def open_parquet(stream: Stream, name: str, path: Path, layout: Layout) -> ParquetRows:
    """Rows of a Parquet file.

    Raises:
        EmptySourceError, MappingError, UnreadableFileError
    """
    if not path.stat().st_size:
        raise EmptySourceError(name)
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(name, "as Parquet", error) from error
    try:
        if not file.metadata.num_rows:
            raise EmptySourceError(name)
        return ParquetRows(stream, name, file, layout)
    except BaseException:
        file.close()
        raise


def _row_text(batch: Any, row: int) -> bytes:
    values = batch.slice(row, 1).to_pylist()[0]
    return json.dumps(values, default=str, ensure_ascii=False).encode("utf-8", "surrogatepass")
