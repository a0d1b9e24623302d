"""Encoders: tables of one schema as a stream of bytes in each format, part by part, in memory bounded by a part."""

import io
from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from serving.media import ARROW, CSV, NDJSON, PARQUET, Format
from serving.ndjson import json_lines


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
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since the last time."""
        found = b"".join(self._parts)
        self._parts.clear()
        return found


class _Ndjson:
    def __init__(self, schema: pa.Schema) -> None:
        pass

    def add(self, table: pa.Table) -> bytes:
        return json_lines(table)

    def end(self) -> bytes:
        return b""


class _Csv:
    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        # Names need no quotes, and Arrow would quote them all.
        self._sink.write(",".join(schema.names).encode() + b"\n")
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
        self._writer = pyarrow.csv.CSVWriter(self._sink, schema, write_options=options)

    def add(self, table: pa.Table) -> bytes:
        self._writer.write_table(table)
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class _Arrow:
    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = pa.ipc.new_stream(self._sink, schema)

    def add(self, table: pa.Table) -> bytes:
        self._writer.write_table(table)
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


class _Parquet:
    """Each part is a row group."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(self._sink, schema, compression="zstd")

    def add(self, table: pa.Table) -> bytes:
        self._writer.write_table(table)
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()


_ENCODERS: dict[Format, Callable[[pa.Schema], Encoder]] = {
    NDJSON: _Ndjson,
    CSV: _Csv,
    ARROW: _Arrow,
    PARQUET: _Parquet,
}
