"""Rows of Parquet, a batch at a time. A row's original, for the dead letter, is its JSON text with all columns."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.chunk import CHUNK_LINES, Chunk
from ingest.errors import EmptySourceError, UnreadableFileError
from slackwater.streams.mapping import Constant, FromColumn, Layout, resolve, unit_missing
from slackwater.streams.rows import row_lines
from slackwater.streams.stream import Stream
from slackwater.streams.tokens import check_types, is_number, quoted, tokens


class ParquetRows:
    """See `ingest.sources.Source`."""

    unit = "rows"

    def __init__(self, stream: Stream, name: str, file: Any, layout: Layout) -> None:
        self._stream = stream
        self.name = name
        self.total: int | None = file.metadata.num_rows
        self.done = 0
        self._file = file
        self._sources = resolve(self._stream, name, file.schema_arrow.names, layout)
        self._unit = layout.time_unit
        check_types(self._stream, file.schema_arrow, self._sources, self._unit)
        self._batches = file.iter_batches(batch_size=CHUNK_LINES)

    def read(self, timeout_s: float) -> Chunk | None:
        """See `Source.read`; a file is never waited for.

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
        if self.done == 0:
            self._check_time_text(batch)
        first = self.done + 1
        self.done += batch.num_rows
        made = {}
        for field, source in self._sources.items():
            if isinstance(source, Constant):
                made[field] = quoted(pa.array([source.text.encode()], pa.binary()))[0].as_py()
            else:
                made[field] = tokens(self._stream, field, batch.column(source.column), source, self._unit)
        return Chunk(
            self.name,
            row_lines(self._stream, made, batch.num_rows),
            lambda i: f"row {first + i}",
            lambda i: _row_text(batch, i),
            more=self.done < (self.total or 0),
        )

    def close(self) -> None:
        """See `Source.close`."""
        self._file.close()

    def _check_time_text(self, batch: Any) -> None:
        source = self._sources[self._stream.time]
        if self._unit is None and isinstance(source, FromColumn):
            values = batch.column(source.column).slice(0, 100).to_pylist()
            if any(is_number(value.encode()) for value in values if isinstance(value, str)):
                raise unit_missing(source.column)


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
