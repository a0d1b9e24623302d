"""The ledger of a move, made just before the pointer moves: what changes of the closed bars.

It stands at the position where the cells of the version that was served ended then; a bar is closed if it was closed
there. Its rows have a number of their own in the sequence of versions, so that who has read up to a version is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from slackwater.core.faults import reach
from slackwater.deltas.tail import Cut, Look
from slackwater.restatements.ledger_file import write_ledger
from slackwater.restatements.restated_between import RestatedBetween
from slackwater.restatements.restatement import Cause
from slackwater.versions.errors import DamagedFileError, RestatingError
from slackwater.versions.manifest import Manifest
from slackwater.versions.moves import Told
from slackwater.versions.store import VersionStore
from slackwater.views.session import connect
from slackwater.views.view import View


@dataclass(frozen=True)
class Restating:
    """Writes the ledgers of moves. `views` are all definitions of this program, `look` reads the log.

    `threads` 0 means one a core. Where others live in the process, `memory_limit` (as DuckDB reads it) bounds it.
    """

    store: VersionStore
    views: Sequence[View]
    look: Look
    threads: int = 0
    memory_limit: str | None = None

    def tell(self, epoch: str, cause: Cause, before: Manifest, after: Manifest, at_us: int) -> Told:
        """Write what changes when the pointer goes from `before` to `after`; both and the epoch are leased.

        Raises:
            RestatingError: the disk is full, a file cannot be read, or it takes more memory than the limit; nothing
                moved.
        """
        reach("move.before")
        pairs = [(old, new) for old in self._held(before) for new in self._held(after) if old.name == new.name]
        untold = []
        if unknown := sorted({*before.definitions, *after.definitions} - {old.name for old, _ in pairs}):
            untold.append(f"This program does not have both definitions of {', '.join(unknown)}.")
        beyond = self.look(_cut(before, after), [old for old, _ in pairs], [new for _, new in pairs])
        if beyond.missing:
            untold.append(f"What is beyond the cuts is left out: {beyond.missing}")
        own, left = None, tuple(ledger for ledger in before.restatements if ledger not in after.restatements)
        try:
            with connect(self.threads, self.memory_limit) as con:
                counts = RestatedBetween(con, self.store, before, after, beyond).find(pairs, cause)
                if counts:
                    reach("move.ledger")
                    own = write_ledger(con, self.store, epoch, self.store.reserve(), at_us, counts)
        except DamagedFileError as error:
            untold.append(f"Nothing is compared: {error}")
        except (duckdb.OutOfMemoryException, duckdb.TransactionException) as error:  # the second: when it commits
            raise RestatingError(
                f"To compare the closed bars takes more memory than there is here ({self.memory_limit or 'no limit'}).",
                "Nothing moved; `slackwater batch rollback` does it in a process of its own.",
            ) from error
        except (duckdb.IOException, OSError) as error:
            raise RestatingError(f"The ledger is not written: {error}.", "Nothing moved; do it again.") from error
        return Told(own, left, beyond.upto, " ".join(untold))

    def _held(self, manifest: Manifest) -> list[View]:
        return [view for view in self.views if manifest.definitions.get(view.name) == view.definition]


def _cut(before: Manifest, after: Manifest) -> Cut:
    """Per partition the further one of the two; they need not lie one above the other."""
    partitions = {*before.cut, *after.cut}
    at = {p: max(manifest.cut.get(p, 0) for manifest in (before, after)) for p in partitions}
    starts = {p: min(manifest.delta_start.get(p, 0) for manifest in (before, after)) for p in partitions}
    return Cut(at, after.topics, starts)
