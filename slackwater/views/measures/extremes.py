"""The smallest and the largest value of an expression: numbers, or texts by the order of their characters' bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from slackwater.views.measures.measure import Measure, StateColumn, StatePart, TypeOf


@dataclass(frozen=True)
class _Extreme(Measure):
    expr: str

    sql: ClassVar[str]
    pick: ClassVar[Callable[..., Any]]

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        kind = type_of(self.expr)
        summarise, merge = (f"{self.sql}({of})::{kind.sql}" for of in (self.expr, name))
        return StatePart((StateColumn(name, kind),), (summarise,), (merge,), type(self).pick)


@dataclass(frozen=True)
class Min(_Extreme):
    """The smallest `expr`, in its own type."""

    sql = "min"
    pick = min


@dataclass(frozen=True)
class Max(_Extreme):
    """The largest `expr`, in its own type."""

    sql = "max"
    pick = max
