"""The finish of a whole table of states: the answer columns as Arrow arrays, exact decimals, without a row in Python.

Not here: the finish of one state, and in SQL (`slackwater.views.answers`), whose numbers these are.
"""

from functools import cache

import pyarrow as pa

from slackwater.views.answers import Column
from slackwater.views.ratios import ratios
from slackwater.views.view import View


@cache
def finished_schema(view: View) -> pa.Schema:
    """Key columns, `start` (microseconds), answer columns: decimals as decimal128, ids and counts as int64."""
    fields = [view.state_schema.field(name) for name in (*view.key, "start")]
    fields += [pa.field(name, answer.arrow(view.columns), nullable=False) for name, answer in view.answers.items()]
    return pa.schema(fields)


def finish_table(view: View, states: pa.Table) -> pa.Table:
    """The answers of a table of states, row by row in its order.

    Raises:
        ViewError: a ratio has no divisor.
    """
    columns = [states.column(name) for name in (*view.key, "start")]
    for answer in view.answers.values():
        if isinstance(answer, Column):
            columns.append(states.column(answer.column))
        else:
            over, under = (states.column(name).combine_chunks() for name in (answer.over, answer.under))
            columns.append(ratios(_array(over), _array(under)))
    return pa.Table.from_arrays(columns, schema=finished_schema(view))


def _array(column: pa.Array) -> pa.Array:
    """One array, whichever of the two `combine_chunks` gave."""
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
