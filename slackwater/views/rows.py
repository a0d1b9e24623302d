"""States as rows: (key, start) -> a tuple of integers, to and from an Arrow table of the view's state schema.

Decimals cross as integers of their unit, read from Arrow's own 16-byte little-endian buffers: Python's Decimal would
round at 28 digits without a word.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from slackwater.views.errors import ViewError
from slackwater.views.merge import State
from slackwater.views.view import View


class Row(NamedTuple):
    """One bar's state. `key` holds the view's key columns, `start` is in microseconds."""

    key: tuple[str, ...]
    start: int
    state: State


def rows_of(view: View, table: pa.Table) -> list[Row]:
    """The rows of `table`, sorted by key and start.

    Raises:
        ViewError: a state column holds a null.
    """
    table = table.combine_chunks()
    keys = zip(*(table.column(k).to_pylist() for k in view.key), strict=True)
    starts = table.column("start").to_pylist()
    columns = [_integers(table.column(column.name)) for column in view.columns]
    states = zip(*columns, strict=True)
    return sorted(Row(*row) for row in zip(keys, starts, states, strict=True))


def table_of(view: View, rows: Iterable[Row]) -> pa.Table:
    """The Arrow table of `rows`."""
    rows = list(rows)
    arrays = [pa.array([row.key[i] for row in rows], pa.string()) for i in range(len(view.key))]
    arrays.append(pa.array([row.start for row in rows], pa.int64()))
    for i, column in enumerate(view.columns):
        arrays.append(decimal_array([row.state[i] for row in rows], column.arrow))
    return pa.Table.from_arrays(arrays, schema=view.state_schema)


def _integers(column: pa.ChunkedArray) -> list[int]:
    if column.null_count:
        raise ViewError(f"A state column holds {column.null_count} nulls; no state has any.")
    if not pa.types.is_decimal128(column.type):
        integers: list[int] = column.to_pylist()
        return integers
    return [value for chunk in column.chunks for value in decimal_integers(chunk)]


def decimal_integers(column: pa.Array) -> list[int]:
    """The integers of a decimal128 array without nulls, in units of its scale."""
    words = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset)
    low, high = words[0::2], words[1::2]
    if np.array_equal(high, low >> 63):  # all fit in 64 bits
        small: list[int] = low.tolist()
        return small
    return [(above << 64) | below for above, below in zip(high.tolist(), low.view(np.uint64).tolist(), strict=True)]


def decimal_array(values: list[int], kind: pa.DataType) -> pa.Array:
    """Integers as an array of `kind`; in units of its scale, where it is a decimal128."""
    if not pa.types.is_decimal128(kind):
        return pa.array(values, kind)
    data = b"".join(value.to_bytes(16, "little", signed=True) for value in values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])
