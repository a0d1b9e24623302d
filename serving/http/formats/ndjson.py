"""JSON lines of a table, by whole columns: ten times as fast as an object a row.

{"symbol":"BTC","start":1,"closed":true}      constants and columns in turn, joined for all rows at once
"""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

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
