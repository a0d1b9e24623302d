"""The exact sum of an expression."""

from dataclasses import dataclass

from slackwater.views.errors import DefinitionError, OverflowingStateError
from slackwater.views.kinds import SUM, Value
from slackwater.views.measures.measure import Measure, StateColumn, StatePart, TypeOf

_BOUND = 10**38


@dataclass(frozen=True)
class Sum(Measure):
    """The exact sum of `expr`: a decimal with at most 16 fraction digits, or an integer. A DECIMAL(38,16)."""

    expr: str

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        kind = type_of(self.expr)
        if not kind.digits or kind.scale > SUM.scale:
            hint = f"A sum is of integers and of decimals with at most {SUM.scale} fraction digits."
            raise DefinitionError(f"{name}: the sum of {self.expr!r}, which is {kind.sql}.", hint)
        total = f"sum({{}})::{SUM.sql}"
        return StatePart((StateColumn(name, SUM),), (total.format(self.expr),), (total.format(name),), _add)


def _add(a: tuple[Value, ...], b: tuple[Value, ...]) -> tuple[Value, ...]:
    total: int = a[0] + b[0]  # type: ignore[operator, assignment]
    if not -_BOUND < total < _BOUND:
        raise OverflowingStateError(f"The sum {total} in units of 1e-{SUM.scale} does not fit {SUM.sql}.")
    return (total,)
