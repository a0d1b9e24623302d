"""A state column as it stands."""

from dataclasses import dataclass

import pyarrow as pa

from slackwater.core.decimals import decimal_text
from slackwater.views.answers.answer import Answer, Columns, Finish1, column_named
from slackwater.views.kinds import Kind


@dataclass(frozen=True)
class Column(Answer):
    """A state column as it stands: a decimal as text, an order or a count as an integer, a text."""

    column: str

    def kind(self, columns: Columns) -> Kind:
        return column_named(columns, self.column)[1]

    def value(self, columns: Columns) -> Finish1:
        index, _ = column_named(columns, self.column)
        return lambda state: state[index]

    def finish(self, columns: Columns) -> Finish1:
        index, kind = column_named(columns, self.column)
        scale = kind.scale
        if not scale:
            return lambda state: state[index]
        return lambda state: decimal_text(state[index], scale)  # type: ignore[arg-type]

    def value_sql(self, columns: Columns) -> str:
        column_named(columns, self.column)
        return self.column

    def array(self, columns: Columns, states: pa.Table) -> pa.ChunkedArray:
        return states.column(self.column)
