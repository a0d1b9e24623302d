"""The ledger of a move of the pointer, made just before it moves: the closed bars that two versions answer differently.

    states of a version (+) trades of the log that only the other one archived (+) what comes after both cuts

Both are compared at the position where the cells of the version that was served ended. So what differs is not in the
log: another definition, imported history, and versions that are wrong. A bar is closed if it was closed there. The rows
have a number of their own in the sequence of versions, so that a client that has read up to a version gets them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb

from slackwater.core.faults import reach
from slackwater.deltas.tail import Cut, ReadTail, Tail
from slackwater.restatements.finder import Finder, one_level
from slackwater.restatements.ledger import Cause
from slackwater.restatements.sql import from_offsets_sql
from slackwater.versions.errors import DamagedFileError, RestatingError
from slackwater.versions.manifest import Manifest, StreamCut
from slackwater.versions.moves import Recorded
from slackwater.versions.store import VersionStore
from slackwater.views.compare import states_sql
from slackwater.views.interval import Interval
from slackwater.views.rows import table_of
from slackwater.views.session import connect
from slackwater.views.sql import bounds_sql, merge_sql, summarise_sql
from slackwater.views.view import View


@dataclass(frozen=True)
class Restating:
    """Writes the ledgers of moves. `views` are all definitions of this program, `read_tail` reads the log.

    `open_session` opens the session that compares, within what its
    process may take; None: one without a limit.
    """

    store: VersionStore
    views: Sequence[View]
    read_tail: ReadTail
    open_session: Callable[[], duckdb.DuckDBPyConnection] | None = None

    def record_move(self, epoch: str, cause: Cause, before: Manifest, after: Manifest, at_us: int) -> Recorded:
        """Write what changes when the pointer goes from `before` to `after`; both and the epoch are leased.

        Raises:
            RestatingError: the disk is full, a file cannot be read, or it takes more memory than the limit; nothing
                moved.
        """
        reach("move.before")
        pairs = [
            (old, new)
            for old in self._held(before)
            for new in self._held(after)
            if (old.name, old.stream) == (new.name, new.stream)
        ]
        incomplete_reason = []
        if unknown := sorted({*before.definitions, *after.definitions} - {old.name for old, _ in pairs}):
            incomplete_reason.append(f"This program does not have both definitions of {', '.join(unknown)}.")
        tails = {}
        for stream in dict.fromkeys(new.stream for _, new in pairs):
            of = [pair for pair in pairs if pair[1].stream == stream]
            cut = _cut(before.of(stream), after.of(stream))
            tails[stream] = tail = self.read_tail(cut, [old for old, _ in of], [new for _, new in of])
            if tail.missing:
                incomplete_reason.append(f"What comes after the cuts of {stream.name} is left out: {tail.missing}")
        own, left = None, tuple(ledger for ledger in before.restatements if ledger not in after.restatements)
        try:
            with (self.open_session or connect)() as con:
                finder = Finder(con, self.store)
                for stream, tail in tails.items():
                    of = [pair for pair in pairs if pair[1].stream == stream]
                    _find(finder, of, cause, before, after, tail)
                counts = finder.counts()
                if counts:
                    reach("move.ledger")
                    own = finder.write(epoch, self.store.reserve(), at_us, counts)
        except DamagedFileError as error:
            incomplete_reason.append(f"Nothing is compared: {error}")
        except (duckdb.OutOfMemoryException, duckdb.TransactionException) as error:  # the second: when it commits
            raise RestatingError(
                f"To compare the closed bars takes more memory than there is here: {error}.",
                "Nothing moved; `slackwater batch rollback` does it in a process of its own.",
            ) from error
        except (duckdb.IOException, OSError) as error:
            raise RestatingError(f"The ledger is not written: {error}.", "Nothing moved; do it again.") from error
        positions = {stream.name: tail.upto for stream, tail in tails.items()}
        return Recorded(own, left, positions, " ".join(incomplete_reason))

    def _held(self, manifest: Manifest) -> list[View]:
        return [view for view in self.views if manifest.definitions.get(view.name) == view.definition]


def _cut(before: StreamCut, after: StreamCut) -> Cut:
    """Per partition the further one of the two; they need not lie one above the other."""
    partitions = {*before.cut, *after.cut}
    at = {p: max(own.cut.get(p, 0) for own in (before, after)) for p in partitions}
    starts = {p: min(own.delta_start.get(p, 0) for own in (before, after)) for p in partitions}
    return Cut(at, after.topic_id, after.deltas_id, starts)


def _find(
    finder: Finder, pairs: Sequence[tuple[View, View]], cause: Cause, before: Manifest, after: Manifest, tail: Tail
) -> None:
    """Find the bars of one stream, `pairs` being the views of both sides."""
    stream = pairs[0][1].stream
    tables = {view: table_of(view, tail.rows.get(view, ())) for pair in pairs for view in pair}
    for view, table in tables.items():
        finder.con.register(_tail(view), table)
    known = [manifest.instruments_of(stream).table() for manifest in (before, after)]
    spans = [finder.con.sql(bounds_sql(stream, _tail(view))).to_arrow_table() for view in tables]
    finder.close_bars([*known, *spans])  # times to the second: enough to close a bar
    for old, new in pairs:
        for interval in [each for each in old.intervals if each in new.intervals]:
            was, now = (_states(finder, old, interval, before, after), _states(finder, new, interval, after, before))
            finder.find(cause, [interval], one_level(old, was), one_level(new, now))


def _states(finder: Finder, view: View, interval: Interval, own: Manifest, other: Manifest) -> str:
    parts = [states_sql(view, _tail(view)), finder.states(view, interval, own)]
    cut = own.cut(view.stream)
    archive = other.archive_of(view.stream)
    further = [e.file for e in archive if e.upto is not None and e.upto > cut.get(e.partition, 0)]
    if further:
        parts.append(summarise_sql(view, f"({from_offsets_sql(finder.checked(further), cut)})"))
    together = " UNION ALL ".join(parts)
    return f"({merge_sql(view, f'({together})', interval)})"


def _tail(view: View) -> str:
    return f"tail_{view.definition}"
