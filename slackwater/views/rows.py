"""States as rows: (key, start) -> a state, to and from an Arrow table of the view's state schema.

Not here: how a column's values cross (`slackwater.views.kinds`).
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from slackwater.views.kinds import Value
from slackwater.views.measures.measure import State
from slackwater.views.view import View


class Row(NamedTuple):
    """One bar's state. `key` holds the view's key columns, `start` is in microseconds."""

    key: tuple[Value, ...]
    start: int
    state: State


_new = partial(tuple.__new__, Row)


def rows_from(columns: Sequence[Iterable[Value]], width: int) -> Iterator[Row]:
    """The rows of columns: `width` key columns, the starts, the states'. Row by row it takes three times as long.

    Raises:
        ValueError: they are not all of one length.
    """
    keys, states = zip(*columns[:width], strict=True), zip(*columns[width + 1 :], strict=True)
    return map(_new, zip(keys, columns[width], states, strict=True))


def rows_of(view: View, table: pa.Table) -> list[Row]:
    """The rows of `table`, sorted by key and start.

    Raises:
        ViewError: a state column holds a null.
    """
    table = table.combine_chunks()
    places = [table.column(name).to_pylist() for name in (*view.key, "start")]
    states = [column.kind.values(table.column(column.name)) for column in view.columns]
    return sorted(rows_from([*places, *states], len(view.key)))


def table_of(view: View, rows: Iterable[Row]) -> pa.Table:
    """The Arrow table of `rows`."""
    rows = list(rows)
    arrays = [pa.array([row.key[i] for row in rows], column.kind.arrow) for i, column in enumerate(view.key_columns)]
    arrays.append(pa.array([row.start for row in rows], pa.int64()))
    arrays += [column.kind.array([row.state[i] for row in rows]) for i, column in enumerate(view.columns)]
    return pa.Table.from_arrays(arrays, schema=view.state_schema)
