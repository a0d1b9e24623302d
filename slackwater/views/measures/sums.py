"""The exact sum of an expression."""

from dataclasses import dataclass, replace

from slackwater.views.errors import DefinitionError
from slackwater.views.kinds import SUM
from slackwater.views.measures.measure import Measure, StateColumn, StatePart, TypeOf, adder

_add = adder(-(10**38) + 1, 10**38, f"The sum {{}} in units of 1e-{SUM.scale} does not fit {SUM.sql}.")


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
        return StatePart(
            (StateColumn(name, replace(SUM, fraction=kind.scale)),),
            (total.format(self.expr),),
            (total.format(name),),
            _add,
        )
