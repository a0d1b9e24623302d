"""Rows of a file or a body into the ledger: what was added, and every row that was refused, with its place and reason.

parse (`rows`) -> held against what holds (`judged`) -> one file of the ledger (`ledger`)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from slackwater.instruments.facts import Facts
from slackwater.instruments.judged import CONFLICT, Judged, judge
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.instruments.rows import Refusal, Row


class Refused(NamedTuple):
    """A row that was not taken."""

    place: str
    reason: str
    error: str
    row: str


@dataclass(frozen=True)
class Loaded:
    """Rows by fate. `written`: what was added is durable; else it is what would have been."""

    added: int
    replaced: int
    unchanged: int
    refused: tuple[Refused, ...]
    written: bool

    @property
    def reasons(self) -> dict[str, int]:
        """Reason -> how many rows were refused for it."""
        return dict(sorted(Counter(each.reason for each in self.refused).items()))

    def facts(self) -> dict[str, Any]:
        """For a program: the counts, and the first row of each reason."""
        first: dict[str, dict[str, str]] = {}
        for each in self.refused:
            first.setdefault(each.reason, {"position": each.place, "error": each.error, "line": each.row})
        counts = {"added": self.added, "replaced": self.replaced, "unchanged": self.unchanged}
        return {**counts, "refused": self.reasons, "examples": dict(sorted(first.items()))}


def load(
    ledger: InstrumentsLedger,
    rows: Sequence[Row],
    at_us: int,
    by: str,
    reason: str = "",
    replace: bool = False,
    skip_refused: bool = False,
    dry_run: bool = False,
) -> Loaded:
    """Declare the rows, durably when it returns. Without `skip_refused` one that is refused keeps all of them out.

    Raises:
        RecordError: the ledger cannot be read.
    """
    good = [(row, row.read) for row in rows if isinstance(row.read, Facts)]
    bad = {i: _refused(row, row.read) for i, row in enumerate(rows) if isinstance(row.read, Refusal)}
    declared = [facts for _, facts in good]
    if dry_run or (bad and not skip_refused):
        found, written = judge(ledger.table(), declared, replace), False
    else:
        found = ledger.declare(declared, at_us, by, reason, replace, whole=not skip_refused)
        written = skip_refused or not found.conflicts
    at = [i for i, row in enumerate(rows) if isinstance(row.read, Facts)]
    bad |= {at[i]: refused for i, refused in _conflicts(good, found).items()}
    return Loaded(found.added, found.replaced, found.unchanged, tuple(bad[i] for i in sorted(bad)), written)


def _conflicts(good: Sequence[tuple[Row, Facts]], found: Judged) -> dict[int, Refused]:
    conflicts = {each.index: each.error(good[each.index][1]) for each in found.conflicts}
    return {i: _refused(good[i][0], Refusal(CONFLICT, error)) for i, error in conflicts.items()}


def _refused(row: Row, why: Refusal) -> Refused:
    return Refused(row.place, why.reason, why.error, row.text)
