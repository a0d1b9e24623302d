"""Encoders: tables of one schema as a stream of bytes in each format, part by part, in memory bounded by a part."""

import io
from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from serving.http.formats.media import ARROW, CSV, NDJSON, PARQUET, Format
from serving.http.formats.ndjson import json_lines


class Encoder(Protocol):
    """Encodes one stream. The parts that its calls return, joined, are the document."""

    def add(self, table: pa.Table) -> bytes:
        """The rows of one more table; the first part holds whatever stands before them."""

    def end(self) -> bytes:
        """What stands behind the last row; also what stands before the first, if there was none."""


def encoder(of: Format, schema: pa.Schema) -> Encoder:
    """A new encoder of a format other than JSON."""
    return _ENCODERS[of](schema)


class _Sink(io.RawIOBase):
    """A file that is only written; what was written is taken out, and the position goes on."""

    def __init__(self) -> None:
        self._written = io.BytesIO()
        self._taken = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._taken + self._written.tell()

    def write(self, data: Any) -> int:
        return self._written.write(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        found = self._written.getvalue()  # not another copy of it, as long as nothing more is written there
        self._written = io.BytesIO()
        self._taken += len(found)
        return found


class _Ndjson:
    def __init__(self, schema: pa.Schema) -> None:
        pass

    def add(self, table: pa.Table) -> bytes:
        return json_lines(table)

    def end(self) -> bytes:
        return b""


class _Written:
    """What a writer of pyarrow's writes."""

    def __init__(self, sink: _Sink, writer: Any) -> None:
        self._sink = sink
        self._writer = writer

    def add(self, table: pa.Table) -> bytes:
        self._writer.write_table(table)
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


def _csv(schema: pa.Schema) -> Encoder:
    sink = _Sink()
    # Names need no quotes, and Arrow would quote them all.
    sink.write(",".join(schema.names).encode() + b"\n")
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    return _Written(sink, pyarrow.csv.CSVWriter(sink, schema, write_options=options))


def _arrow(schema: pa.Schema) -> Encoder:
    sink = _Sink()
    return _Written(sink, pa.ipc.new_stream(sink, schema))


def _parquet(schema: pa.Schema) -> Encoder:
    """Each part is a row group."""
    sink = _Sink()
    return _Written(sink, pq.ParquetWriter(sink, schema, compression="zstd"))


_ENCODERS: dict[Format, Callable[[pa.Schema], Encoder]] = {
    NDJSON: _Ndjson,
    CSV: _csv,
    ARROW: _arrow,
    PARQUET: _parquet,
}
