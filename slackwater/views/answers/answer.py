"""What a kind of answer is: a column of an answer, made from the columns of one state.

    finish      state -> value, as JSON has it: decimals as text, without exponent and without trailing zeros
    array       table of states -> Arrow column, decimals exact
    value_sql   SQL expression over a relation of states, in the answer's type; finish_sql: as JSON has it

A new kind is one class, wherever it lives, that says `kind`, `value` and `value_sql`; the rest follows, and `array` may
be said once more where columns are faster than rows. The laws in `tests/laws.py` hold them against each other.

`gap` says what the column holds in a bar without events when a query asks to fill: the name of an answer whose value
in the bar before is repeated, "0", or nothing (null). Where a state itself has no value, its kind is `nullable`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from slackwater.core.decimals import decimal_text
from slackwater.views.errors import DefinitionError
from slackwater.views.kinds import Kind, Value
from slackwater.views.measures.measure import State, StateColumn

Columns = tuple[StateColumn, ...]
Finish1 = Callable[[State], Value | None]


@dataclass(frozen=True)
class Answer:
    """A kind of answer. Its `repr` is part of a view's definition. All methods raise DefinitionError.

    `oracle` is the same in plain Python, for `slackwater verify` alone; it may use nothing else of its file. It takes
    the answer's fields, and column -> scale of a state; it returns the function from a state, column -> value, to what
    JSON has. The package's kinds have theirs in `verify/answers.py`.

    `nullable` says that a state may have no value: None, and null in SQL.
    """

    oracle: ClassVar[Callable[..., Any] | None] = None
    nullable: ClassVar[bool] = False
    gap: str | None = field(default=None, kw_only=True)

    def kind(self, columns: Columns) -> Kind:
        """What its values are."""
        raise NotImplementedError

    def value(self, columns: Columns) -> Finish1:
        """The function from a state to a value of that kind; to None alone where the answer is `nullable`."""
        raise NotImplementedError

    def value_sql(self, columns: Columns) -> str:
        """The SQL expression over a relation of states."""
        raise NotImplementedError

    def array(self, columns: Columns, states: pa.Table) -> pa.Array | pa.ChunkedArray:
        """The values of a table of states, row by row."""
        value = self.value(columns)
        rows = zip(*(column.kind.values(states.column(column.name)) for column in columns), strict=True)
        array = self.kind(columns).nullable_array if self.nullable else self.kind(columns).array
        return array([value(row) for row in rows])

    def finish(self, columns: Columns) -> Finish1:
        """The function from a state to what JSON holds."""
        scale, value = self.kind(columns).scale, self.value(columns)
        if not scale:
            return value
        if not self.nullable:
            return lambda state: decimal_text(value(state), scale)  # type: ignore[arg-type]
        return lambda state: None if (found := value(state)) is None else decimal_text(found, scale)  # type: ignore[arg-type]

    def finish_sql(self, columns: Columns) -> str:
        """The SQL expression of what JSON holds."""
        return self.kind(columns).text_sql(self.value_sql(columns))

    def arrow(self, columns: Columns) -> pa.DataType:
        """The type of `array`."""
        return self.kind(columns).arrow

    def schema(self, columns: Columns) -> dict[str, Any]:
        """The JSON schema of what JSON holds."""
        return self.kind(columns).schema


def column_named(columns: Columns, name: str) -> tuple[int, Kind]:
    """Where in a state a column is, and its kind.

    Raises:
        DefinitionError: there is none.
    """
    for index, column in enumerate(columns):
        if column.name == name:
            return index, column.kind
    raise DefinitionError(f"No state column {name!r}.", f"There are {', '.join(c.name for c in columns)}.")
