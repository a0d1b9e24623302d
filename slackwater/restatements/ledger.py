"""The ledger of restatements: the bars whose answers changed after they were closed.

    archive/<run id>/restatements.parquet      a row a bar, numbered in order of start

A manifest lists the files of its whole lineage and a move those of its own, so the ledger outlives the versions.

    runs    1 -- 2 -- 3        lineage of 3: all rows of 1, 2, 3
                  \\
    moves          4           back to 2 (number 4): its own rows, and those of 3
    runs            5          lineage of 5: all rows of 1, 2, 5

What a move of the pointer left behind was served, so its rows stay; but not its late trades, which are in the log and
come with the next run that archives them. How the bars are found: `slackwater.restatements.of_run` and `.of_move`.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, get_args

import pyarrow as pa

from slackwater.versions.manifest import Ledger, Manifest
from slackwater.versions.moves import Move

Cause = Literal["late_trade", "new_definition", "audit", "correction", "repair"]
"""Trades of the log that came after the bar was closed; a promotion; parts that an audit found wrong; events that were
taken out or replaced; everything else: imported history, a version that was forced, a rollback.
"""

LATE: Cause = "late_trade"

CAUSES: tuple[Cause, ...] = get_args(Cause)

RESTATEMENT_SCHEMA = pa.schema(
    [
        pa.field("version", pa.int64()),  # of the run; a move has a number of its own among them
        pa.field("number", pa.int64()),  # of the row in its file, from 0
        pa.field("view", pa.string()),
        pa.field("venue", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("key", pa.list_(pa.string())),  # the view's further key columns
        pa.field("interval", pa.string()),
        pa.field("start", pa.int64()),  # microseconds since the epoch, UTC
        pa.field("cause", pa.string()),
        pa.field("partition", pa.int32()),  # of the first late trade; null for other causes
        pa.field("offset", pa.int64()),
        pa.field("trades", pa.int64()),  # trades that changed the bar; null where it is none
        pa.field("before", pa.string()),  # finished answers as a JSON object; null where there was no bar
        pa.field("after", pa.string()),
    ]
)
"""Columns of the file."""


class Entry(NamedTuple):
    """A ledger's file, and whether its late trades count, too."""

    ledger: Ledger
    late: bool

    @property
    def counts(self) -> Mapping[str, int]:
        """Cause -> how many of its rows count."""
        return {cause: count for cause, count in self.ledger.counts.items() if self.late or cause != LATE}


def ledger_of(manifest: Manifest | None, moves: Iterable[Move]) -> tuple[Entry, ...]:
    """The whole ledger by number; `manifest` is what is served, `moves` are those that took place."""
    found = {ledger.version: Entry(ledger, True) for ledger in (manifest.restatements if manifest else ())}
    for move in moves:
        for ledger in move.ledgers:
            found.setdefault(ledger.version, Entry(ledger, False))
    return tuple(entry for _, entry in sorted(found.items()) if entry.counts)
