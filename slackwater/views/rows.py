"""States as rows: (key, start) -> a state, to and from an Arrow table of the view's state schema.

Not here: how a column's values cross (`slackwater.views.kinds`).
"""

from collections.abc import Iterable
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


def rows_of(view: View, table: pa.Table) -> list[Row]:
    """The rows of `table`, sorted by key and start.

    Raises:
        ViewError: a state column holds a null.
    """
    table = table.combine_chunks()
    keys = zip(*(table.column(k).to_pylist() for k in view.key), strict=True)
    starts = table.column("start").to_pylist()
    states = zip(*(column.kind.values(table.column(column.name)) for column in view.columns), strict=True)
    return sorted(Row(*row) for row in zip(keys, starts, states, strict=True))


def table_of(view: View, rows: Iterable[Row]) -> pa.Table:
    """The Arrow table of `rows`."""
    rows = list(rows)
    arrays = [pa.array([row.key[i] for row in rows], column.kind.arrow) for i, column in enumerate(view.key_columns)]
    arrays.append(pa.array([row.start for row in rows], pa.int64()))
    arrays += [column.kind.array([row.state[i] for row in rows]) for i, column in enumerate(view.columns)]
    return pa.Table.from_arrays(arrays, schema=view.state_schema)
