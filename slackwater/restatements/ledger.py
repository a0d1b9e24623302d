"""The ledger of restatements as a whole: what the runs of a version's lineage wrote, and what moves of the pointer did.

    runs    1 -- 2 -- 3        lineage of 3: all rows of 1, 2, 3
                  \\
    moves          4           back to 2 (number 4): its own rows, and those of 3
    runs            5          lineage of 5: all rows of 1, 2, 5

What the pointer left behind was served, so it is told on; but not the late trades there, which stand in the log and
are told by the next run that archives them.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slackwater.restatements.restatement import LATE
from slackwater.versions.manifest import Ledger, Manifest
from slackwater.versions.moves import Move


class Entry(NamedTuple):
    """A ledger's file, and whether its late trades are told, too."""

    ledger: Ledger
    late: bool

    @property
    def counts(self) -> Mapping[str, int]:
        """Cause -> how many of its rows are told."""
        return {cause: count for cause, count in self.ledger.counts.items() if self.late or cause != LATE}


def ledger_of(manifest: Manifest | None, moves: Iterable[Move]) -> tuple[Entry, ...]:
    """The whole ledger by number; `manifest` is what is served, `moves` are those that took place."""
    found = {ledger.version: Entry(ledger, True) for ledger in (manifest.restatements if manifest else ())}
    for move in moves:
        for ledger in move.ledgers:
            found.setdefault(ledger.version, Entry(ledger, False))
    return tuple(entry for _, entry in sorted(found.items()) if entry.counts)
