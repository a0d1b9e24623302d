"""What one run reads of each partition: from the parent's cut to its own mark, or nothing where it cannot be read now.

    partition 0    cut(parent) ---------- M        read, archived; M is its cut
    partition 1    cut(parent) -- [?] --- M        cannot be read: it keeps the parent's cut, and is named
    partition 2    cut(parent) -- (open transaction hides the rest): the same; no mark is appended

One dead partition stops no other. A mark that lies in a held one is a cell's end, and nothing more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slackwater.log.errors import HiddenRecordsError, UnreadableError
from slackwater.log.log import Bounds
from slackwater.versions.manifest import Held, Manifest, Mark

Unread = HiddenRecordsError | UnreadableError


@dataclass
class Spans:
    """Partition -> where a run begins to read, and its cut; `held` are those that it leaves out, with the reason."""

    start: dict[int, int]
    cut: dict[int, int] = field(default_factory=dict)
    held: dict[int, Unread] = field(default_factory=dict)

    def hold(self, error: Unread) -> None:
        """Leave a partition out.

        Raises:
            HiddenRecordsError, UnreadableError: there is none left.
        """
        self.held[error.partition] = error
        self.start.pop(error.partition, None)
        self.cut.pop(error.partition, None)
        if not self.start:
            raise error

    def refuse_held(self) -> None:
        """Raises HiddenRecordsError or UnreadableError if a partition is held: of the others nothing was new."""
        for error in self.held.values():
            raise error

    def marks(self, run_id: str, parent: Manifest) -> tuple[Mark, ...]:
        """The cut of the version: this run's marks, and the parent's where a partition is held."""
        own = [Mark(p, at, run_id) for p, at in self.cut.items()]
        kept = [mark for mark in parent.marks if mark.partition in self.held]
        return tuple(sorted([*own, *kept], key=lambda mark: mark.partition))

    def delta_start(self, now: Mapping[int, int], parent: Manifest) -> dict[int, int]:
        """The delta topic's ends before the marks; the parent's where a partition is held."""
        kept = {p: at for p, at in parent.delta_start.items() if p in self.held}
        return {**{p: at for p, at in now.items() if p in self.cut}, **kept}

    def told(self) -> tuple[Held, ...]:
        """What the version says of those that are held."""
        return tuple(Held(p, error.fact) for p, error in sorted(self.held.items()))


def spans_from(parent: Manifest, bounds: Mapping[int, Bounds], hidden: Mapping[int, HiddenRecordsError]) -> Spans:
    """The spans before anything is marked. Raises HiddenRecordsError if every partition has hidden records."""
    spans = Spans({p: parent.cut.get(p, at.start) for p, at in bounds.items()})
    for error in hidden.values():
        spans.hold(error)
    return spans
