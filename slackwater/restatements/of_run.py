"""A version's part of the ledger: its closed bars whose answers are others than before.

    parent's states of a bar (+) this epoch's trades of it before the first late one     before
    the same (+) the late ones                                                           after

Which trades were late is a function of the log (`slackwater.restatements.places`). Imported history is in no log: the
closed bars that it changes are a repair, from the bar of the log alone to the version's. What a run computed must
be what comes out here, exactly; so the ledger is a second proof for the bars that changed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from slackwater.core.errors import SlackwaterError
from slackwater.core.faults import reach
from slackwater.restatements.finder import Check, Finder, Side
from slackwater.restatements.ledger import Cause
from slackwater.restatements.places import Places
from slackwater.restatements.sql import added_sql, events_at_sql, imported_at_sql
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import ArchiveFile, Ledger, Manifest, Part
from slackwater.versions.store import VersionStore
from slackwater.versions.suspects import suspect
from slackwater.views.compare import differing_sql, states_sql
from slackwater.views.interval import Interval
from slackwater.views.levels import published_by
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.session import files_sql
from slackwater.views.sql import merge_sql, summarise_sql
from slackwater.views.view import View


class RestatementError(SlackwaterError):
    """A version's closed bars are not what the parent and the new trades give; nothing was published."""

    def __init__(self, version: int, view: str, interval: str, bars: int, first: tuple[object, ...]) -> None:
        super().__init__(
            f"Version {version} is not published: {bars} closed bars of {view} at {interval} are not the parent's with "
            f"the trades that came since; the first is {first}.",
            "Run it again; `slackwater verify` asks the log itself. `slackwater batch run --force REASON` publishes it "
            "as it is.",
        )


class Differing(NamedTuple):
    """The states of a view and interval that a proof found to differ, as tables of the view's state schema."""

    view: View
    interval: Interval
    expected: pa.Table
    found: pa.Table


class GoneBars(NamedTuple):
    """What a run corrected: the file of the events that it took out, and the version's parts without them."""

    events: Path
    files: Sequence[Part]


@dataclass(frozen=True)
class Change:
    """What a run made of its parent in one stream: of its slice of the log, `epoch`, and what it `imported`; `views`
    are the stream's, `files` the version's, before it was corrected.

    `gone` is what it corrected; `replacing` is what of the imported history takes the place of events that it took out.

    The views named in `audited` are made again, since an audit found the parent's parts wrong. `forced` is true for a
    version that is published whatever its proof says; `differing` is then all that it says.
    """

    stream: Stream
    parent: Manifest
    version: int
    views: tuple[View, ...]
    epoch: tuple[ArchiveFile, ...]
    imported: tuple[ArchiveFile, ...]
    files: tuple[Part, ...]
    forced: bool = False
    audited: Collection[str] = ()
    differing: Sequence[Differing] = ()
    replacing: tuple[ArchiveFile, ...] = ()
    gone: GoneBars | None = None

    @property
    def repairing(self) -> tuple[ArchiveFile, ...]:
        """Imported history that takes the place of nothing."""
        return tuple(entry for entry in self.imported if entry not in self.replacing)

    @property
    def known(self) -> list[View]:
        """The views that were served in this definition, or of a stream that the parent does not know.

        A view that is new, or that the parent holds in another definition, is left out: none of its bars was served.
        """
        served, parent = self.parent.definitions, self.parent
        return [v for v in self.views if self.stream.name not in parent.streams or served.get(v.name) == v.definition]


def restate(
    store: VersionStore,
    changes: Iterable[Change],
    run_id: str,
    version: int,
    created_us: int,
    check: Check | None = None,
    limits: Limits = UNLIMITED,
) -> tuple[Ledger, ...]:
    """Write what the changes of all streams restate; nothing where that is nothing.

    Raises:
        RestatementError: the version does not hold what the parent and the new trades give.
        duckdb.IOException: the disk is full, or a file cannot be read.
    """
    reach("restate.before")
    with limits.connect(partial(suspect, store)) as con:
        finder = Finder(con, store, check)
        for change in changes:
            _restate(finder, store, change)
        counts = finder.counts()
        if counts:
            reach("restate.write")
            written = (finder.write(run_id, version, created_us, counts),)
    reach("restate.after")
    return written if counts else ()


def _restate(finder: Finder, store: VersionStore, change: Change) -> None:
    intervals = published_by(change.known)
    known = change.parent.instruments_of(change.stream)
    places = Places(finder.con, store.data.fetch, change.stream, known, change.epoch, intervals)
    if change.imported or change.differing or change.audited or change.gone:
        finder.close_bars(places.newest())
    for interval in intervals:
        if places.late(interval):
            _find(finder, change, change.known, interval, "late_trade")
        if change.repairing and places.imported(finder.files(e.file for e in change.repairing), interval):
            _find(finder, change, change.known, interval, "repair")
        if change.gone is not None and places.imported(_corrected_at(finder, change, change.gone), interval):
            _find_corrected(finder, change, change.gone, interval)
    for view in [view for view in change.known if view.name in change.audited]:
        _find_audited(finder, change, view)
    for view, interval, expected, found in change.differing:
        # What a forced version holds otherwise than its parent and the speed layer's cells, which were served.
        finder.con.register("expected", expected)
        finder.con.register("found", found)
        finder.find("repair", interval, Side(view, "expected"), Side(view, "found"))


def _find(finder: Finder, change: Change, views: Sequence[View], interval: Interval, cause: Cause) -> None:
    """Find what changed at `places`, in the order of the log: late trades first, then what was imported."""
    logged = finder.files(entry.file for entry in change.epoch)
    late = cause == "late_trade"
    more = _imported_at(finder, change, () if late else change.repairing, interval)
    rest = _imported_at(finder, change, change.imported if late else change.replacing, interval)
    events = [events_at_sql(change.stream, logged, "places", interval)] if change.epoch else []
    finder.make("touched", " UNION ALL BY NAME ".join(events if late else [*events, more]))
    if not late and events:
        # All that the log holds came before the import, which came with the publication.
        finder.con.execute('UPDATE touched SET added = false WHERE "offset" IS NOT NULL')
    for view in [view for view in views if interval in view.intervals]:
        old, new = (summarise_sql(view, f"(SELECT * FROM touched WHERE {w})") for w in ("NOT added", "added"))
        held = finder.states(view, interval, change.parent, places=True)
        finder.make("before", merge_sql(view, f"({held} UNION ALL {old})", interval))
        finder.make("after", merge_sql(view, f"({states_sql(view, 'before')} UNION ALL {new})", interval))
        added = f"({added_sql(view, 'touched', interval)})"
        finder.find(cause, interval, Side(view, "before"), Side(view, "after"), added, all_closed=True)
        if not change.forced and view.name not in change.audited:
            _check(finder, change, view, interval, rest)


def _imported_at(finder: Finder, change: Change, entries: Sequence[ArchiveFile], interval: Interval) -> str:
    if not entries:
        return ""
    return imported_at_sql(change.stream, finder.files(entry.file for entry in entries), "places", interval)


def _corrected_at(finder: Finder, change: Change, gone: GoneBars) -> str:
    """The events that went, and those that take their place: they lie in the bars in question."""
    columns = ", ".join(f'"{name}"' for name in dict.fromkeys([*change.stream.entity, change.stream.time]))
    relations = [files_sql([str(gone.events)])]
    if change.replacing:
        relations.append(finder.files(entry.file for entry in change.replacing))
    return "(" + " UNION ALL ".join(f"SELECT {columns} FROM {relation}" for relation in relations) + ")"


def _find_corrected(finder: Finder, change: Change, gone: GoneBars, interval: Interval) -> None:
    """Find what a correction changed, against what the version was without it and without what replaces it."""
    for view in [view for view in change.known if interval in view.intervals]:
        before = finder.states_at_places(view, _of(change.files, view, interval))
        if change.replacing:
            before = finder.states(view, interval, change.parent, places=True)
            logged = _imported_at(finder, change, change.epoch, interval)
            before += f" UNION ALL {summarise_sql(view, f'({logged})')}" if logged else ""
        after = finder.states_at_places(view, _of(gone.files, view, interval))
        finder.make("before", merge_sql(view, f"({before})", interval))
        finder.make("after", merge_sql(view, f"({after})", interval))
        finder.find("correction", interval, Side(view, "before"), Side(view, "after"), all_closed=True)


def _of(parts: Sequence[Part], view: View, interval: Interval) -> list[Part]:
    return [part for part in parts if (part.view, part.interval) == (view.name, interval.text)]


def _find_audited(finder: Finder, change: Change, view: View) -> None:
    """What was served, the parent's wrong parts with all that came since, against what the version holds."""
    new = (*change.epoch, *change.imported)
    for interval in view.intervals:
        before = finder.states(view, interval, change.parent)
        if new:
            before += f" UNION ALL {summarise_sql(view, finder.files(entry.file for entry in new))}"
        finder.make("before", merge_sql(view, f"({before})", interval))
        own = finder.files(p.file for p in change.files if (p.view, p.interval) == (view.name, interval.text))
        finder.make("after", merge_sql(view, f"({states_sql(view, own)})", interval))
        finder.find("audit", interval, Side(view, "before"), Side(view, "after"))


def _check(finder: Finder, change: Change, view: View, interval: Interval, imported: str) -> None:
    expected = "after"
    if imported:
        more = summarise_sql(view, f"({imported})")
        expected = f"({merge_sql(view, f'({states_sql(view, expected)} UNION ALL {more})', interval)})"
    own = _of(change.files, view, interval)
    found = merge_sql(view, f"({finder.states_at_places(view, own)})", interval)
    wrong = finder.con.execute(f"{differing_sql(view, expected, f'({found})')} ORDER BY ALL").fetchall()
    if wrong:
        raise RestatementError(change.version, view.name, interval.text, len(wrong), wrong[0])
