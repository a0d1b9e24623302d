"""Lines of events: from the tokens of rows, for the decoder to judge; and from events, for the log.

The second is `slackwater.streams.event.encode_event` for a whole table at once, byte for byte; a test holds it to that.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.core.decimals import decimal_text
from slackwater.streams.schema import PRICE_SCALE
from slackwater.streams.stream import Stream


def row_lines(stream: Stream, tokens: Mapping[str, Any], rows: int) -> list[bytes]:
    """One line for each row. `tokens` maps every field to a binary array or to one token; null leaves the field out."""
    parts: list[Any] = []
    for number, field in enumerate(stream.fields):
        parts += [f'{"," if number else "{"}"{field}":'.encode(), tokens[field]]
    arrays = [token for token in tokens.values() if not isinstance(token, bytes)]
    if not arrays:
        return [b"".join([*parts, b"}"])] * rows
    lines: list[Any] = pc.binary_join_element_wise(*parts, b"}", b"").to_pylist()
    for i, line in enumerate(lines):
        if line is None:
            lines[i] = _line_with_gaps(stream, tokens, i)
    return lines


def event_lines(stream: Stream, events: pa.Table) -> list[bytes]:
    """The canonical line of each event."""
    text: dict[str, Any] = {}
    for field in stream.fields:
        column = events.column(field).combine_chunks()
        text[field] = _units_text(units(column)) if pa.types.is_decimal(column.type) else column.cast(pa.string())
    parts: list[Any] = []
    for number, field in enumerate(stream.fields):
        quote = "" if field in {"trade_id", "time"} else '"'
        before = "{" if number == 0 else ","
        after = "" if number == 0 else _quote_of(stream.fields[number - 1])
        parts += [f'{after}{before}"{field}":{quote}', text[field]]
    lines: list[bytes] = pc.binary_join_element_wise(*parts, '"}', "").cast(pa.binary()).to_pylist()
    return lines


def units(column: Any) -> Any:
    """A DECIMAL(18,8) array without nulls as int64 units of 1e-8: the low halves of its 128-bit integers."""
    words = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset)
    return words[::2]


def _units_text(values: Any) -> Any:
    known, inverse = np.unique(values, return_inverse=True)
    texts = pa.array([decimal_text(value, PRICE_SCALE) for value in known.tolist()], pa.string())
    return texts.take(pa.array(inverse))


def _quote_of(field: str) -> str:
    return "" if field in {"trade_id", "time"} else '"'


def _line_with_gaps(stream: Stream, tokens: Mapping[str, Any], row: int) -> bytes:
    pairs = []
    for field in stream.fields:
        token = tokens[field] if isinstance(tokens[field], bytes) else tokens[field][row].as_py()
        if token is not None:
            pairs.append(f'"{field}":'.encode() + token)
    return b"{" + b",".join(pairs) + b"}"
