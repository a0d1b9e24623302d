"""What a kind of measure is: a declaration that says, once its place in a view is known, what its part of a state is.

    Max("price")  --part("high", type_of)-->  columns    high DECIMAL(18,8)
                                              summarise  max(price)              over a group of events
                                              merge      max(high)               over a group of states
                                              add        max                     of two states, in Python

A new kind is one class with `part`, wherever it lives: the SQL of a view, its Arrow schema, the codec of cells, the
row caches, the comparison of versions and the laws in `tests/laws.py` know these four things and no kind by its name.
The laws hold the four against each other. A state is a flat tuple of integers and texts, in the order of the columns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from slackwater.views.errors import DefinitionError, OverflowingStateError
from slackwater.views.kinds import CONDITION, Kind, Value

State = tuple[Value, ...]
Merge2 = Callable[[tuple[Value, ...], tuple[Value, ...]], tuple[Value, ...]]

TypeOf = Callable[[str], Kind]
"""The kind of an expression over the view's stream. Raises DefinitionError: no column, or a type that is no state's."""


@dataclass(frozen=True)
class StateColumn:
    """One column of a state."""

    name: str
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind == CONDITION:
            raise DefinitionError(f"{self.name} would be true or false.", "Count(where=...) counts a condition.")

    @property
    def sql(self) -> str:
        """Its SQL type."""
        return self.kind.sql

    @property
    def arrow(self) -> pa.DataType:
        """Its Arrow type."""
        return self.kind.arrow

    @property
    def scale(self) -> int:
        """Fraction digits of its integer unit."""
        return self.kind.scale


@dataclass(frozen=True)
class StatePart:
    """A measure's part of a state.

    Attributes:
        columns: its state columns; no two measures of a view have one of a name.
        summarise: an SQL aggregate over events for each column, of exactly the column's type.
        merge: an SQL aggregate over states for each column, of exactly the column's type.
        add: the merge of two states of this measure alone, commutative and associative; it returns a new value. Raises
            OverflowingStateError where the result does not fit the columns' types.
        events: whether its one column is the number of all events, which grows with every change of a state.
    """

    columns: tuple[StateColumn, ...]
    summarise: tuple[str, ...]
    merge: tuple[str, ...]
    add: Merge2
    events: bool = False


def adder(low: int, high: int, what: str) -> Merge2:
    """The sum of two integers that must lie in [low, high); `what` says in an error what does not fit: `{}` is it."""

    def add(a: tuple[Value, ...], b: tuple[Value, ...]) -> tuple[Value, ...]:
        total: int = a[0] + b[0]  # type: ignore[operator, assignment]
        if not low <= total < high:
            raise OverflowingStateError(what.format(total))
        return (total,)

    return add


@dataclass(frozen=True)
class Measure:
    """A kind of measure. Its `repr` is part of a view's definition.

    `oracle` is the same in plain Python, for `slackwater verify` alone; it may use nothing else of its file. It takes
    the measure's name, its fields, and what reads an SQL text as an expression of an event (`value`, and `scale`: its
    fraction digits; None: a text, -1: true or false). It returns (name, scale) of each column, the values of one event,
    the merge of two. Values are integers of 10^-scale. The kinds of the package have theirs in `verify/measures.py`.
    """

    oracle: ClassVar[Callable[..., Any] | None] = None

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        """Its part of the state of a view that gives it `name`.

        Raises:
            DefinitionError: the stream has no such columns, or they are of a type that it does not measure.
        """
        raise NotImplementedError
