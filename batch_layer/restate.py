"""Writes a version's part of the ledger: its closed bars whose answers are others than before, in Parquet.

    parent's states of a bar (+) this epoch's trades of it before the first late one     before
    the same (+) the late ones                                                           after

Which trades were late is a function of the log (`batch_layer.lateness`). Imported history stands in no log: the closed
bars that it changes are a repair, from the bar of the log alone to the version's. What a run computed must be what
comes out here, exactly; so the ledger is a second proof for the bars that changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from batch_layer.comparison import Differing
from batch_layer.errors import ComputeError, RestatementError
from batch_layer.lateness import Lateness
from slackwater.core.faults import reach
from slackwater.restatements.ledger_file import write_ledger
from slackwater.restatements.restate import (
    NO_PLACES,
    added_sql,
    answers_sql,
    causes_sql,
    closed_sql,
    events_at_sql,
    imported_at_sql,
    restated_sql,
    states_at_sql,
)
from slackwater.restatements.restatement import Cause
from slackwater.versions.errors import DamagedFileError
from slackwater.versions.manifest import ArchiveFile, Ledger, Manifest, ViewFile
from slackwater.versions.store import VersionStore
from slackwater.views.compare import differing_sql, states_sql
from slackwater.views.interval import PUBLISHED_INTERVALS, Interval
from slackwater.views.session import connect, files_sql
from slackwater.views.sql import merge_sql, summarise_sql
from slackwater.views.view import View


@dataclass(frozen=True)
class Change:
    """What a run made of its parent: of its slice of the log, `epoch`, and what it `imported`; `files` are its views.

    `forced` is true for a version that is published whatever its proof says; `differing` is then all that it says.
    """

    parent: Manifest
    version: int
    created_us: int
    run_id: str
    epoch: tuple[ArchiveFile, ...]
    imported: tuple[ArchiveFile, ...]
    files: tuple[ViewFile, ...]
    forced: bool = False
    differing: Sequence[Differing] = ()


def restate(store: VersionStore, views: Sequence[View], change: Change) -> tuple[Ledger, ...]:
    """Write what `change` restates; nothing where that is nothing.

    A view that the parent holds in another definition is left out: none of its bars was served in this one.

    Raises:
        RestatementError: the version does not hold what the parent and the new trades give.
        ComputeError: the disk is full, or a file cannot be read.
    """
    reach("restate.before")
    try:
        ledger = _ledger(store, views, change)
    except duckdb.IOException as error:
        raise ComputeError(f"The ledger is not written: {error}.", "What is served is whole; run it again.") from error
    reach("restate.after")
    return () if ledger is None else (ledger,)


def _ledger(store: VersionStore, views: Sequence[View], change: Change) -> Ledger | None:
    with connect() as con:
        lateness = Lateness(con, store.home, change.parent, change.epoch)
        if change.imported or change.differing:
            lateness.make_newest()
        found = _Restated(con, store, change)
        parent = change.parent
        known = [view for view in views if not parent.version or parent.definitions.get(view.name) == view.definition]
        for interval in PUBLISHED_INTERVALS:
            if lateness.places(interval):
                found.add(known, interval, "late_trade")
            if change.imported and lateness.imported_places(change.imported, interval):
                found.add(known, interval, "repair")
        for differing in change.differing:
            found.repair(differing)
        return found.write()


class _Restated:
    """The rows found so far, in the table `restated`; the table `places` names the bars in question."""

    def __init__(self, con: duckdb.DuckDBPyConnection, store: VersionStore, change: Change) -> None:
        self._con = con
        self._store = store
        self._change = change
        self._any = False

    def add(self, views: Sequence[View], interval: Interval, cause: Cause) -> None:
        """Find what changed at `places`, in the order of the log: late trades first, then what was imported."""
        change = self._change
        at = events_at_sql(self._files(change.epoch), "places", interval) if change.epoch else ""
        imported = imported_at_sql(self._files(change.imported), "places", interval) if change.imported else ""
        late = cause == "late_trade"
        self._make("touched", " UNION ALL BY NAME ".join(filter(None, (at, "" if late else imported))))
        if not late and at:
            # All that the log holds came before the import, which came with the publication.
            self._con.execute('UPDATE touched SET added = false WHERE "offset" IS NOT NULL')
        for view in views:
            old, new = (summarise_sql(view, f"(SELECT * FROM touched WHERE {w})") for w in ("NOT added", "added"))
            self._make("before", merge_sql(view, f"({self._held(view, interval)} UNION ALL {old})", interval))
            self._make("after", merge_sql(view, f"({states_sql(view, 'before')} UNION ALL {new})", interval))
            before, after = (f"({answers_sql(view, side)})" for side in ("before", "after"))
            added = f"({added_sql(view, 'touched', interval)})"
            self._add(restated_sql(view, interval, cause, before, after, added))
            if not change.forced:
                self._check(view, interval, imported if late else "")

    def _add(self, select: str) -> None:
        if self._any:
            self._con.execute(f"INSERT INTO restated {select}")
        else:
            self._make("restated", select)
        self._any = True

    def repair(self, differing: Differing) -> None:
        """Add what a forced version holds otherwise than its parent and the speed layer's cells, which were served."""
        view, interval = differing.view, differing.interval
        sides = []
        for name in ("expected", "found"):
            self._con.register(name, getattr(differing, name))
            sides.append(f"({closed_sql(f'({answers_sql(view, name)})', 'newest', interval)})")
        self._add(restated_sql(view, interval, "repair", sides[0], sides[1], NO_PLACES))

    def write(self) -> Ledger | None:
        """The file of all rows."""
        change = self._change
        counts = dict(self._con.execute(causes_sql("restated")).fetchall()) if self._any else {}
        if not counts:
            return None
        reach("restate.write")
        return write_ledger(self._con, self._store, change.run_id, change.version, change.created_us, counts)

    def _held(self, view: View, interval: Interval) -> str:
        """The parent's states at `places`: its own, or, where their files are damaged, made again of its archive."""
        files = self._change.parent.files_of(view.name, interval.text)
        if not files:
            self._con.register("nothing", view.state_schema.empty_table())
            return states_sql(view, "nothing")
        try:
            self._store.check(file.file for file in files)
        except DamagedFileError:
            events = imported_at_sql(self._files(self._change.parent.archive), "places", interval)
            return summarise_sql(view, f"({events})")
        return states_at_sql(view, self._files(files), "places")

    def _check(self, view: View, interval: Interval, imported: str) -> None:
        expected = "after"
        if imported:
            more = summarise_sql(view, f"({imported})")
            expected = f"({merge_sql(view, f'({states_sql(view, expected)} UNION ALL {more})', interval)})"
        own = self._files([f for f in self._change.files if (f.view, f.interval) == (view.name, interval.text)])
        found = merge_sql(view, f"({states_at_sql(view, own, 'places')})", interval)
        wrong = self._con.execute(f"{differing_sql(view, expected, f'({found})')} ORDER BY ALL").fetchall()
        if wrong:
            raise RestatementError(self._change.version, view.name, interval.text, len(wrong), wrong[0])

    def _files(self, entries: Sequence[ArchiveFile] | Sequence[ViewFile]) -> str:
        return files_sql(entry.file.checked(self._store.home) for entry in entries)

    def _make(self, name: str, select: str) -> None:
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")
