"""A version's part of the ledger: its closed bars whose answers are others than before.

    parent's states of a bar (+) this epoch's trades of it before the first late one     before
    the same (+) the late ones                                                           after

Which trades were late is a function of the log (`slackwater.restatements.places`). Imported history is in no log: the
closed bars that it changes are a repair, from the bar of the log alone to the version's. What a run computed must
be what comes out here, exactly; so the ledger is a second proof for the bars that changed.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from slackwater.core.errors import SlackwaterError
from slackwater.core.faults import reach
from slackwater.restatements.finder import Check, Finder, Side, one_level
from slackwater.restatements.ledger import Cause
from slackwater.restatements.places import Places
from slackwater.restatements.sql import (
    added_sql,
    at_level_sql,
    events_at_sql,
    imported_at_sql,
    leveled,
    summed_sql,
    with_level_sql,
)
from slackwater.streams.stream import Stream
from slackwater.versions.manifest import ArchiveFile, Ledger, Manifest, Part
from slackwater.versions.store import VersionStore
from slackwater.versions.suspects import suspect
from slackwater.views.compare import at_sql, differing_sql, not_at_sql, states_sql
from slackwater.views.interval import Interval
from slackwater.views.levels import published_by
from slackwater.views.limits import UNLIMITED, Limits
from slackwater.views.session import files_sql
from slackwater.views.sql import gather_sql, merge_sql, summarise_sql
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
    bars = _Bars(finder, change, intervals)
    for _ in places.late():
        bars.find("late_trade")
    if change.repairing:
        for _ in places.imported(finder.files(e.file for e in change.repairing)):
            bars.find("repair")
    if change.gone is not None:
        for _ in places.imported(_corrected_at(finder, change, change.gone)):
            bars.find_corrected(change.gone)
    for view in [view for view in change.known if view.name in change.audited]:
        _find_audited(finder, change, view)
    for view, interval, expected, found in change.differing:
        # What a forced version holds otherwise than its parent and the speed layer's cells, which were served.
        finder.con.register("expected", expected)
        finder.con.register("found", found)
        finder.find("repair", [interval], one_level(view, "expected"), one_level(view, "found"))


class _Bars:
    """What changed at the bars in the table `places`, of all intervals at once."""

    def __init__(self, finder: Finder, change: Change, intervals: Sequence[Interval]) -> None:
        self._finder = finder
        self._change = change
        self._intervals = intervals

    def find(self, cause: Cause) -> None:
        """Find what changed in the order of the log: late trades first, then what was imported."""
        finder, change, intervals = self._finder, self._change, self._intervals
        levels = finder.hold_places()
        late = cause == "late_trade"
        logged = finder.files(entry.file for entry in change.epoch)
        events = [self._at(level, partial(events_at_sql, change.stream, logged)) for level in levels if change.epoch]
        more = self._imported(levels, () if late else change.repairing)
        finder.make("touched", " UNION ALL BY NAME ".join([*events, *more]))
        if not late and events:
            # All that the log holds came before the import, which came with the publication.
            finder.con.execute('UPDATE touched SET added = false WHERE "offset" IS NOT NULL')
        rest = self._imported(levels, change.imported if late else change.replacing)
        if rest:
            finder.make("beside", " UNION ALL BY NAME ".join(rest))
        for view in change.known:
            old, new = (
                summed_sql(view, f"(SELECT * FROM touched WHERE {w})", intervals) for w in ("NOT added", "added")
            )
            before, after = self._sides(view, self._held(view), old, new)
            added = f"({added_sql(view, 'touched', intervals)})"
            finder.find(cause, intervals, before, after, added, all_closed=True)
            if not change.forced and view.name not in change.audited:
                self._check(view, "beside" if rest else "")

    def find_corrected(self, gone: GoneBars) -> None:
        """Find what a correction changed, against what the version was without it and without what replaces it."""
        finder, change, intervals = self._finder, self._change, self._intervals
        levels = finder.hold_places()
        logged = self._imported(levels, change.epoch if change.replacing else ())
        if logged:
            finder.make("touched", " UNION ALL BY NAME ".join(logged))
        for view in change.known:
            if change.replacing:
                before = self._held(view)
                before += f" UNION ALL {summed_sql(view, 'touched', intervals)}" if logged else ""
            else:
                before = finder.states_at_places(view, change.files, intervals)
            after = finder.states_at_places(view, gone.files, intervals)
            own = leveled(view)
            finder.make("before", gather_sql(own, f"({before})"))
            finder.make("after", gather_sql(own, f"({after})"))
            finder.find("correction", intervals, Side(view, "before"), Side(view, "after"), all_closed=True)

    def _held(self, view: View) -> str:
        parent = self._change.parent
        return self._finder.states_at_places(view, parent.parts, self._intervals, parent)

    def _sides(self, view: View, held: str, old: str, new: str) -> tuple[Side, Side]:
        """The states that something was added to, `grown` to `after`. The table `before` holds all at the places."""
        own = leveled(view)
        self._finder.make("before", gather_sql(own, f"({held} UNION ALL {old})"))
        self._finder.make("more", new)
        self._finder.make("grown", at_sql(own, "before", "more"))
        self._finder.make("after", gather_sql(own, f"({states_sql(own, 'grown')} UNION ALL {states_sql(own, 'more')})"))
        return Side(view, "grown"), Side(view, "after")

    def _at(self, level: int, events: Callable[[str, Interval], str]) -> str:
        """One SELECT of events at the places of a level."""
        at = events(f"({at_level_sql('places', level)})", self._intervals[level])
        return with_level_sql(f"({at})", level)

    def _imported(self, levels: Iterable[int], entries: Sequence[ArchiveFile]) -> list[str]:
        if not entries:
            return []
        files = self._finder.files(entry.file for entry in entries)
        return [self._at(level, partial(imported_at_sql, self._change.stream, files)) for level in levels]

    def _check(self, view: View, imported: str) -> None:
        """The version holds what comes out here. Raises RestatementError."""
        finder, change, own = self._finder, self._change, leveled(view)
        expected = f"({not_at_sql(own, 'before', 'more')} UNION ALL {states_sql(own, 'after')})"
        if imported:
            more = summed_sql(view, imported, self._intervals)
            expected = f"({gather_sql(own, f'({states_sql(own, expected)} UNION ALL {more})')})"
        found = gather_sql(own, f"({finder.states_at_places(view, change.files, self._intervals)})")
        wrong = finder.con.execute(f"{differing_sql(own, expected, f'({found})')} ORDER BY ALL").fetchall()
        if wrong:
            level = min(row[-2] for row in wrong)
            bars = [(*key, start) for *key, at, start in wrong if at == level]
            raise RestatementError(change.version, view.name, self._intervals[level].text, len(bars), bars[0])


def _corrected_at(finder: Finder, change: Change, gone: GoneBars) -> str:
    """The events that went, and those that take their place: they lie in the bars in question."""
    columns = ", ".join(f'"{name}"' for name in dict.fromkeys([*change.stream.entity, change.stream.time]))
    relations = [files_sql([str(gone.events)])]
    if change.replacing:
        relations.append(finder.files(entry.file for entry in change.replacing))
    return "(" + " UNION ALL ".join(f"SELECT {columns} FROM {relation}" for relation in relations) + ")"


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
        finder.find("audit", [interval], one_level(view, "before"), one_level(view, "after"))
