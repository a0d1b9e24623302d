"""The finish of a whole table of states: the answer columns as Arrow arrays, decimals exact.

Not here: the finish of one state and in SQL (`slackwater.views.merge`, `slackwater.views.sql`), whose numbers these
are.
"""

from functools import cache

import pyarrow as pa

from slackwater.views.view import View


@cache
def finished_schema(view: View) -> pa.Schema:
    """Key columns, `start` (microseconds), answer columns: decimals as decimal128, ids and counts as int64."""
    fields = [view.state_schema.field(name) for name in (*view.key, "start")]
    fields += [pa.field(name, answer.arrow(view.columns), answer.nullable) for name, answer in view.answers.items()]
    return pa.schema(fields)


def finish_table(view: View, states: pa.Table) -> pa.Table:
    """The answers of a table of states, row by row in its order.

    Raises:
        ViewError: the divisor of a ratio is no multiple of 1e-8.
    """
    columns = [states.column(name) for name in (*view.key, "start")]
    columns += [answer.array(view.columns, states) for answer in view.answers.values()]
    return pa.Table.from_arrays(columns, schema=finished_schema(view))
