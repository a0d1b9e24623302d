"""The number of events, or of those that meet a condition."""

from dataclasses import dataclass

from slackwater.views.errors import DefinitionError, OverflowingStateError
from slackwater.views.kinds import CONDITION, COUNT, Value
from slackwater.views.measures.measure import Measure, StateColumn, StatePart, TypeOf

_BOUND = 2**63


@dataclass(frozen=True)
class Count(Measure):
    """The number of events for which `where` is true; of all events without it."""

    where: str | None = None

    def part(self, name: str, type_of: TypeOf) -> StatePart:
        if self.where is None:
            of_events = "count(*)::BIGINT"
        else:
            kind = type_of(self.where)
            if kind != CONDITION:
                raise DefinitionError(f"{name}: counts where {self.where!r}, which is {kind.sql}.", "Name a condition.")
            of_events = f"(count(*) FILTER (WHERE {self.where}))::BIGINT"
        return StatePart((StateColumn(name, COUNT),), (of_events,), (f"sum({name})::BIGINT",), _add, self.where is None)


def _add(a: tuple[Value, ...], b: tuple[Value, ...]) -> tuple[Value, ...]:
    total: int = a[0] + b[0]  # type: ignore[operator, assignment]
    if total >= _BOUND:
        raise OverflowingStateError(f"The count {total} does not fit BIGINT.")
    return (total,)
