"""The number of events, or of those that meet a condition."""

from dataclasses import dataclass

from slackwater.views.errors import DefinitionError
from slackwater.views.kinds import CONDITION, COUNT
from slackwater.views.measures.measure import Measure, StateColumn, StatePart, TypeOf, adder

_add = adder(-(2**63), 2**63, "The count {} does not fit BIGINT.")


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
