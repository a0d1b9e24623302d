"""Lines of events: from the tokens of rows, for the decoder to judge; and from events, for the log.

`event_lines` is `slackwater.streams.event.encode_event` for a table, byte for byte; a test holds it to that.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.streams.decode import decode_lines
from slackwater.streams.entities import FEW_ROWS
from slackwater.streams.event import encode_event
from slackwater.streams.mapping import FromColumn
from slackwater.streams.numbers import integers
from slackwater.streams.order import sequences
from slackwater.streams.refusal import RefusedError
from slackwater.streams.stream import TIME_UNIT, Stream
from slackwater.streams.texts import array_of
from slackwater.streams.tokens import tokens as tokens_of


def row_lines(stream: Stream, tokens: Mapping[str, Any], rows: int) -> list[bytes]:
    """One line for each row. `tokens` maps fields to a binary array or to one token; null leaves the field out."""
    parts: list[Any] = []
    there = [field for field in stream.fields if field in tokens]
    for number, field in enumerate(there):
        parts += [f'{"," if number else "{"}"{field}":'.encode(), tokens[field]]
    arrays = [token for token in tokens.values() if not isinstance(token, bytes)]
    if not arrays:
        return [b"".join([*parts, b"}"])] * rows
    lines: list[Any] = pc.binary_join_element_wise(*parts, b"}", b"").to_pylist()
    for i, line in enumerate(lines):
        if line is None:
            lines[i] = _line_with_gaps(there, tokens, i)
    return lines


def check_rows(stream: Stream, table: pa.Table, latest_us: int) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
    """Judge rows; `latest_us` is the newest time allowed. A field is null, or its column missing, where a row lacks it.

    Returns:
        the events in order, the numbers of their rows, and the refusal of every other row.
    """
    there = [name for name in stream.fields if name in table.column_names]
    text = {name: tokens_of(stream, name, table.column(name), FromColumn(name), "us") for name in there}
    return decode_lines(stream, row_lines(stream, text, table.num_rows), np.full(table.num_rows, latest_us))


def event_lines(stream: Stream, events: pa.Table) -> list[bytes]:
    """The canonical line of each event."""
    if events.num_rows < FEW_ROWS:
        values = (column.unpack(array_of(events.column(column.name))) for column in stream.wire)
        return [encode_event(stream, stream.event._make(row)) for row in zip(*values, strict=True)]
    (batch,) = events.combine_chunks().to_batches()
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    numbered = _numbered(stream, columns)
    numbers = None if numbered else _whole_numbers(columns[stream.identity])
    whole = numbered or numbers is not None
    parts: list[Any] = []
    before = "{"  # what stands between the last value and the next one
    for column in stream.wire:
        values = columns[column.name]
        if column.optional:
            if numbered and column.name == stream.order:
                continue
            out = _left_out(stream, column.name, columns, numbers)
            if not out.all():
                quote = '"' if column.quoted else ""
                token = pc.binary_join_element_wise(f',"{column.name}":{quote}', column.texts(values), quote, "")
                parts += [before, pc.if_else(pa.array(out), "", token)]
                before = ""
            continue
        comma = "," if parts else ""
        if column.quoted:
            parts += [f'{before}{comma}"{column.name}":"', column.texts(values)]
            before = '"'
        else:
            texts = values if whole and column.name == stream.identity else column.texts(values)
            parts += [f'{before}{comma}"{column.name}":', texts]
            before = ""
    joined = pc.binary_join_element_wise(*parts, before + "}", "")
    lines: list[bytes] = joined.cast(pa.binary()).to_pylist()
    return lines


def _numbered(stream: Stream, columns: Mapping[str, Any]) -> bool:
    """Whether every event's identity is the integer that is its sequence, by its venue's rule: the usual case."""
    if not stream.sequenced:
        return False
    same = pc.all(pc.equal(columns[stream.order].cast(pa.string()), columns[stream.identity])).as_py()
    return same and all(stream.venue(name).sequence == "id" for name in columns[stream.entity[0]].unique().to_pylist())


def _whole_numbers(identities: pa.Array) -> pa.Array | None:
    """Identities as int64, if all of them are integers."""
    numbers, whole = integers(identities)
    return pa.array(numbers) if whole.all() else None


def _left_out(stream: Stream, field: str, columns: Mapping[str, Any], numbers: Any) -> Any:
    """Which events are written without an optional field; `numbers` are the identities where all are integers."""
    if field == TIME_UNIT.name:
        return pc.equal(columns[field], "us").to_numpy(zero_copy_only=False)
    venues, times = columns[stream.entity[0]], columns[stream.time].to_numpy()
    values, there = sequences(stream, venues, columns[stream.identity] if numbers is None else numbers, times)
    return there & (values == columns[field].to_numpy())


def _line_with_gaps(there: list[str], tokens: Mapping[str, Any], row: int) -> bytes:
    pairs = []
    for field in there:
        token = tokens[field] if isinstance(tokens[field], bytes) else tokens[field][row].as_py()
        if token is not None:
            pairs.append(f'"{field}":'.encode() + token)
    return b"{" + b",".join(pairs) + b"}"
