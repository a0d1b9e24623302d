"""Sums of state columns with whole weights: a net position, a balance, a count of the others."""

from collections.abc import Mapping
from dataclasses import dataclass

from slackwater.views.answers.answer import Answer, Columns, Finish1, column_named
from slackwater.views.errors import DefinitionError, OverflowingStateError
from slackwater.views.kinds import COUNT, SUM, Kind, Value
from slackwater.views.measures.measure import State

_MOST_WEIGHT = 10**6


@dataclass(frozen=True)
class Linear(Answer):
    """`weight x column` added up, over columns of sums or over columns of counts. Weights are whole, and not 0.

    Raises OverflowingStateError in Python, and an error of DuckDB in SQL, where the result does not fit the kind.
    """

    weights: tuple[tuple[str, int], ...] | Mapping[str, int]

    def __post_init__(self) -> None:
        if isinstance(self.weights, Mapping):  # a tuple, so that it has a hash
            object.__setattr__(self, "weights", tuple(self.weights.items()))
        wrong = [each for _, each in self._pairs if type(each) is not int or not 0 < abs(each) <= _MOST_WEIGHT]
        if wrong or not self._pairs:
            raise DefinitionError(f"{self}: {wrong or 'nothing'} as weights.", "Weights are whole: 1, -1, 2, ...")

    @property
    def _pairs(self) -> tuple[tuple[str, int], ...]:
        return tuple(self.weights)  # type: ignore[arg-type]

    def kind(self, columns: Columns) -> Kind:
        kinds = {column_named(columns, name)[1] for name, _ in self._pairs}
        if kinds not in ({SUM}, {COUNT}):
            hint = "Take columns of `Sum` alone, or of `Count` alone."
            raise DefinitionError(f"{self} is over columns of {sorted(kind.sql for kind in kinds)}.", hint)
        return kinds.pop()

    def value(self, columns: Columns) -> Finish1:
        kind = self.kind(columns)
        bound = 2**63 if kind == COUNT else 10**kind.digits
        pairs = [(column_named(columns, name)[0], weight) for name, weight in self._pairs]

        def value(state: State) -> Value:
            total: int = sum(state[index] * weight for index, weight in pairs)  # type: ignore[misc]
            if not -bound < total < bound:
                raise OverflowingStateError(f"{total} in units of 1e-{kind.scale} does not fit {kind.sql}.")
            return total

        return value

    def value_sql(self, columns: Columns) -> str:
        kind = self.kind(columns)
        if kind == COUNT:
            terms = " + ".join(f"{name}::HUGEINT * ({weight})" for name, weight in self._pairs)
            return f"({terms})::BIGINT"
        # A product of a DECIMAL(38) has no type: the units are multiplied as integers.
        terms = " + ".join(f"replace({name}::VARCHAR, '.', '')::HUGEINT * ({weight})" for name, weight in self._pairs)
        whole, rest = f"(({terms}) // {10**kind.scale})", f"(({terms}) % {10**kind.scale})"
        unit = f"0.{1:0{kind.scale}d}"
        return f"({whole}::{kind.sql} + ({rest}::DECIMAL(21,0) * {unit})::{kind.sql})::{kind.sql}"


class Difference(Linear):
    """`plus - minus` of two sums or of two counts."""

    def __init__(self, plus: str, minus: str, *, gap: str | None = None) -> None:
        super().__init__(((plus, 1), (minus, -1)), gap=gap)
