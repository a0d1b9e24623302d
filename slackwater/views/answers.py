"""Answer columns: finished numbers made from a state at read time, in Python for one state and in SQL for a table.

Decimals are text without exponent and without trailing zeros. A ratio is rounded half-even by integers, since `/` and
`//` on DECIMAL give DOUBLE.

`gap` says what the column holds in a bar without events when a query asks to fill: the name of an answer whose value
in the bar before is repeated, "0", or nothing (null).
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from slackwater.core.decimals import decimal_text
from slackwater.streams.schema import PRICE_SCALE, SUM_SCALE
from slackwater.views.errors import DefinitionError, ViewError
from slackwater.views.measures import StateColumn

Finish1 = Callable[[tuple[int, ...]], str | int]


@dataclass(frozen=True)
class Column:
    """A state column as it stands: a decimal as text, an id or a count as an integer."""

    column: str
    gap: str | None = None

    def finish(self, columns: tuple[StateColumn, ...]) -> Finish1:
        """The function from a state to this column."""
        index, scale = _find(columns, self.column)
        if scale == 0:
            return lambda state: state[index]
        return lambda state: decimal_text(state[index], scale)

    def arrow(self, columns: tuple[StateColumn, ...]) -> pa.DataType:
        """The type of this column where it is no text."""
        return columns[_find(columns, self.column)[0]].arrow

    def value_sql(self, columns: tuple[StateColumn, ...]) -> str:
        """The SQL expression of this column over a relation of states, in the state column's type."""
        _find(columns, self.column)
        return self.column

    def finish_sql(self, columns: tuple[StateColumn, ...]) -> str:
        """The same, a decimal as text."""
        _, scale = _find(columns, self.column)
        return self.column if scale == 0 else _text_sql(f"{self.column}::VARCHAR")


@dataclass(frozen=True)
class Ratio:
    """`over / under` of two sums, rounded half-even to 8 fraction digits. `under` sums values of 8 fraction digits."""

    over: str
    under: str
    gap: str | None = None

    def finish(self, columns: tuple[StateColumn, ...]) -> Finish1:
        """The function from a state to this column."""
        over, under = _find_sum(columns, self.over), _find_sum(columns, self.under)
        return lambda state: decimal_text(ratio_units(state[over], state[under]), PRICE_SCALE)

    def arrow(self, columns: tuple[StateColumn, ...]) -> pa.DataType:
        """The type of this column where it is no text."""
        return RATIO_TYPE

    def value_sql(self, columns: tuple[StateColumn, ...]) -> str:
        """The SQL expression of this column over a relation of states, a DECIMAL(38,8)."""
        _find_sum(columns, self.over)
        _find_sum(columns, self.under)
        over, whole = (f"abs(replace({name}::VARCHAR, '.', '')::HUGEINT)" for name in (self.over, self.under))
        # A divisor that Python refuses raises here too: a division by zero, in this line or the next.
        under = f"({whole} // CASE WHEN {whole} % {_PRICE_UNIT} = 0 THEN {_PRICE_UNIT} ELSE 0 END)"
        # Half-even in one division, since a tie rounds up only where the quotient is odd; 2 * over would overflow.
        units = f"(({over} + ({under} - 1 + ({over} // {under}) % 2) // 2) // {under})"
        sign = f"CASE WHEN ({self.over} < 0) = ({self.under} < 0) THEN 1 ELSE -1 END"
        return f"(({sign} * {units})::DECIMAL(38,0) * 0.00000001)::DECIMAL(38,{PRICE_SCALE})"

    def finish_sql(self, columns: tuple[StateColumn, ...]) -> str:
        """The same as text."""
        return _text_sql(f"{self.value_sql(columns)}::VARCHAR")


Answer = Column | Ratio

RATIO_TYPE = pa.decimal128(38, PRICE_SCALE)

_PRICE_UNIT = 10**8  # of a sum's units in one unit of a price: SUM_SCALE - PRICE_SCALE digits


def ratio_units(over: int, under: int) -> int:
    """`over / under`, both in units of 1e-16, as units of 1e-8, half-even.

    `under` is a multiple of 1e-8, so in that unit the quotient of the integers has the unit 1e-16 / 1e-8 = 1e-8.
    """
    divisor, odd = divmod(under, _PRICE_UNIT)
    if odd or divisor == 0:
        raise ViewError(f"{under} in units of 1e-{SUM_SCALE} is no divisor: it must be a multiple of 1e-8 and not 0.")
    quotient, rest = divmod(abs(over), abs(divisor))
    twice = 2 * rest
    quotient += twice > abs(divisor) or (twice == abs(divisor) and quotient % 2 == 1)
    return quotient if (over < 0) == (divisor < 0) else -quotient


def _find(columns: tuple[StateColumn, ...], name: str) -> tuple[int, int]:
    for index, column in enumerate(columns):
        if column.name == name:
            return index, column.scale
    raise DefinitionError(f"No state column {name!r}.", f"There are {', '.join(c.name for c in columns)}.")


def _find_sum(columns: tuple[StateColumn, ...], name: str) -> int:
    index, scale = _find(columns, name)
    if scale != SUM_SCALE:
        raise DefinitionError(f"State column {name!r} is no sum, and a ratio is one of two sums.")
    return index


def _text_sql(decimal: str) -> str:
    return f"rtrim(rtrim({decimal}, '0'), '.')"
