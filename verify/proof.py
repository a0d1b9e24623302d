"""What a proof found: a line for each view and for the events of each stream."""

from dataclasses import dataclass, field
from typing import Any

FIRST_DIFFERENCES = 10


@dataclass
class Compared:
    """Answers of one view, or the events of one stream.

    `pending` says that no version has the view yet, which is no failure; `not_proven` why the oracle cannot tell.
    """

    answers: int = 0
    rows: int = 0
    differ: int = 0
    not_proven: str = ""
    pending: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing differs, and it was looked at."""
        return self.differ == 0 and not self.not_proven


@dataclass
class Proof:
    """What was compared.

    It holds if something was, nothing differs, nothing was refused, every view is known to the oracle, and nothing is
    `tail`: what the log holds that no answer stands on. `events` counts what was recomputed, an event once for each
    group of answers that stand alike.
    """

    parts: dict[str, Compared] = field(default_factory=dict)
    events: int = 0
    seconds: float = 0.0
    versions: set[int] = field(default_factory=set)
    entities: set[str] = field(default_factory=set)
    intervals: set[str] = field(default_factory=set)
    differences: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    def part(self, name: str) -> Compared:
        """What was compared of a view or a stream."""
        return self.parts.setdefault(name, Compared())

    @property
    def answers(self) -> int:
        """Answers compared."""
        return sum(part.answers for part in self.parts.values())

    @property
    def rows(self) -> int:
        """Rows and events compared."""
        return sum(part.rows for part in self.parts.values())

    @property
    def differ(self) -> int:
        """How many of them differ."""
        return sum(part.differ for part in self.parts.values())

    @property
    def not_proven(self) -> dict[str, str]:
        """View or stream -> why the oracle says nothing of it."""
        return {name: part.not_proven for name, part in self.parts.items() if part.not_proven}

    @property
    def holds(self) -> bool:
        """Whether every row of every view is equal, and all events are in them."""
        parts = all(part.holds for part in self.parts.values())
        return self.rows > 0 and parts and not self.refusals and not self.tail

    def note(self, difference: dict[str, Any]) -> None:
        """Keep it, if it is one of the first."""
        if len(self.differences) < FIRST_DIFFERENCES:
            self.differences.append(difference)
