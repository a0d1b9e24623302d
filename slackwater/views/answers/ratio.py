"""The quotient of two columns, rounded half-even to 8 fraction digits by integers: `/` on DECIMAL gives DOUBLE."""

from dataclasses import dataclass

import pyarrow as pa

from slackwater.views.answers.answer import Answer, Columns, Finish1, column_named
from slackwater.views.answers.ratios import ratio_units, ratios
from slackwater.views.errors import DefinitionError
from slackwater.views.kinds import COUNT, PRICE, RATIO, SUM, Kind

_PRICE_UNIT = 10 ** (SUM.scale - PRICE.scale)  # of a sum's units in one unit of a price
_COUNT_UNIT = 10**SUM.scale


@dataclass(frozen=True)
class Ratio(Answer):
    """`over / under` of sums or counts, rounded half-even to 8 fraction digits.

    `under` sums values of 8 fraction digits, or counts; where it is 0 there is no quotient, and the answer is null.
    """

    nullable = True

    over: str
    under: str

    def kind(self, columns: Columns) -> Kind:
        self._units(columns, self.over)
        self._units(columns, self.under)
        if (digits := column_named(columns, self.under)[1].fraction) > PRICE.scale:
            hint = f"Divide by a sum of at most {PRICE.scale} fraction digits, such as of (...)::DECIMAL(38,8)."
            raise DefinitionError(f"State column {self.under!r} sums {digits} fraction digits.", hint)
        return RATIO

    def value(self, columns: Columns) -> Finish1:
        (over, of_over), (under, of_under) = self._units(columns, self.over), self._units(columns, self.under)
        if of_over == of_under == 1:
            return lambda state: ratio_units(state[over], state[under]) if state[under] else None  # type: ignore[arg-type]
        return lambda state: (
            ratio_units(state[over] * of_over, state[under] * of_under) if state[under] else None  # type: ignore[arg-type]
        )

    def value_sql(self, columns: Columns) -> str:
        self.kind(columns)
        sums = [f"{name}::{SUM.sql}" for name in (self.over, self.under)]
        over, whole = (f"abs(replace({each}::VARCHAR, '.', '')::HUGEINT)" for each in sums)
        # A divisor that Python refuses raises here too: a division by zero. One of 0 is null, and so is the quotient.
        under = f"(nullif({whole}, 0) // CASE WHEN {whole} % {_PRICE_UNIT} = 0 THEN {_PRICE_UNIT} ELSE 0 END)"
        # Half-even in one division, since a tie rounds up only where the quotient is odd; 2 * over would overflow.
        units = f"(({over} + ({under} - 1 + ({over} // {under}) % 2) // 2) // {under})"
        sign = f"CASE WHEN ({self.over} < 0) = ({self.under} < 0) THEN 1 ELSE -1 END"
        return f"(({sign} * {units})::DECIMAL(38,0) * 0.00000001)::{RATIO.sql}"

    def array(self, columns: Columns, states: pa.Table) -> pa.Array:
        self.kind(columns)
        return ratios(*(_array(states.column(name).cast(SUM.arrow)) for name in (self.over, self.under)))

    def _units(self, columns: Columns, name: str) -> tuple[int, int]:
        """Where a column is, and how many units of a sum are in one of its own."""
        index, kind = column_named(columns, name)
        if kind not in (SUM, COUNT):
            hint = "Take columns of `Sum` or of `Count`."
            raise DefinitionError(f"State column {name!r} is no sum and no count, and a ratio is one of those.", hint)
        return index, 1 if kind == SUM else _COUNT_UNIT


def _array(column: pa.ChunkedArray) -> pa.Array:
    """One array, whichever of the two `combine_chunks` gave."""
    column = column.combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
