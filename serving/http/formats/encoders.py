"""Encoders: tables of one schema as a stream of bytes in each format, part by part, in memory bounded by a part.

NDJSON is made by whole columns, ten times as fast as an object a row:

{"symbol":"BTC","start":1,"closed":true}      constants and columns in turn, joined for all rows at once
"""

import io
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from serving.http.formats.negotiation import ARROW, CSV, NDJSON, PARQUET, Format
from slackwater.views.kinds import LARGEST_EXACT


def json_lines(table: pa.Table) -> bytes:
    """An object a row, with the table's columns: text, integers, doubles and truth values, null among them.

    Integers that a double would not hold are text (`serving.query.answer`).
    """
    if not table.num_rows:
        return b""
    parts: list[pa.Array | pa.Scalar] = []
    for number, (name, column) in enumerate(zip(table.schema.names, table.columns, strict=True)):
        before = ("," if number else "{") + orjson.dumps(name).decode() + ":"
        parts += [pa.scalar(before, pa.large_string()), _json(column)]
    lines = pc.binary_join_element_wise(*parts, pa.scalar("}\n", pa.large_string()), pa.scalar("", pa.large_string()))
    return b"".join(_data(chunk) for chunk in lines.chunks)


def _json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as JSON."""
    if pa.types.is_string(column.type):
        if any(map(_escaped, column.chunks)):
            texts = _dumped(column)
        else:
            quote = pa.scalar('"', pa.string())
            texts = pc.binary_join_element_wise(quote, column, quote, pa.scalar("", pa.string()))
    elif pa.types.is_floating(column.type):
        texts = _dumped(column)  # Arrow writes 1.0 as 1
    else:
        texts = column.cast(pa.string())
        if pa.types.is_integer(column.type):
            texts = _quoted(texts, pc.or_(pc.greater(column, LARGEST_EXACT), pc.less(column, -LARGEST_EXACT)))
    return pc.fill_null(texts, "null").cast(pa.large_string())


def _quoted(texts: pa.ChunkedArray, far: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pc.any(far).as_py():
        return texts
    quote = pa.scalar('"', pa.string())
    return pc.if_else(far, pc.binary_join_element_wise(quote, texts, quote, pa.scalar("", pa.string())), texts)


def _escaped(texts: pa.Array) -> bool:
    """Whether one of them holds what JSON writes in another way."""
    data = np.frombuffer(_data(texts), np.uint8)
    return bool(((data < ord(" ")) | (data == ord('"')) | (data == ord("\\"))).any())


def _dumped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([orjson.dumps(value).decode() for value in column.to_pylist()], pa.string())])


def _data(lines: pa.Array) -> memoryview:
    """The text of all values of an array, which lies in one piece."""
    _, offsets, data = lines.buffers()
    if data is None:
        return memoryview(b"")
    bounds = memoryview(offsets).cast("q" if pa.types.is_large_string(lines.type) else "i")
    return memoryview(data)[bounds[lines.offset] : bounds[lines.offset + len(lines)]]


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
