"""A table with the columns of an event -> the events in it, and why each other row is none.

Two paths with one meaning, as in `slackwater.streams.decode`: a row whose values are within every bound is taken as it
is; any other becomes the line that `slackwater archive import` makes of it, and the strict decoder says what it is.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slackwater.streams.columns import tokens
from slackwater.streams.decode import decode_lines, within_bounds
from slackwater.streams.event import SYMBOL, VENUE, RefusedError
from slackwater.streams.mapping import FromColumn
from slackwater.streams.rows import row_lines
from slackwater.streams.stream import Stream


def check_rows(stream: Stream, table: pa.Table, latest_us: int) -> tuple[pa.Table, Any, dict[int, RefusedError]]:
    """Judge rows; `latest_us` is the newest time allowed. The columns have the types of the schema and may be null.

    Returns:
        the events in order, the numbers of their rows, and the refusal of every other row.
    """
    table = pa.table({field.name: _plain(table.column(field.name), field.type) for field in stream.schema})
    good = _good(stream, table, latest_us)
    rest = np.flatnonzero(~good)
    fast = table.filter(pa.array(good)).cast(stream.schema)
    if not len(rest):
        return fast, np.arange(table.num_rows), {}
    others = table.take(pa.array(rest))
    text = {field: tokens(stream, field, others.column(field), FromColumn(field), "us") for field in stream.fields}
    slow, kept, bad = decode_lines(stream, row_lines(stream, text, len(rest)), np.full(len(rest), latest_us))
    numbers = np.concatenate([np.flatnonzero(good), rest[kept]])
    order = np.argsort(numbers, kind="stable")
    events = pa.concat_tables([fast, slow]).take(pa.array(order))
    return events, numbers[order], {int(rest[i]): error for i, error in bad.items()}


def _plain(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """One array, its text neither large nor by dictionary."""
    column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column if column.type == kind else column.cast(kind)


def _good(stream: Stream, table: pa.Table, latest_us: int) -> Any:
    """Which rows are events beyond doubt."""
    good = np.ones(table.num_rows, bool)
    for column in table.columns:
        good &= column.is_valid().to_numpy()
    there = np.flatnonzero(good)
    rows = table if len(there) == table.num_rows else table.take(pa.array(there))
    fine = within_bounds(stream, rows, np.full(len(there), latest_us)) & (rows.column("trade_id").to_numpy() >= 0)
    fine &= _match(rows.column("venue"), rf"\A{VENUE}\z") & _match(rows.column("side"), r"\A(?:buy|sell)\z")
    fine &= _match(rows.column("symbol"), rf"\A{SYMBOL}\z") & ~_match(rows.column("symbol"), r"\.\.|//")
    good[there] = fine
    return good


def _match(column: pa.ChunkedArray, pattern: str) -> Any:
    """Where the pattern is found; each value is looked at once, however many rows have it."""
    known = column.combine_chunks().dictionary_encode()
    if isinstance(known, pa.ChunkedArray):
        known = known.combine_chunks()
    texts = known.dictionary.cast(pa.binary())  # a file's text may be no UTF-8
    fine = pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
    return fine[known.indices.to_numpy()] if len(fine) else np.zeros(len(column), bool)
